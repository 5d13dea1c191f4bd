//! `twinhelm`: the device agent, and the command for images, for how the agents stand, and for what a machine needs.

#![forbid(unsafe_code)]

mod agent;
mod cli;
mod config;
mod data;
mod doctor;
mod image;
mod jitter;
mod keys;
mod orders;
mod output;
mod status;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use twinhelm_linux::process::{end_with_any_thread, outlive_file_limits};

fn main() -> ExitCode {
    if let Some(exceptions) = missing_exception() {
        let again = std::env::current_exe().map(|program| {
            Command::new(program).args(std::env::args_os().skip(1)).env("NO_PROXY", exceptions).exec()
        });
        output::tell(format_args!("keeping the proxy away from loopback: {}", again.unwrap_or_else(|error| error)));
        return ExitCode::from(3);
    }
    outlive_file_limits();
    end_with_any_thread();
    cli::main()
}

/// Images are unpacked through loopback. Where a proxy is set, it has to be told that loopback is none of its business;
/// returns the list of exceptions when loopback is not on it.
fn missing_exception() -> Option<String> {
    const LOOPBACK: &str = "127.0.0.1";
    let names = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"];
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_proxy = names.iter().any(|name| is_set(name) || is_set(&name.to_lowercase()));
    let exceptions = std::env::var("NO_PROXY").unwrap_or_default();
    if !has_proxy || exceptions.split(',').any(|one| matches!(one.trim(), LOOPBACK | "*")) {
        return None;
    }
    let lower = std::env::var("no_proxy").unwrap_or_default();
    let all = [exceptions.as_str(), lower.as_str(), LOOPBACK];
    Some(all.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(","))
}
