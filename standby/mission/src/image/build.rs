//! Building the mission's program for the boards: which compiler can do it on this machine, and how it is called.
//!
//! Three ways lead to a static program, tried in this order for each platform:
//!
//! 1. rustup's standard library for the platform, with `cargo zigbuild` for linker and C library;
//! 2. for this machine's own platform: the compiler that built this, with glibc linked statically;
//! 3. a compiler that carries the standard library's source (Debian's `rustc-web` and `rust-web-src`), which builds it on
//!    the way, with `cargo zigbuild` as well.
//!
//! The paths of folders do not get into the program, so the same sources, lock file and compiler give the same bytes
//! wherever they are: a wrapper around the compiler names them otherwise (`--remap-path-prefix`). As flags for the program
//! alone this would leave macros out, which run on this machine, and a macro that knows its folder changes what is compiled
//! with it.

use super::error::{At, ImageError, Kind};
use super::platform::Platform;
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is to be built.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The workspace's folder.
    pub workspace: PathBuf,
    /// The package, whose program has its name.
    pub package: String,
    /// Where cargo may keep what it compiles.
    pub target: PathBuf,
    /// Without optimisation: sooner there, and slower than a board should have it.
    pub quick: bool,
}

impl Recipe {
    /// Returns the name of the profile, and what it is. It is given on the command line: the workspace need not have it.
    const fn profile(&self) -> (&'static str, &'static [&'static str]) {
        if self.quick {
            const SETTINGS: &[&str] = &[
                "profile.image-quick.inherits=\"release\"",
                "profile.image-quick.opt-level=0",
                "profile.image-quick.panic=\"abort\"",
            ];
            ("image-quick", SETTINGS)
        } else {
            ("image", &["profile.image.inherits=\"release\"", "profile.image.panic=\"abort\""])
        }
    }
}

/// How a platform's program is built on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// With rustup's standard library for the platform.
    Installed,
    /// With this machine's own compiler and C library.
    Native {
        /// What the compiler calls this machine.
        target: String,
    },
    /// With a standard library that is compiled on the way.
    FromSource {
        /// The compiler that has its source.
        rustc: PathBuf,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed => f.write_str("rustup's standard library, zig's linker and C library"),
            Self::Native { target } => write!(f, "this machine's compiler for {target}, glibc linked statically"),
            Self::FromSource { rustc } => {
                write!(f, "{} and its standard library from source, zig's linker and C library", rustc.display())
            }
        }
    }
}

/// A platform that cannot be built for on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{platform} cannot be built here: {why}; {remedy}")]
pub struct Impossible {
    /// The platform.
    pub platform: Platform,
    /// What is missing.
    pub why: String,
    /// The commands that would make it possible.
    pub remedy: String,
}

/// The compiler that carries the standard library's source, where Debian puts it.
const SECOND_COMPILER: &str = "/usr/bin/rustc";

/// Finds the way to build for `platform` here.
///
/// # Errors
/// There is none: what is missing, and the commands that would make it possible.
pub fn way(platform: Platform) -> Result<Way, Impossible> {
    let target = platform.target();
    let zig = runs("cargo-zigbuild", &["--version"]);
    let rustup = output("rustc", &["--print", "target-libdir", "--target", target]);
    if zig && rustup.is_some_and(|folder| has_standard_library(Path::new(&folder))) {
        return Ok(Way::Installed);
    }
    if Platform::of_this_machine() == Some(platform)
        && let Some(target) = output("rustc", &["--print", "host-tuple"])
        && Path::new("/usr/lib").join(target.replace("-unknown", "")).join("libc.a").exists()
    {
        return Ok(Way::Native { target });
    }
    let second = PathBuf::from(SECOND_COMPILER);
    let sources = output(SECOND_COMPILER, &["--print", "sysroot"])
        .map(|root| Path::new(&root).join("lib/rustlib/src/rust/library/std/Cargo.toml"));
    if zig && sources.is_some_and(|sources| sources.exists()) {
        return Ok(Way::FromSource { rustc: second });
    }
    let why = if zig { "no compiler here has its standard library" } else { "cargo-zigbuild is missing" };
    let remedy = format!(
        "with rustup: rustup target add {target} && pip install cargo-zigbuild ziglang; on Debian 12 without it: apt-get \
         install rustc-web cargo-web rust-web-src, and the same pip install"
    );
    Err(Impossible { platform, why: why.to_owned(), remedy })
}

/// Builds the program for `platform`, and returns where it is. Each line that cargo says is told.
///
/// # Errors
/// There is no way here, or the compiler refuses.
pub fn build(
    recipe: &Recipe,
    platform: Platform,
    way: &Way,
    tell: &mut dyn FnMut(&str),
) -> Result<PathBuf, ImageError> {
    let name = format!("{} for {platform}", recipe.package);
    let at = At { image: &name, step: "building" };
    let mut flags = vec!["-Cstrip=symbols".to_owned()];
    let (profile, settings) = recipe.profile();
    let wrapper = write_wrapper(recipe).map_err(at.io("writing the wrapper around the compiler"))?;
    let mut cargo;
    let target = match way {
        Way::Native { target } => {
            cargo = Command::new("cargo");
            cargo.arg("build");
            flags.push("-Ctarget-feature=+crt-static".to_owned());
            target.clone()
        }
        Way::Installed => {
            cargo = Command::new("cargo");
            cargo.arg("zigbuild");
            platform.target().to_owned()
        }
        Way::FromSource { rustc } => {
            cargo = Command::new(rustc.with_file_name("cargo"));
            cargo.args(["zigbuild", "-Zbuild-std=std,panic_abort"]);
            // The standard library's own crt1.o is not there, zig's is.
            flags.push("-Clink-self-contained=no".to_owned());
            cargo.env("RUSTC", rustc).env("CARGO", rustc.with_file_name("cargo")).env("RUSTC_BOOTSTRAP", "1");
            platform.target().to_owned()
        }
    };
    cargo
        .args(settings.iter().flat_map(|setting| ["--config", *setting]))
        .args(["--locked", "--profile", profile, "--package", &recipe.package, "--bin", &recipe.package])
        .arg("--target")
        .arg(&target)
        .arg("--target-dir")
        .arg(&recipe.target)
        .current_dir(&recipe.workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("RUSTC_WRAPPER", wrapper)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = cargo.spawn().map_err(at.io("starting cargo"))?;
    let mut last = Vec::new();
    if let Some(errors) = child.stderr.take() {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            tell(line.trim());
            last.push(line);
            if last.len() > LINES_KEPT {
                last.remove(0);
            }
        }
    }
    let status = child.wait().map_err(at.io("waiting for cargo"))?;
    if !status.success() {
        let problem = format!("cargo failed ({status}):\n{}", last.join("\n"));
        return Err(at.error(Kind::Unable, problem, "mend what the compiler names"));
    }
    Ok(recipe.target.join(target).join(profile).join(&recipe.package))
}

/// So many of cargo's last lines are in the error when it fails.
const LINES_KEPT: usize = 25;

/// Returns the folders whose names would get into the program, and what stands there instead.
fn prefixes(recipe: &Recipe) -> Vec<(PathBuf, &'static str)> {
    let home = std::env::var_os("HOME").unwrap_or_else(|| OsString::from("/"));
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| Path::new(&home).join(".cargo"), PathBuf::from);
    // The last one that fits counts: the target folder is often below the workspace.
    vec![(cargo, "/cargo"), (recipe.workspace.clone(), "/twinhelm"), (recipe.target.clone(), "/target")]
}

/// Writes a program that calls the compiler with other names for the folders, and returns where it is.
fn write_wrapper(recipe: &Recipe) -> std::io::Result<PathBuf> {
    let path = recipe.target.join("rustc-without-folders");
    let mut script = String::from("#!/bin/sh\nexec \"$@\"");
    for (folder, stands_for) in prefixes(recipe) {
        let flag = format!("--remap-path-prefix={}={stands_for}", folder.display());
        script += &format!(" '{}'", flag.replace('\'', r"'\''"));
    }
    script.push('\n');
    std::fs::create_dir_all(&recipe.target)?;
    // The same again would make cargo compile everything anew.
    if std::fs::read_to_string(&path).is_ok_and(|there| there == script) {
        return Ok(path);
    }
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(path)
}

fn has_standard_library(folder: &Path) -> bool {
    let is_std = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_std))
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    output(program, arguments).is_some()
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
