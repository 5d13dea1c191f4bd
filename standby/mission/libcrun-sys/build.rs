//! Finds libcrun 1.8: by `LIBCRUN_PREFIX`, then by pkg-config, then in Debian's package `crun`, whose `libcrun.a` comes
//! without headers and without a file for pkg-config.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The layouts in `src/lib.rs` are those of this series; others moved fields without a word.
const SERIES: &str = "1.8.";
/// What Debian's libcrun is linked with, by the names of its run-time packages.
const DEBIANS: [&str; 4] = ["libyajl.so.2", "libseccomp.so.2", "libcap.so.2", "libsystemd.so.0"];
const REMEDY: &str = "on Debian 12: apt-get install crun libyajl2 libseccomp2 libcap2 libsystemd0; elsewhere build \
                      crun 1.8 and set LIBCRUN_PREFIX to its prefix, with its version in lib/libcrun.version";

fn main() {
    println!("cargo::rerun-if-env-changed=LIBCRUN_PREFIX");
    match find() {
        Ok(version) => println!("cargo::rustc-env=LIBCRUN_VERSION={version}"),
        Err(problem) => println!("cargo::error=libcrun: {problem}; {REMEDY}"),
    }
}

/// Links with the library that was found, and returns its version.
fn find() -> Result<String, String> {
    if let Some(prefix) = env::var_os("LIBCRUN_PREFIX") {
        return in_prefix(&PathBuf::from(prefix).join("lib"));
    }
    let mut config = pkg_config::Config::new();
    // A library whose version is refused is not linked with.
    if let Ok(found) = config.cargo_metadata(false).statik(true).probe("libcrun") {
        let version = accepted(&found.version, "pkg-config")?;
        config.cargo_metadata(true).probe("libcrun").map_err(|error| error.to_string())?;
        return Ok(version);
    }
    of_debian()
}

fn in_prefix(folder: &Path) -> Result<String, String> {
    let path = folder.join("libcrun.version");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let version = accepted(text.trim(), &path.display().to_string())?;
    link_static(folder)?;
    for library in ["seccomp", "cap"] {
        println!("cargo::rustc-link-lib={library}");
    }
    Ok(version)
}

fn of_debian() -> Result<String, String> {
    let asked = Command::new("dpkg-query").args(["--show", "--showformat", "${Version}", "crun"]).output();
    let installed = asked.ok().filter(|output| output.status.success());
    let version = installed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.filter(|version| !version.is_empty());
    let version = version.ok_or("neither LIBCRUN_PREFIX nor pkg-config nor Debian's package crun names one")?;
    let upstream = version.split('-').next().unwrap_or_default();
    let version = accepted(upstream, "Debian's package crun")?;
    let triplet = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86") => "i386-linux-gnu".to_owned(),
        Ok("arm") => "arm-linux-gnueabihf".to_owned(),
        Ok(arch) => format!("{arch}-linux-gnu"),
        Err(error) => return Err(error.to_string()),
    };
    link_static(&PathBuf::from("/usr/lib").join(triplet))?;
    for library in DEBIANS {
        println!("cargo::rustc-link-lib=dylib:+verbatim={library}");
    }
    Ok(version)
}

fn link_static(folder: &Path) -> Result<(), String> {
    let library = folder.join("libcrun.a");
    if !library.is_file() {
        return Err(format!("{} is not there", library.display()));
    }
    println!("cargo::rerun-if-changed={}", library.display());
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static=crun");
    Ok(())
}

fn accepted(version: &str, said_by: &str) -> Result<String, String> {
    if version.starts_with(SERIES) {
        return Ok(version.to_owned());
    }
    Err(format!("{said_by} says version {version:?}, and the bindings are those of {SERIES}x"))
}
