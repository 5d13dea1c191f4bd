//! The machine itself: kernel, rights, clock, containers, disk.

use super::Finding;
use super::root::Root;
use crate::output::bytes;
use twinhelm_linux::scheduling::Priority;

/// The highest that a device, or a gate on its board, takes.
const PRIORITY: u64 = Priority::VEHICLE.level() as u64;
/// What a device locks into memory, generously.
const LOCKED_BYTES: u64 = 256 << 20;
/// What a mission's image, its layers and a recording need.
const DISK_BYTES: u64 = 1 << 30;
/// Bits of a capability set (linux/capability.h).
const CAP_IPC_LOCK: u64 = 1 << 14;
const CAP_SYS_NICE: u64 = 1 << 23;

pub(super) fn findings(root: &Root) -> Vec<Finding> {
    vec![
        kernel(root),
        priority(root),
        throttling(root),
        governor(root),
        memory_lock(root),
        clock(root),
        cgroups(root),
        runtime(root),
        disk(root),
    ]
}

fn kernel(root: &Root) -> Finding {
    let release = root.read("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    if root.read("sys/kernel/realtime").as_deref() == Some("1") {
        return Finding::ok("kernel", format!("{release}, PREEMPT_RT"));
    }
    let version = root.read("proc/version").unwrap_or_default();
    let (model, why) = if version.contains("PREEMPT") {
        ("preemptible, not PREEMPT_RT", "its delays have no bound: `twinhelm jitter` measures them")
    } else {
        ("not preemptible", "a system call can hold the control thread up for milliseconds")
    };
    Finding::note(
        "kernel",
        format!("{release}, {model}"),
        why,
        "apt-get install linux-image-rt-amd64 (or -rt-arm64)",
    )
}

fn priority(root: &Root) -> Finding {
    const WHAT: &str = "real-time rights";
    if has_capability(root, CAP_SYS_NICE) {
        return Finding::ok(WHAT, "CAP_SYS_NICE");
    }
    match limit(root, "Max realtime priority") {
        Some(limit) if limit >= PRIORITY => Finding::ok(WHAT, format!("priority up to {limit}")),
        limit => Finding::missing(
            WHAT,
            format!("priority up to {}", limit.unwrap_or(0)),
            "the control thread waits behind every other program",
            format!(
                "as a service: LimitRTPRIO={PRIORITY} in its unit; for a user: echo \"$USER - rtprio {PRIORITY}\" | sudo tee \
                 /etc/security/limits.d/twinhelm.conf, then log in again"
            ),
        ),
    }
}

fn throttling(root: &Root) -> Finding {
    const WHAT: &str = "real-time throttling";
    const WHY: &str = "real-time threads are stopped when they have used their part of each period";
    let number =
        |name: &str| root.read(&format!("proc/sys/kernel/{name}")).and_then(|text| text.parse::<i64>().ok());
    let (Some(runtime), Some(period)) = (number("sched_rt_runtime_us"), number("sched_rt_period_us")) else {
        return Finding::note(WHAT, "the kernel does not say", WHY, "mount /proc");
    };
    let mend = "sysctl kernel.sched_rt_runtime_us=950000";
    if runtime < 0 {
        return Finding::note(
            WHAT,
            "off",
            "a control law that loops for ever takes its core away from everything",
            mend,
        );
    }
    let percent = 100 * runtime / period.max(1);
    let seen = format!("{percent} % of each {} ms", period / 1_000);
    if percent >= 50 { Finding::ok(WHAT, seen) } else { Finding::missing(WHAT, seen, WHY, mend) }
}

fn governor(root: &Root) -> Finding {
    const WHAT: &str = "frequency governor";
    let cores = root.names("sys/devices/system/cpu", "cpu");
    let governors = cores
        .iter()
        .filter_map(|core| root.read(&format!("sys/devices/system/cpu/{core}/cpufreq/scaling_governor")));
    let mut governors: Vec<String> = governors.collect();
    governors.sort_unstable();
    governors.dedup();
    match governors.as_slice() {
        [] => Finding::ok(WHAT, "the kernel does not change frequencies here"),
        [one] if one == "performance" => Finding::ok(WHAT, one.clone()),
        others => Finding::note(
            WHAT,
            others.join(", "),
            "a core that has slowed down computes the first cycle of a takeover late",
            "cpupower frequency-set -g performance",
        ),
    }
}

fn memory_lock(root: &Root) -> Finding {
    const WHAT: &str = "memory lock";
    if has_capability(root, CAP_IPC_LOCK) {
        return Finding::ok(WHAT, "CAP_IPC_LOCK");
    }
    match limit(root, "Max locked memory") {
        Some(u64::MAX) => Finding::ok(WHAT, "unlimited"),
        Some(limit) if limit >= LOCKED_BYTES => Finding::ok(WHAT, bytes(limit)),
        limit => Finding::missing(
            WHAT,
            limit.map_or_else(|| "the kernel does not say".to_owned(), bytes),
            "a page that has to be fetched again holds the control thread up",
            "as a service: LimitMEMLOCK=infinity in its unit; for a user: echo \"$USER - memlock unlimited\" | sudo tee -a \
             /etc/security/limits.d/twinhelm.conf, then log in again",
        ),
    }
}

fn clock(root: &Root) -> Finding {
    const WHAT: &str = "clock";
    match root.read("sys/devices/system/clocksource/clocksource0/current_clocksource") {
        Some(source) if ["jiffies", "acpi_pm", "hpet", "refined-jiffies"].contains(&source.as_str()) => {
            Finding::note(
                WHAT,
                source,
                "reading it takes a microsecond or more, many times a cycle",
                "boot with a steady clock: clocksource=tsc tsc=reliable",
            )
        }
        Some(source) => Finding::ok(WHAT, source),
        None => Finding::note(WHAT, "the kernel does not say", "each instant comes from it", "mount /sys"),
    }
}

fn cgroups(root: &Root) -> Finding {
    const WHAT: &str = "cgroups";
    if let Some(controllers) = root.read("sys/fs/cgroup/cgroup.controllers") {
        let has = |name: &str| controllers.split(' ').any(|one| one == name);
        return if has("memory") && has("pids") {
            Finding::note(
                WHAT,
                format!("v2 ({controllers})"),
                "containers under version 2 alone were never tried; they may work",
                "nothing, if a mission starts; otherwise run its program as a plain process (docs/missions.md)",
            )
        } else {
            no_limits(WHAT, format!("v2 without memory or pids ({controllers})"))
        };
    }
    let missing: Vec<&str> = ["memory", "pids", "cpu"]
        .into_iter()
        .filter(|name| !root.exists(&format!("sys/fs/cgroup/{name}")))
        .collect();
    if missing.is_empty() {
        Finding::ok(WHAT, "v1: memory, pids, cpu")
    } else {
        no_limits(WHAT, format!("without {}", missing.join(", ")))
    }
}

fn no_limits(what: &'static str, seen: String) -> Finding {
    Finding::missing(
        what,
        seen,
        "a mission's container gets its limits from them",
        "boot with cgroup_enable=memory; on a system without systemd mount them: cgroupfs-mount",
    )
}

fn runtime(root: &Root) -> Finding {
    const WHAT: &str = "container runtime";
    let beside = root
        .is_this_machine()
        .then(|| std::env::current_exe().ok().map(|program| program.with_file_name("mission-runner").exists()))
        .flatten()
        .unwrap_or(false);
    let places =
        ["usr/bin/mission-runner", "usr/lib/twinhelm/mission-runner", "usr/libexec/twinhelm/mission-runner"];
    if beside || places.iter().any(|place| root.exists(place)) {
        return Finding::ok(WHAT, "mission-runner is there");
    }
    Finding::missing(
        WHAT,
        "no mission-runner beside this program",
        "without it the agent cannot start a mission's container",
        "cargo build -p mission-runner, or install the package twinhelm",
    )
}

fn disk(root: &Root) -> Finding {
    const WHAT: &str = "disk";
    const FOLDER: &str = "var/lib/twinhelm";
    match root.free_bytes(FOLDER) {
        Some(free) if free >= DISK_BYTES => Finding::ok(WHAT, format!("{} free for /{FOLDER}", bytes(free))),
        free => Finding::missing(
            WHAT,
            format!("{} free for /{FOLDER}", free.map_or_else(|| "nothing".to_owned(), bytes)),
            "an image that does not fit is not pulled, and a recording ends",
            "twinhelm image ls FOLDER, then twinhelm image rm what is not needed",
        ),
    }
}

/// Returns the soft limit of this process with the name `name`.
fn limit(root: &Root, name: &str) -> Option<u64> {
    let limits = root.read("proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn has_capability(root: &Root, capability: u64) -> bool {
    let status = root.read("proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & capability != 0)
}
