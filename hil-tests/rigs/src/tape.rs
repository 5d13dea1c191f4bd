//! The file that a run is recorded into, written on a thread of its own.
//!
//! Nobody waits for the disk: what does not fit into the queue is counted and left out. What was handed over is in the
//! file a tenth of a second later, in whole chunks, so that a program that is killed leaves a file that can be read.
//! When the disk is full the run goes on, and the file is ended where it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use twinhelm_hal::time::Instant;
use twinhelm_hil::recording::{Recorder, RunHeader};
use twinhelm_linux::clock::now;

/// So much may wait for the disk: seconds of a run at 100 Hz.
const NOTES_MAX: usize = 32_768;
/// How often what is there is written.
const WRITE_EVERY: Duration = Duration::from_millis(100);

type Note = Box<dyn FnOnce(&mut Recorder) + Send>;

/// A recording that is being written.
#[derive(Debug)]
pub struct Tape {
    notes: SyncSender<Note>,
    lost: Arc<AtomicU64>,
    problem: Arc<OnceLock<String>>,
    thread: JoinHandle<(u64, u64)>,
    path: PathBuf,
}

/// What became of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// How long the file is, in bytes.
    pub bytes: u64,
    /// So many notes found no place in the queue.
    pub lost: u64,
    /// Why the file ends before the run did, if it does.
    pub problem: Option<String>,
}

impl Tape {
    /// Starts to write `path`. A file of that name is replaced when there is something to write: a run that does not
    /// even begin leaves the recording of an earlier one alone.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn start(path: &Path, header: &RunHeader) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let recorder = Recorder::new(header);
        let reel = Reel { file, whole: 0, before: 0 };
        let (notes, queue) = sync_channel(NOTES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let problem = Arc::new(OnceLock::new());
        let (said, missing) = (problem.clone(), lost.clone());
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write(&queue, recorder, reel, &said, &missing))?;
        Ok(Self { notes, lost, problem, thread, path: path.to_owned() })
    }

    /// Hands `note` over to be recorded. Never waits.
    pub fn note(&self, note: impl FnOnce(&mut Recorder) + Send + 'static) {
        if self.problem.get().is_none() && self.notes.try_send(Box::new(note)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds to what was lost on the way here.
    pub fn note_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns why the file has ended before the run, if it has.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.get().map(String::as_str)
    }

    /// Ends the file, with `last` as its last note, and waits until it is written.
    #[must_use]
    pub fn finish(self, last: impl FnOnce(&mut Recorder) + Send + 'static) -> Written {
        let Self { notes, lost, problem, thread, path } = self;
        // A writer that has ended has said why.
        let _ = notes.send(Box::new(last));
        drop(notes);
        let (bytes, written_down) = thread.join().unwrap_or_default();
        let lost = written_down + lost.load(Ordering::Relaxed);
        Written { path, bytes, lost, problem: problem.get().cloned() }
    }
}

/// Returns how long the file is in the end, and how many notes are written down as lost.
fn write(
    queue: &Receiver<Note>,
    mut recorder: Recorder,
    mut reel: Reel,
    problem: &OnceLock<String>,
    lost: &AtomicU64,
) -> (u64, u64) {
    let mut written_down = 0;
    let mut note_lost = |recorder: &mut Recorder| {
        let count = lost.swap(0, Ordering::Relaxed);
        written_down += count;
        if count > 0 {
            recorder.lost(now(), count);
        }
    };
    // Nothing is written, and nothing that is there is lost, before something has happened.
    let Ok(first) = queue.recv() else {
        return (0, 0);
    };
    let mut outcome = reel.begin();
    first(&mut recorder);
    let mut due = now();
    while outcome.is_ok() {
        match queue.recv_timeout(due.since(now())) {
            Ok(note) => note(&mut recorder),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                note_lost(&mut recorder);
                outcome = reel.append(&recorder.take()).and_then(|()| reel.append(&recorder.finish()));
                break;
            }
        }
        if now() >= due {
            due = next_write(due);
            note_lost(&mut recorder);
            outcome = reel.append(&recorder.take());
        }
    }
    let bytes = match outcome {
        Ok(()) => reel.whole,
        Err(error) => {
            // Whoever asks is told; it was not set before.
            let _ = problem.set(error.to_string());
            reel.end()
        }
    };
    (bytes, written_down)
}

fn next_write(due: Instant) -> Instant {
    (due + WRITE_EVERY).max(now())
}

/// The file, and where it is whole.
struct Reel {
    file: File,
    /// Up to here the file is made of whole chunks.
    whole: u64,
    /// So it was one chunk before.
    before: u64,
}

impl Reel {
    /// Clears the file.
    fn begin(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.before = self.whole;
        self.whole += bytes.len() as u64;
        Ok(())
    }

    /// Ends a file that could not be written on: behind its last whole chunk, or, when there is not even room for the
    /// end, behind the one before. Returns its length.
    fn end(mut self) -> u64 {
        let ending = Recorder::ending();
        for whole in [self.whole, self.before] {
            let ended = self
                .file
                .set_len(whole)
                .and_then(|()| self.file.seek(SeekFrom::Start(whole)))
                .and_then(|_| self.file.write_all(&ending));
            if ended.is_ok() {
                return whole + ending.len() as u64;
            }
        }
        // Without an end the file is read as one whose writer was killed.
        let _ = self.file.set_len(self.whole);
        self.whole
    }
}
