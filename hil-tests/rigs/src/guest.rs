//! A guest Linux kernel as an ordinary process of this machine, for what its own kernel lacks: SocketCAN, and soon more.
//!
//! It is user-mode Linux (Debian's package `user-mode-linux`): no virtual machine, no root. The guest sees this machine's
//! files, read-only, so the programs that were built here run in it unchanged, and one folder that it may write to. It has
//! one processor, and the machine under it schedules it as it likes: what it measures proves order, never latency.

pub mod inside;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use twinhelm_linux::scheduling::{cores, pin_to_core};

/// The first program of the guest.
const INIT: &str = include_str!("guest/init.sh");
/// The folder in the guest that a command may write to.
pub const WINDOW: &str = "/mnt";
/// Where Debian puts the kernel, and its modules by release.
const KERNEL: &str = "/usr/bin/linux.uml";
/// The variable that names a guest kernel that has GPIO.
pub const OWN_KERNEL: &str = "TWINHELM_GUEST_KERNEL";
const MODULES: &str = "/usr/lib/uml/modules";
/// What the guest needs of this machine.
const PROGRAMS: [&str; 4] = ["modprobe", "ip", "cangw", "busybox"];
/// The guest's memory.
const MEMORY: &str = "mem=256M";

/// Why there is no verdict of a guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Something of it is not installed.
    #[error("{what} is missing: apt-get install user-mode-linux can-utils kmod iproute2 busybox-static")]
    Missing {
        /// What.
        what: String,
    },
    /// Debian's kernel keeps a processor's registers in 2,696 bytes; the host wants all that there are, or none.
    #[error(
        "the guest kernel of Debian does not start on a processor with AMX: `./dev hil --full` builds one that does, and \
         {OWN_KERNEL} names it"
    )]
    Processor,
    /// The kernel with GPIO was not built.
    #[error("there is no guest kernel with GPIO: `./dev hil --full` builds one, and {OWN_KERNEL} names it")]
    NoGpio,
    /// This machine does not start it.
    #[error("starting the guest: {0}")]
    Start(#[source] io::Error),
    /// It was still running.
    #[error("the guest did not end within {waited:?}, and was killed; it had said:\n{log}")]
    Silent {
        /// How long it had.
        waited: Duration,
        /// What it had said.
        log: String,
    },
    /// It ended without saying how its command did.
    #[error("the guest ended without a verdict; it had said:\n{log}")]
    NoVerdict {
        /// What it had said.
        log: String,
    },
}

/// What came of a command in the guest.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The command's exit code.
    pub code: i32,
    /// What it said, on both channels.
    pub log: String,
    /// From the start of the guest to its end.
    pub took: Duration,
}

/// A guest that can be started: everything that it needs was found.
#[derive(Clone, Debug)]
pub struct Guest {
    kernel: PathBuf,
}

impl Guest {
    /// Finds a guest kernel and what it needs: Debian's, or the other one where that does not start.
    ///
    /// # Errors
    /// [`GuestError::Missing`] names what to install, [`GuestError::Processor`] what to build.
    pub fn find() -> Result<Self, GuestError> {
        let missing = |what: &str| GuestError::Missing { what: what.to_owned() };
        for file in [KERNEL, MODULES] {
            if !Path::new(file).exists() {
                return Err(missing(file));
            }
        }
        let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        for program in PROGRAMS {
            if !folders.iter().any(|folder| Path::new(folder).join(program).exists()) {
                return Err(missing(program));
            }
        }
        if has_amx() {
            own_kernel().ok_or(GuestError::Processor)
        } else {
            Ok(Self { kernel: PathBuf::from(KERNEL) })
        }
    }

    /// Finds the other guest kernel, which has GPIO lines, too, and everything built in. [`OWN_KERNEL`] says where it is;
    /// `./dev hil --full` builds it.
    ///
    /// # Errors
    /// [`GuestError::NoGpio`] when it is not there.
    pub fn find_with_gpio() -> Result<Self, GuestError> {
        // The programs that it needs are the same.
        match Self::find() {
            Ok(_) | Err(GuestError::Processor) => own_kernel().ok_or(GuestError::NoGpio),
            Err(error) => Err(error),
        }
    }

    /// Returns the one module that cannot be built into a kernel, where `./dev` has built it beside that.
    fn i2c_stub(&self) -> Option<PathBuf> {
        let mut path = self.kernel.clone().into_os_string();
        path.push("-i2c-stub.ko");
        Some(PathBuf::from(path)).filter(|path| path.exists())
    }

    /// Has the ignored test `name` of this very program run in the guest. A name that no test has is a verdict of success:
    /// look for its `1 passed`.
    ///
    /// # Errors
    /// Those of [`Guest::run`].
    pub fn run_own_test(&self, name: &str, patience: Duration) -> Result<Verdict, GuestError> {
        let program = std::env::current_exe().map_err(GuestError::Start)?;
        let words = ["--exact", name, "--ignored", "--nocapture"].map(OsStr::new);
        let command: Vec<&OsStr> = std::iter::once(program.as_os_str()).chain(words).collect();
        self.run(&command, patience, |_window| ())
    }

    /// Boots, has `command` run as root of the guest in this process's folder, and waits for at most `patience`. What the
    /// command has written into [`WINDOW`] is handed to `take` then, in a folder that is gone afterwards.
    ///
    /// # Errors
    /// [`GuestError`] when there is no verdict; a command that fails is a verdict.
    pub fn run(
        &self,
        command: &[&OsStr],
        patience: Duration,
        take: impl FnOnce(&Path),
    ) -> Result<Verdict, GuestError> {
        let window = tempfile::tempdir().map_err(GuestError::Start)?;
        let path = window.path();
        write_files(path, command).map_err(GuestError::Start)?;
        let began = Instant::now();
        let console = fs::File::create(path.join("console")).map_err(GuestError::Start)?;
        let mut kernel = Command::new(&self.kernel);
        kernel
            .args([MEMORY, "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "noreboot"])
            .args(["con0=fd:0,fd:1", "con=null"])
            .arg(format!("init={}", path.join("init").display()))
            .arg(format!("uml_dir={}/", path.display()))
            .arg(format!("WINDOW={}", path.display()))
            .args(self.i2c_stub().map(|module| format!("STUB={}", module.display())))
            // Its memory is a file there.
            .env("TMPDIR", "/dev/shm")
            .stdin(Stdio::null())
            .stdout(console)
            .stderr(Stdio::null())
            // The processes of the guest are processes here, and all die together.
            .process_group(0);
        let mut kernel = start_on_one_core(&mut kernel).map_err(GuestError::Start)?;
        let ended = wait(kernel.id(), patience);
        if let Some(group) = i32::try_from(kernel.id()).ok().and_then(Pid::from_raw) {
            // Nobody is left, most times.
            let _ = kill_process_group(group, Signal::KILL);
        }
        kernel.wait().map_err(GuestError::Start)?;
        let said = |name: &str| fs::read(path.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned());
        let log = said("log").unwrap_or_default();
        if !ended.map_err(GuestError::Start)? {
            return Err(GuestError::Silent { waited: patience, log });
        }
        match said("code").ok().and_then(|code| code.trim().parse().ok()) {
            Some(code) => {
                take(path);
                Ok(Verdict { code, log, took: began.elapsed() })
            }
            None => Err(GuestError::NoVerdict { log: log + &said("console").unwrap_or_default() }),
        }
    }
}

/// Returns the kernel that `./dev` has built, if it has.
fn own_kernel() -> Option<Guest> {
    let kernel = std::env::var_os(OWN_KERNEL).map(PathBuf::from).filter(|kernel| kernel.exists())?;
    Some(Guest { kernel })
}

/// Returns whether the processor has Intel's matrix registers, of 8 KiB.
fn has_amx() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.split_whitespace().any(|flag| flag == "amx_tile"))
}

/// Starts the kernel on the last core that this process may use. It knows one core only, and each of its system calls is
/// a change between two processes here, which costs several times as much when they are on two cores.
fn start_on_one_core(kernel: &mut Command) -> io::Result<Child> {
    let start = || {
        if let Some(core) = cores()?.last() {
            pin_to_core(*core)?;
        }
        kernel.spawn()
    };
    // A child inherits the core from the thread that starts it; this thread keeps its own.
    std::thread::scope(|scope| scope.spawn(start).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts the guest has panicked")))
}

/// Lays what the guest reads into its window.
fn write_files(window: &Path, command: &[&OsStr]) -> io::Result<()> {
    let init = window.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let mut script = b"cd ".to_vec();
    script.extend(quoted(std::env::current_dir()?.as_os_str()));
    script.extend(b" && exec");
    for word in command {
        script.push(b' ');
        script.extend(quoted(word));
    }
    script.push(b'\n');
    fs::write(window.join("command"), script)
}

/// Returns `word` as a shell reads it back.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// Waits until process `id` has ended, at most for `patience`, and returns whether it has.
fn wait(id: u32, patience: Duration) -> io::Result<bool> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_back_whatever_is_in_it() {
        for word in ["plain", "two words", "it's", "$HOME", "a\nb"] {
            let mut script = b"printf %s ".to_vec();
            script.extend(quoted(OsStr::new(word)));
            let said = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script)).output().expect("sh");
            assert_eq!(String::from_utf8_lossy(&said.stdout), word);
        }
    }
}
