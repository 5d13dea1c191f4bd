//! Images for boards: built for several platforms, and tried under qemu, where the report of a simulated run has to be this machine's,
//! byte for byte.

use crate::program::{Call, Failed, say};
use std::fs;
use std::path::Path;

const PROGRAM: &str = "target/debug/vehicle-demo";
const TWINHELM: &str = "target/debug/twinhelm";
const RUNS: &str = "target/image-runs";
/// A simulated run in which something happens.
const RUN: &str = "run --rig sim --fault kill@5s --json";

/// How a board's program runs here.
struct Emulated {
    platform: &'static str,
    /// The emulator, with the oldest processor that the platform stands for.
    emulator: &'static str,
    target: &'static str,
}

const EMULATED: [Emulated; 4] = [
    Emulated {
        platform: "linux/arm/v6",
        emulator: "qemu-arm-static -cpu arm1176",
        target: "arm-unknown-linux-musleabihf",
    },
    Emulated {
        platform: "linux/arm/v7",
        emulator: "qemu-arm-static -cpu cortex-a7",
        target: "armv7-unknown-linux-musleabihf",
    },
    Emulated { platform: "linux/386", emulator: "qemu-i386-static", target: "i686-unknown-linux-musl" },
    Emulated { platform: "linux/arm64", emulator: "qemu-aarch64-static", target: "aarch64-unknown-linux-musl" },
];

/// Builds, verifies, and tries.
pub(crate) fn run(platforms: &[String], quick: bool) -> Result<(), Failed> {
    let list = platforms.join(",");
    say(format_args!("building for {list}"));
    let image = "oci:target/images:boards";
    let build = Call::new(TWINHELM).args(["image", "build", "--data", "vehicle-demo/vehicle.toml", "--out", image]);
    build.args(["--platform", &list]).args(quick.then_some("--quick")).run()?;
    Call::new(TWINHELM).args(["image", "verify", image]).run()?;
    fs::create_dir_all(RUNS).map_err(|error| Failed::Machine(format!("{RUNS}: {error}")))?;
    let native = format!("{RUNS}/native.json");
    simulate(Call::new(PROGRAM), &native)?;
    for platform in platforms {
        let Some(emulated) = EMULATED.iter().find(|emulated| emulated.platform == platform) else {
            println!("no emulation for {platform} here");
            continue;
        };
        try_under_qemu(emulated, quick, &native)?;
    }
    Ok(())
}

fn try_under_qemu(emulated: &Emulated, quick: bool, native: &str) -> Result<(), Failed> {
    let Emulated { platform, emulator, target } = emulated;
    say(format_args!("{platform} under qemu"));
    let profile = if quick { "image-quick" } else { "image" };
    let program = format!("target/image/{target}/{profile}/vehicle-demo");
    let under = || Call::new(emulator).arg(&program);
    under().arg("--version").run()?;
    under().args(["check", "vehicle-demo/vehicle.toml"]).run()?;
    let report = format!("{RUNS}/{}.json", platform.replace('/', "-"));
    simulate(under(), &report)?;
    if read(&report)? != read(native)? {
        return Err(Failed::Wrong(format!(
            "{platform} computes something else than this machine: compare {report} with {native}"
        )));
    }
    println!("{platform}: the same report as on this machine, byte for byte");
    Ok(())
}

/// Has a program simulate, and keeps its report.
fn simulate(program: Call, report: &str) -> Result<(), Failed> {
    program.args(RUN.split(' ')).arg(report).output().map(drop)
}

fn read(path: &str) -> Result<Vec<u8>, Failed> {
    fs::read(Path::new(path)).map_err(|error| Failed::Machine(format!("{path}: {error}")))
}
