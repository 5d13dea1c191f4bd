//! The fuzz targets: built once for the address sanitizer, and each run from its seeds for a while. docs/fuzzing.md says what they
//! feed. What libFuzzer finds of use stays under `target`; what breaks a target, too, and it is said where.

use crate::program::{Call, Failed};
use std::fs;
use std::path::{Path, PathBuf};

const PACKAGE: &str = "hil-tests/fuzz";
const BUILT: &str = "target/fuzz";
/// An input that takes longer has made a target hang.
const TIMEOUT_S: u32 = 20;

/// Builds all targets, and runs each for `seconds`.
pub(crate) fn run(seconds: u32) -> Result<(), Failed> {
    // The sanitizer is an unstable flag of the stable compiler.
    let build = Call::new("cargo fuzz build --fuzz-dir").args([PACKAGE, "--target-dir", BUILT]);
    build.env("RUSTC_BOOTSTRAP", "1").run()?;
    let programs = Path::new(BUILT).join(host()?).join("release");
    let mut broken = Vec::new();
    for target in targets()? {
        match run_one(&programs.join(&target), &target, seconds) {
            Ok(figures) => println!("{target:<14} {figures}"),
            Err(problem) => {
                println!("{target:<14} {problem}");
                broken.push(target);
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Failed::Wrong(format!("these break: {}", broken.join(", ")))) }
}

/// Returns the names of the targets, in order.
fn targets() -> Result<Vec<String>, Failed> {
    let folder = Path::new(PACKAGE).join("fuzz_targets");
    let unreadable = |error: std::io::Error| Failed::Machine(format!("{}: {error}", folder.display()));
    let files = fs::read_dir(&folder).map_err(unreadable)?.flatten().map(|entry| entry.path());
    let mut names: Vec<String> =
        files.filter_map(|path| path.file_stem().map(|name| name.to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

/// Returns the triple that this machine's compiler builds for, which cargo-fuzz names.
fn host() -> Result<String, Failed> {
    let said = Call::new("rustc -vV").output()?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failed::Wrong(format!("rustc -vV names no host: {said}")))
}

/// Runs one target, and returns its figures.
fn run_one(program: &Path, target: &str, seconds: u32) -> Result<String, Failed> {
    let place = |what: &str| Path::new(BUILT).join(what).join(target);
    let (found, failed) = (place("found"), place("failed"));
    for folder in [&found, &failed] {
        fs::create_dir_all(folder).map_err(|error| Failed::Machine(format!("{}: {error}", folder.display())))?;
    }
    let log = failed.join("log.txt");
    // Of an earlier call; there may be none.
    let _ = fs::remove_file(&log);
    let call =
        Call::new(&program.to_string_lossy()).args([&found, &Path::new(PACKAGE).join("corpus").join(target)]);
    let call = call.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={TIMEOUT_S}"),
        format!("-artifact_prefix={}/", failed.display()),
        "-rss_limit_mb=4096".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    let code = call.into_log(&log)?.code()?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    if code == Some(0) {
        return Ok(figures(&said));
    }
    let input = said.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let input = input.map_or_else(|| log.clone(), PathBuf::from);
    let again = format!("{} {}", program.display(), input.display());
    Err(Failed::Wrong(format!(
        "breaks on {}; once more: {again}; what it said: {}",
        input.display(),
        log.display()
    )))
}

/// Returns executions and coverage, as libFuzzer says them last.
fn figures(said: &str) -> String {
    let last = |what: &str| {
        let words = said.lines().rev().find_map(|line| line.split_once(what).map(|(_, rest)| rest));
        words.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    let (runs, covered) = (last("stat::number_of_executed_units:"), last("cov: "));
    format!("{runs:>9} executions, {covered:>6} edges")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_that_libfuzzer_says() {
        let said =
            "#2 INITED cov: 10 ft: 11\n#9 DONE   cov: 12 ft: 13 corp: 2/2b\nstat::number_of_executed_units: 345\n";
        assert_eq!(figures(said), "      345 executions,     12 edges");
        assert_eq!(figures(""), "        ? executions,      ? edges");
    }
}
