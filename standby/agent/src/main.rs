//! `twinhelm`: the device agent, and the command for images and for how the agents stand.

#![forbid(unsafe_code)]

mod agent;
mod cli;
mod config;
mod image;
mod output;
mod status;

fn main() -> std::process::ExitCode {
    cli::main()
}
