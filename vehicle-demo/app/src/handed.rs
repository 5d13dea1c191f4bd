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
    while let Ok(bytes) = next(&mut pipe) {
        match decode::<Sample<State, M>>(&bytes) {
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

/// Reads one state: its length in two bytes, and its bytes.
fn next(pipe: &mut File) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    pipe.read_exact(&mut length)?;
    let length = usize::from(u16::from_le_bytes(length));
    if length > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a state that is too long"));
    }
    let mut bytes = vec![0; length];
    pipe.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::io::Write as _;
    use std::time::{Duration, Instant};
    use twinhelm_standby::{Header, NotReady, RoleName};
    use twinhelm_zenoh::wire::encode;

    #[test]
    fn a_state_that_was_written_before_the_mission_came_up_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let mut agent = File::options().read(true).write(true).open(&path).expect("the agent's end");
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
        let published = Published {
            memory: 0.25_f64,
            readings: State { x_m: 1.0, y_m: 2.0, yaw_rad: 3.0, speed_mps: 4.0 },
            own_readings: true,
            standstill: false,
            signals: None,
        };
        let mut buffer = [0; BYTES_MAX];
        let bytes = encode(&Sample { header, published: Some(published) }, &mut buffer).expect("it fits");
        let length = u16::try_from(bytes.len()).expect("it is short").to_le_bytes();
        agent.write_all(&[&length, bytes].concat()).expect("it is written");
        let mut handed = listen::<f64>(&path).expect("it is opened");
        let until = Instant::now() + Duration::from_secs(30);
        let taken = loop {
            if let Ok(taken) = handed.pop() {
                break taken;
            }
            assert!(Instant::now() < until, "nothing comes");
            thread::yield_now();
        };
        assert_eq!(taken, published);
    }
}
