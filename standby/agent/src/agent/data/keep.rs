//! Keeps what is heard on the disk: the state now and then, the recording in segments; and makes room.

use super::{Shared, fetch};
use crate::config;
use crate::output::tell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_linux::scheduling::queue_last_at_the_disk;
use twinhelm_mission::data::{Plan, Segment, Snapshot};
use twinhelm_standby::RoleName;
use twinhelm_standby::data::{Kind, Position, to_remove};
use twinhelm_zenoh::Stock;
use twinhelm_zenoh::agents::{DeviceSample, Ear};

/// So often it looks at what was heard.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A segment that has grown to this is ended before its time.
const SEGMENT_BYTES_MAX: u64 = 1 << 20;

pub(super) struct Keeper {
    shared: Arc<Shared>,
    stock: Arc<Stock>,
    ear: Ear,
    settings: config::Data,
    device: String,
    segment: Option<(Instant, Segment)>,
    kept: Option<(Instant, Position)>,
}

impl Keeper {
    pub(super) fn new(
        shared: &Arc<Shared>,
        stock: &Arc<Stock>,
        ear: Ear,
        settings: config::Data,
        device: String,
    ) -> Self {
        let (shared, stock) = (Arc::clone(shared), Arc::clone(stock));
        Self { shared, stock, ear, settings, device, segment: None, kept: None }
    }

    /// Keeps what is heard, until it is told to stop.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        // Where the kernel refuses, it is as polite as others.
        let _ = queue_last_at_the_disk();
        loop {
            let ends = stop.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout);
            let at = now();
            let done = self.record(at, ends).and_then(|()| self.keep_state(at, ends));
            let problem = done.err().map(|error| format!("the disk: {error}"));
            let before = std::mem::replace(&mut self.shared.state().disk_problem, problem.clone());
            if let Some(problem) = problem.filter(|problem| before.as_ref() != Some(problem)) {
                tell(format_args!("mission data is not kept: {problem}"));
            }
            if ends {
                return;
            }
        }
    }

    fn record(&mut self, at: Instant, ends: bool) -> io::Result<()> {
        let (samples, lost) = self.ear.take_own();
        self.shared.state().dropped.pieces += lost;
        for DeviceSample { at, header, bytes } in samples {
            let segment = match &mut self.segment {
                Some((_, segment)) => segment,
                None => &mut self.segment.insert((at, Segment::begin(&self.device).map_err(io::Error::other)?)).1,
            };
            segment.add(at, &header, &bytes).map_err(io::Error::other)?;
        }
        let is_due = |(since, segment): &mut (Instant, Segment)| {
            ends || at.since(*since) >= self.settings.segment_every || segment.len() >= SEGMENT_BYTES_MAX
        };
        if let Some((_, segment)) = self.segment.take_if(is_due) {
            let bytes = segment.finish().map_err(io::Error::other)?;
            self.add(Kind::Segment, &bytes)?;
        }
        Ok(())
    }

    /// Keeps the state of whoever holds the wheel. A cover's is one cycle's, and of a term that nobody may ever adopt.
    fn keep_state(&mut self, at: Instant, ends: bool) -> io::Result<()> {
        let Some(DeviceSample { header, bytes, .. }) = self.ear.last_state() else { return Ok(()) };
        let (RoleName::Primary, Some(position)) = (header.role, Position::of(&header)) else { return Ok(()) };
        let is_due = self.kept.is_none_or(|(kept, _)| ends || at.since(kept) >= self.settings.snapshot_every);
        if !is_due || self.kept.is_some_and(|(_, kept)| kept == position) {
            return Ok(());
        }
        let plan = self.shared.state().plan.as_ref().map(Plan::version);
        let snapshot = Snapshot { position, plan, sample: bytes }.encode();
        self.add(Kind::Snapshot(position), &snapshot)?;
        self.kept = Some((at, position));
        self.shared.state().newest = Some(position);
        self.stock.keep(fetch::STATE, snapshot);
        Ok(())
    }

    /// Adds a piece, and makes room for it: first what others have goes, then the oldest part of the recording.
    fn add(&self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        let mut spool = self.shared.spool();
        let mut most = self.settings.disk_bytes.saturating_sub(bytes.len() as u64);
        let added = loop {
            self.make_room(&mut spool, most);
            match spool.add(kind, bytes) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    let used: u64 = spool.pieces().iter().map(|piece| piece.bytes).sum();
                    let before = spool.pieces().len();
                    most = used.saturating_sub(1);
                    self.make_room(&mut spool, most);
                    if spool.pieces().len() == before {
                        break Err(error);
                    }
                }
                added => break added.map(drop),
            }
        };
        drop(spool);
        self.shared.count_waiting();
        if added.is_err() && kind == Kind::Segment {
            let mut state = self.shared.state();
            state.dropped.pieces += 1;
            state.dropped.bytes += bytes.len() as u64;
        }
        added
    }

    fn make_room(&self, spool: &mut twinhelm_mission::data::Spool, most: u64) {
        let mut state = self.shared.state();
        let last = state.manifest.as_ref().and_then(|manifest| manifest.last_of(spool.id()));
        let has = |seq| last.is_some_and(|last| seq <= last);
        for piece in to_remove(spool.pieces(), has, most) {
            spool.remove(piece.seq);
            if piece.is_segment() && !has(piece.seq) {
                state.dropped.add(&piece);
            }
        }
    }
}
