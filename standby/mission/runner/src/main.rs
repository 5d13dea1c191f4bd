//! `mission-runner`: the one process that is linked with libcrun. It has one thread, and does what a device's agent asks of
//! it over the socket that it finds as its standard input.
//!
//! Two processes, so that whichever is killed, the other one removes what runs: the *guard*, which the agent starts, and
//! below it the *worker*, which alone calls libcrun for the agent. When the agent is gone, the worker's socket closes and it
//! ends; when the worker is gone, the guard removes every container; when the guard is gone, the worker does, and ends.
//! If all of them are killed at once, the next life removes what it finds in its journal before it says that it is ready.
//!
//! It is started by `twinhelm agent`, and has no other user.

mod cgroups;
mod guard;
mod journal;
mod library;
mod worker;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["guard", state] => guard::run(Path::new(state)),
        ["worker", state] => worker::run(Path::new(state)),
        ["--version"] => {
            println!("mission-runner {}, libcrun {}", env!("CARGO_PKG_VERSION"), libcrun_sys::VERSION);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "mission-runner makes and removes containers for `twinhelm agent`, which starts it as `mission-runner guard \
                 STATE` with a socket as its standard input; it knows --version besides"
            );
            ExitCode::from(2)
        }
    }
}
