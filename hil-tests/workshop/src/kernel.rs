//! A guest kernel with GPIO, which Debian's lacks: from Debian's source, with the configuration of this repository. It is
//! kept outside the tree, by version and configuration, so it is built once.

use crate::program::{Call, Failed, say};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Debian's package of the source.
const SOURCE: &str = "linux-source-6.12";
/// The variable that tells the tests where it is.
pub(crate) const VARIABLE: &str = "TWINHELM_GUEST_KERNEL";
/// Where its build leaves what it says, when it is no stage of others.
pub(crate) const LOG: &str = "target/workshop/kernel.log";
const CONFIG: &str = "hil-tests/rigs/kernel/uml.config";
/// Debian's guest kernel keeps a processor's registers in so many bytes; those of one with AMX need more, and the host wants
/// them whole or not at all.
const REGISTERS: (&str, &str) = ("HOST_FP_SIZE, 2696", "HOST_FP_SIZE, 12288");

/// Builds it if it is not there, and prints where it is.
pub(crate) fn run() -> Result<(), Failed> {
    let path = find_or_build(Path::new(LOG))?;
    println!("{}", path.display());
    Ok(())
}

/// Returns where it is; built now, if the cache does not have it, with what the build says in `log`.
pub(crate) fn find_or_build(log: &Path) -> Result<PathBuf, Failed> {
    let place = place()?;
    if !place.exists() {
        build(&place, log)?;
    }
    Ok(place)
}

/// Returns where it is on a processor on which Debian's guest kernel does not start, and it has to take that one's place.
pub(crate) fn for_this_processor() -> Result<Option<PathBuf>, Failed> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if !processor.split_whitespace().any(|flag| flag == "amx_tile") {
        return Ok(None);
    }
    say("a guest kernel for this processor");
    find_or_build(Path::new(LOG)).map(Some)
}

/// Returns the name that it has in the cache.
fn place() -> Result<PathBuf, Failed> {
    let policy = Call::new("apt-cache policy").arg(SOURCE).output()?;
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    let version = candidate.filter(|version| *version != "(none)").ok_or_else(|| {
        Failed::Machine(format!("there is no package {SOURCE}: call `apt-get update`, on Debian 12 or 13"))
    })?;
    let config = fs::read(CONFIG).map_err(about(CONFIG))?;
    let digest: String = Sha256::digest(config).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(cache()?.join(format!("linux-{version}-{digest}")))
}

/// Returns the folder of what outlives the tree.
fn cache() -> Result<PathBuf, Failed> {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = named.or_else(home).ok_or_else(|| Failed::Machine("HOME is not set".to_owned()))?;
    Ok(folder.join("twinhelm"))
}

fn build(place: &Path, log: &Path) -> Result<(), Failed> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(about(folder.display()))?;
    }
    let work = tempfile::tempdir().map_err(about("a folder for the kernel's source"))?;
    let config = fs::canonicalize(CONFIG).map_err(about(CONFIG))?;
    let (source, built) = (work.path().join(SOURCE), work.path().join("built"));
    let call = |words: &str| Call::new(words).within(work.path()).into_log(log);
    call("apt-get download -q")?.arg(SOURCE).run()?;
    call("dpkg -x")?.arg(packed(work.path(), ".deb")?).arg(".").run()?;
    call("tar xf")?.arg(format!("usr/src/{SOURCE}.tar.xz")).run()?;
    make_room_for_registers(&source.join("arch/x86/um/user-offsets.c"))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let make = || {
        let make = call("make ARCH=um")?.arg("-C").arg(&source).arg(format!("O={}", built.display()));
        Ok::<_, Failed>(make.arg(format!("-j{cores}")))
    };
    make()?.arg(format!("KCONFIG_ALLCONFIG={}", config.display())).arg("allnoconfig").run()?;
    make()?.args(["linux", "modules"]).run()?;
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(about(folder.display()))?;
    let module = beside(place, "-i2c-stub.ko");
    fs::copy(built.join("drivers/i2c/i2c-stub.ko"), &module).map_err(about(module.display()))?;
    // Whoever finds it finds all of it.
    let new = beside(place, ".new");
    call("strip -o")?.arg(&new).arg(built.join("linux")).run()?;
    fs::rename(&new, place).map_err(about(place.display()))
}

fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

fn packed(folder: &Path, ending: &str) -> Result<PathBuf, Failed> {
    let files = fs::read_dir(folder).map_err(about(folder.display()))?.flatten().map(|entry| entry.path());
    let found = files.filter(|path| path.to_string_lossy().ends_with(ending)).max();
    found.ok_or_else(|| Failed::Wrong(format!("apt-get download brought no {SOURCE}")))
}

fn make_room_for_registers(file: &Path) -> Result<(), Failed> {
    let text = fs::read_to_string(file).map_err(about(file.display()))?;
    if !text.contains(REGISTERS.0) {
        let problem =
            format!("{}: no {:?} any more; look at what has taken its place", file.display(), REGISTERS.0);
        return Err(Failed::Wrong(problem));
    }
    fs::write(file, text.replace(REGISTERS.0, REGISTERS.1)).map_err(about(file.display()))
}

fn about(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Failed {
    move |error| Failed::Machine(format!("{what}: {error}"))
}
