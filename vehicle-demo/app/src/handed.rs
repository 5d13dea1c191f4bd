//! What a device's agent hands to a mission that it starts or lets go on: the state of the device that drove last, so that
//! the mission goes on and does not begin anew.

use rtrb::{Consumer, Producer, RingBuffer};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::thread;
use twinhelm_standby::{Published, Sample};
use twinhelm_vehicle::signals::State;
use twinhelm_zenoh::Carried;
use twinhelm_zenoh::wire::{BYTES_MAX, Decoded, decode};

/// The environment's word for where it is handed over.
pub(crate) const MISSION_STATE: &str = "MISSION_STATE";
/// So many may wait for the control thread; the last one counts.
const STATES_MAX: usize = 4;

/// Listens on the pipe at `path`, and returns where the states come out.
///
/// # Errors
/// The pipe cannot be opened.
pub(crate) fn listen<M: Carried>(path: &Path) -> io::Result<Consumer<Published<State, M>>> {
    // The agent holds the other end open, so this does not wait for anybody.
    let pipe = File::open(path)?;
    let (states, handed) = RingBuffer::new(STATES_MAX);
    thread::Builder::new().name("handed".to_owned()).spawn(move || pass_on(pipe, states))?;
    Ok(handed)
}

fn pass_on<M: Carried>(mut pipe: File, mut states: Producer<Published<State, M>>) {
    // It ends with the agent, and the mission ends with it, too.
    while let Ok(handed) = next(&mut pipe) {
        match handed.as_deref().map_or(Decoded::Malformed, decode::<Sample<State, M>>) {
            Decoded::Read(Sample { header, published: Some(published) }) => match states.push(published) {
                Ok(()) => eprintln!("the mission goes on with the state of cycle {}", header.cycle.number()),
                Err(_) => eprintln!("a state was handed over that nobody takes"),
            },
            Decoded::Read(_) | Decoded::OtherVersion | Decoded::Malformed => {
                eprintln!("a state was handed over that cannot be read: the mission begins where it finds itself");
            }
        }
    }
}

/// Reads one state: its length in two bytes, and its bytes. `None` is what is not that.
///
/// One read takes all of it: the agent writes a state as a whole, and takes back what was not read before the next. A mission that is
/// frozen between two reads would find the rest gone, and the next state in its place.
fn next(pipe: &mut File) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 2 + BYTES_MAX];
    let length = loop {
        match pipe.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    let Some((told, bytes)) = buffer[..length].split_first_chunk() else {
        return if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
    };
    Ok((usize::from(u16::from_le_bytes(*told)) == bytes.len()).then(|| bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use rustix::io::ioctl_fionread;
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};
    use twinhelm_standby::{Header, NotReady, RoleName};
    use twinhelm_zenoh::wire::encode;

    fn published() -> Published<State, f64> {
        Published {
            memory: 0.25,
            readings: State { x_m: 1.0, y_m: 2.0, yaw_rad: 3.0, speed_mps: 4.0 },
            own_readings: true,
            standstill: false,
            signals: None,
        }
    }

    /// Returns a state as an agent writes it.
    fn record() -> Vec<u8> {
        let header = Header {
            slot: twinhelm_hal::term::Slot::LEFT,
            cycle: twinhelm_hal::cycle::Cycle::new(7),
            term: None,
            role: RoleName::Primary,
            ready: Err(NotReady::Role),
            sent: true,
            checked: true,
            divergence: None,
            disputes: false,
            digest: 0,
            relayed: [None; 4],
        };
        let mut buffer = [0; BYTES_MAX];
        let bytes = encode(&Sample { header, published: Some(published()) }, &mut buffer).expect("it fits");
        let length = u16::try_from(bytes.len()).expect("it is short").to_le_bytes();
        [&length, bytes].concat()
    }

    /// Returns where the pipe is in `folder`, and the agent's end of it.
    fn pipe(folder: &Path) -> (PathBuf, File) {
        let path = folder.join("state");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let agent = File::options().read(true).write(true).open(&path).expect("the agent's end");
        (path, agent)
    }

    /// Waits until `taken` has something.
    fn wait_for<T>(mut taken: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(taken) = taken() {
                return taken;
            }
            assert!(Instant::now() < until, "nothing comes");
            thread::yield_now();
        }
    }

    #[test]
    fn a_state_that_was_written_before_the_mission_came_up_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut agent) = pipe(folder.path());
        agent.write_all(&record()).expect("it is written");
        let mut handed = listen::<f64>(&path).expect("it is opened");
        assert_eq!(wait_for(|| handed.pop().ok()), published());
    }

    #[test]
    fn a_state_behind_one_that_was_torn_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut agent) = pipe(folder.path());
        let mut handed = listen::<f64>(&path).expect("it is opened");
        // What a mission that was frozen in the middle of a state has of it.
        for torn in [1, 2, 20] {
            agent.write_all(&record()[..torn]).expect("it is written");
            wait_for(|| (ioctl_fionread(&agent).expect("a pipe") == 0).then_some(()));
            agent.write_all(&record()).expect("it is written");
            assert_eq!(wait_for(|| handed.pop().ok()), published(), "{torn}");
        }
    }
}
