//! How long a sample takes from one device to the other, beside what Zenoh alone takes for as many bytes.
//!
//! Both are sent in turn, a link and a plain session on the same settings, so that a machine that is busy is busy for
//! both. The ends share this process and its clock: on two machines there is no such figure without a common clock.

use crate::link::{Link, LinkPort};
use crate::session::{OpenError, open, publisher};
use crate::settings::Settings;
use crate::wire::{BYTES_MAX, Carried, encode};
use std::sync::mpsc::{Receiver, channel};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_standby::{Header, Sample};
use zenoh::pubsub::Publisher;
use zenoh::sample::Locality;
use zenoh::{Session, Wait};

/// The links have to be there so long after they were opened.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// The plain session's key.
const KEY: &str = "twinhelm/one-way";
/// A plain message begins with its number.
const NUMBER: usize = 8;

/// What was measured. A message that did not come in time for the next one is counted, and not among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneWay {
    /// From `publish` on the one control thread until the sample lies ready for the other's.
    pub state: Vec<Duration>,
    /// From `put` until Zenoh's callback, for as many bytes.
    pub plain: Vec<Duration>,
    /// How many bytes either has.
    pub bytes: usize,
    /// So many messages came later than the next one was sent.
    pub late: u64,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum OneWayError {
    /// A session does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing came over.
    #[error("nothing came over the {way} within {} s", OPEN_WITHIN.as_secs())]
    Silent {
        /// Over what.
        way: &'static str,
    },
    /// Zenoh refuses.
    #[error("sending by plain Zenoh: {0}")]
    Plain(String),
}

/// The two ends of one connection.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The one that connects, and sends.
    pub from: Settings,
    /// The one that listens.
    pub to: Settings,
}

/// Sends `sample` and as many plain bytes `count` times each, one message every `every`, and measures each; `progress` is
/// told how many times it has been.
///
/// # Errors
/// [`OneWayError`] says what does not open, or over what nothing comes.
pub fn one_way<S: Carried, M: Carried>(
    sample: Sample<S, M>,
    link: &Ends,
    plain: &Ends,
    count: u32,
    every: Duration,
    mut progress: impl FnMut(u32),
) -> Result<OneWay, OneWayError> {
    let mut state = StateWay::open(sample, link)?;
    let mut other = PlainWay::open(state.bytes, plain)?;
    state.wait_until_open()?;
    other.wait_until_open()?;
    let mut measured = OneWay { bytes: state.bytes, ..OneWay::default() };
    for number in 0..count {
        match state.send(every) {
            Some(span) => measured.state.push(span),
            None => measured.late += 1,
        }
        match other.send(every)? {
            Some(span) => measured.plain.push(span),
            None => measured.late += 1,
        }
        progress(number + 1);
    }
    Ok(measured)
}

/// A device that hears nothing of a peer that is there opens its session anew; so the other end says something, too.
const ANSWER_EVERY: u64 = 64;

/// A link between two devices.
struct StateWay<S: Send, M: Send> {
    sample: Sample<S, M>,
    bytes: usize,
    from: LinkPort<S, M>,
    to: LinkPort<S, M>,
    _links: [Link; 2],
}

impl<S: Carried, M: Carried> StateWay<S, M> {
    fn open(sample: Sample<S, M>, ends: &Ends) -> Result<Self, OneWayError> {
        let (listening, to) = Link::open(Slot::RIGHT, &ends.to)?;
        let (connecting, from) = Link::open(Slot::LEFT, &ends.from)?;
        let mut buffer = [0; BYTES_MAX];
        let bytes = encode(&sample, &mut buffer).map_or(BYTES_MAX, <[u8]>::len);
        Ok(Self { sample, bytes, from, to, _links: [listening, connecting] })
    }

    fn wait_until_open(&mut self) -> Result<(), OneWayError> {
        let until = now() + OPEN_WITHIN;
        while self.send(Duration::from_millis(10)).is_none() {
            if now() > until {
                return Err(OneWayError::Silent { way: "link between the devices" });
            }
        }
        Ok(())
    }

    /// Returns how long the next sample took, when it came within `wait`. Takes all of `wait`.
    fn send(&mut self, wait: Duration) -> Option<Duration> {
        let header = &mut self.sample.header;
        header.cycle = Cycle::new(header.cycle.number() + 1);
        let cycle = header.cycle;
        let sent = now();
        self.from.publish(&self.sample);
        sleep_until(sent + wait);
        if cycle.number().is_multiple_of(ANSWER_EVERY) {
            let header = Header { slot: Slot::RIGHT, ..self.sample.header };
            self.to.publish(&Sample { header, ..self.sample });
        }
        let heard = self.to.peer()?;
        (heard.sample?.header.cycle == cycle).then(|| heard.at.since(sent))
    }
}

/// Zenoh, and nothing else.
struct PlainWay {
    publisher: Publisher<'static>,
    arrived: Receiver<(u64, Instant)>,
    message: Vec<u8>,
    number: u64,
    _sessions: [Session; 2],
}

impl PlainWay {
    fn open(bytes: usize, ends: &Ends) -> Result<Self, OneWayError> {
        let failed = |error: zenoh::Error| OneWayError::Plain(error.to_string());
        let (listening, connecting) = (open(&ends.to)?, open(&ends.from)?);
        let (arrives, arrived) = channel();
        listening
            .declare_subscriber(KEY)
            .allowed_origin(Locality::Remote)
            .callback(move |message| {
                let at = now();
                let payload = message.payload().to_bytes();
                if let Some(number) = payload.first_chunk::<NUMBER>() {
                    // Whoever measured has gone: then nobody needs to know.
                    let _ = arrives.send((u64::from_le_bytes(*number), at));
                }
            })
            .background()
            .wait()
            .map_err(failed)?;
        // As the link's own.
        let publisher = publisher(&connecting, KEY).map_err(failed)?;
        let message = vec![0; bytes.max(NUMBER)];
        Ok(Self { publisher, arrived, message, number: 0, _sessions: [listening, connecting] })
    }

    fn wait_until_open(&mut self) -> Result<(), OneWayError> {
        let until = now() + OPEN_WITHIN;
        while self.send(Duration::from_millis(10))?.is_none() {
            if now() > until {
                return Err(OneWayError::Silent { way: "plain Zenoh session" });
            }
        }
        Ok(())
    }

    fn send(&mut self, wait: Duration) -> Result<Option<Duration>, OneWayError> {
        self.number += 1;
        self.message[..NUMBER].copy_from_slice(&self.number.to_le_bytes());
        let sent = now();
        let put = self.publisher.put(self.message.as_slice()).wait();
        put.map_err(|error| OneWayError::Plain(error.to_string()))?;
        sleep_until(sent + wait);
        let own = self.arrived.try_iter().find(|(number, _)| *number == self.number);
        Ok(own.map(|(_, at)| at.since(sent)))
    }
}
