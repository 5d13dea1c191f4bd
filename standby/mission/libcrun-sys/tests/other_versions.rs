//! A libcrun of another series is refused when it is built against, and the message says what to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Checks this crate against a libcrun that says that it is `version`, in a folder of its own.
fn check(folder: &Path, version: &str) -> Output {
    let lib = folder.join("lib");
    fs::create_dir_all(&lib).expect("a folder");
    fs::write(lib.join("libcrun.version"), version).expect("a file");
    Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--locked", "--package", "libcrun-sys", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("LIBCRUN_PREFIX", folder)
        .output()
        .expect("cargo runs")
}

#[test]
fn another_series_is_refused_by_its_version() {
    let folder = tempfile::tempdir().expect("a folder");
    for version in ["1.21", "1.9.2", "2.0"] {
        let output = check(folder.path(), version);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{version} is accepted");
        let names = format!("says version {version:?}, and the bindings are those of 1.8.x");
        assert!(said.contains(&names) && said.contains("apt-get install crun"), "{said}");
    }
}

#[test]
fn a_prefix_without_a_library_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = check(folder.path(), "1.8.1");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("lib/libcrun.a is not there"), "{said}");
}

#[test]
fn this_one_is_of_the_series() {
    assert!(libcrun_sys::VERSION.starts_with("1.8."));
}
