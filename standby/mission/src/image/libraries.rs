//! What a dynamically linked program needs beside it: its loader, and the libraries that the loader would load on this machine.
//!
//! Which those are, only the loader knows: it is asked (`LOADER --list PROGRAM`, as `ldd` does), and it is the one that the program
//! names. So this works for programs of this machine alone.

use super::error::{At, ImageError, Kind};
use super::platform::Platform;
use elf::abi::{ELFMAGIC, PT_INTERP};
use elf::endian::AnyEndian;
use elf::{ElfStream, ParseError};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the files that `program` needs, by their place in an image's root; none when it is linked statically, or is no ELF
/// file (a script brings nothing).
///
/// # Errors
/// It is cut off, it is for another machine, or a library of it is not here.
pub fn needed(program: &Path, platform: Platform) -> Result<BTreeMap<String, PathBuf>, ImageError> {
    let name = program.display().to_string();
    let at = At { image: &name, step: "packing" };
    let Some(loader) = loader_of(at, program)? else { return Ok(BTreeMap::new()) };
    if Platform::of_this_machine() != Some(platform) {
        let problem = format!("it is linked dynamically, and its libraries for {platform} are not on this machine");
        return Err(at.error(Kind::Platform, problem, "link it statically, or pack it on such a machine"));
    }
    let listed = Command::new(&loader).arg("--list").arg(program).output().map_err(at.io(loader.display()))?;
    if !listed.status.success() {
        let problem = format!("{}: {}", loader.display(), String::from_utf8_lossy(&listed.stderr).trim());
        return Err(at.error(Kind::Format, problem, "name a program that runs on this machine"));
    }
    let mut files = BTreeMap::from([(place(&loader), loader)]);
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        match library(line) {
            Library::At(path) => drop(files.insert(place(&path), path)),
            Library::NotFound(name) => {
                let problem = format!("its library {name} is not found on this machine");
                return Err(at.error(Kind::Format, problem, "install it, or link the program statically"));
            }
            Library::OfTheKernel => {}
        }
    }
    Ok(files)
}

/// Returns the loader that a program names; `None` when it is linked statically.
fn loader_of(at: At<'_>, program: &Path) -> Result<Option<PathBuf>, ImageError> {
    let mut file = File::open(program).map_err(at.io("opening it"))?;
    let mut begins = Vec::new();
    file.by_ref().take(ELFMAGIC.len() as u64).read_to_end(&mut begins).map_err(at.io("reading it"))?;
    if begins != ELFMAGIC {
        return Ok(None);
    }
    let broken = |error: ParseError| at.error(Kind::Format, format!("its ELF header: {error}"), "build it again");
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(file).map_err(broken)?;
    let Some(header) = elf.segments().iter().find(|segment| segment.p_type == PT_INTERP).copied() else {
        return Ok(None);
    };
    let name = elf.segment_data(&header).map_err(broken)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(PathBuf::from(String::from_utf8_lossy(name).into_owned())))
}

/// What a line of the loader's list says.
#[derive(Debug, PartialEq)]
enum Library {
    At(PathBuf),
    NotFound(String),
    /// It is in no file.
    OfTheKernel,
}

fn library(line: &str) -> Library {
    let line = line.trim();
    let (name, found) = line.split_once(" => ").unwrap_or((line, line));
    if found.starts_with("not found") {
        return Library::NotFound(name.to_owned());
    }
    let path = found.split(" (0x").next().unwrap_or(found);
    if path.starts_with('/') { Library::At(PathBuf::from(path)) } else { Library::OfTheKernel }
}

fn place(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_file_a_gap_or_the_kernels_own() {
        let at = |path: &str| Library::At(PathBuf::from(path));
        assert_eq!(
            library("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c)"),
            at("/lib/x86_64-linux-gnu/libc.so.6")
        );
        assert_eq!(library("\t/lib64/ld-linux-x86-64.so.2 (0x00007f1c)"), at("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffd)"), Library::OfTheKernel);
        assert_eq!(library("\tlibodd.so.1 => not found"), Library::NotFound("libodd.so.1".to_owned()));
        assert_eq!(library("\tstatically linked"), Library::OfTheKernel);
    }

    #[test]
    fn this_test_needs_its_loader_and_the_c_library_and_no_other_machine_has_them() {
        let program = std::env::current_exe().unwrap();
        let here = Platform::of_this_machine().unwrap();
        let files = needed(&program, here).unwrap();
        assert!(files.keys().any(|name| name.contains("ld-")), "{files:?}");
        assert!(files.keys().any(|name| name.contains("libc.")), "{files:?}");
        assert!(files.values().all(|path| path.exists()), "{files:?}");
        let other = Platform::ALL.into_iter().find(|platform| *platform != here).unwrap();
        let error = needed(&program, other).unwrap_err();
        assert!(error.to_string().contains("link it statically"), "{error}");
    }

    #[test]
    fn a_static_program_and_a_script_need_nothing_and_what_is_cut_off_is_refused() {
        let here = Platform::of_this_machine().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/true\n").unwrap();
        assert!(needed(&script, here).unwrap().is_empty());
        let this = std::env::current_exe().unwrap();
        let loader = needed(&this, here).unwrap().into_iter().find(|(name, _)| name.contains("ld-")).unwrap().1;
        // The loader itself names no other.
        assert!(needed(&loader, here).unwrap().is_empty());
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &std::fs::read(&this).unwrap()[..100]).unwrap();
        let error = needed(&cut, here).unwrap_err();
        assert!(error.to_string().contains("build it again"), "{error}");
    }
}
