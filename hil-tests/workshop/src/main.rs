//! What `./dev` does that is a program: the stages of the tests, the guest kernel, images for boards, scenarios, figures.
//!
//! `./dev` installs what is missing, builds this, and hands over. Everything here calls other programs and looks at how they end;
//! nothing here knows what a vehicle is.

mod bench;
mod boards;
mod fuzz;
mod hil;
mod kernel;
mod mutants;
mod outcome;
mod program;
mod stages;
mod test;

use clap::{Parser, Subcommand};
use program::Failed;
use std::process::ExitCode;

/// The programs behind ./dev.
#[derive(Debug, Parser)]
#[command(
    name = "workshop",
    version,
    after_help = "Exit codes: 0 all is well, 1 something failed, 2 bad input, 3 this machine cannot do it."
)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Format, build, image, package, then all tests, with lints, documentation and cross builds beside them
    Test,
    /// The storm, and scenarios on the rigs host, netns and guest
    Hil {
        /// Every scenario on host and netns, the tests that are too long for every change, 10000 seeds, the explorer's finer grids, mutants, each fuzz target
        /// for 30 s
        #[arg(long)]
        full: bool,
        /// Seeds a class of the storm [default: 1000; 10000 with --full]
        seeds: Option<u32>,
    },
    /// The benchmarks, and the page of their figures
    Bench {
        /// Two minutes: fewer runs, on the rig host alone
        #[arg(long, conflicts_with = "readme")]
        quick: bool,
        /// Writes the tables of README.md and docs, too
        #[arg(long)]
        readme: bool,
    },
    /// Builds the mission for boards, runs each program under qemu, and compares its report with this machine's
    Images {
        /// Platforms, such as linux/arm/v6
        #[arg(default_values = ["linux/arm/v6", "linux/arm/v7", "linux/386"])]
        platforms: Vec<String>,
        /// Without optimisation: for a test, not for a board
        #[arg(long)]
        quick: bool,
    },
    /// Builds the fuzz targets, and runs each from its seeds
    Fuzz {
        /// So long each, in seconds
        #[arg(default_value_t = 30)]
        seconds: u32,
    },
    /// Changes the gate, the node and the turn one thing at a time, and tests whether a test notices
    Mutants,
    /// Builds the guest kernel that has GPIO, if the cache does not have it, and prints where it is
    Kernel,
}

fn main() -> ExitCode {
    let done = match Cli::parse().what {
        What::Test => test::run(),
        What::Hil { full, seeds } => hil::run(full, seeds),
        What::Bench { quick, readme } => bench::run(quick, readme),
        What::Images { platforms, quick } => boards::run(&platforms, quick),
        What::Fuzz { seconds } => fuzz::run(seconds),
        What::Mutants => mutants::run(),
        What::Kernel => kernel::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {failed}");
            match failed {
                Failed::Machine(_) => ExitCode::from(3),
                Failed::Program { .. } | Failed::Stages(_) | Failed::Wrong(_) => ExitCode::FAILURE,
            }
        }
    }
}
