//! `twinhelm doctor` against prepared roots, a case for each finding; and this machine, which it describes as it is.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const TWINHELM: &str = env!("CARGO_BIN_EXE_twinhelm");

/// A device on which nothing is missing.
const HEALTHY: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.0-rt-arm64\n"),
    ("proc/version", "Linux version 6.12.0-rt-arm64 #1 SMP PREEMPT_RT\n"),
    ("sys/kernel/realtime", "1\n"),
    ("proc/self/status", "Name:\ttwinhelm\nCapEff:\t0000000000000000\n"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\n\
         Max locked memory         unlimited            unlimited            bytes\n\
         Max realtime priority     80                   80\n",
    ),
    ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "arch_sys_counter\n"),
    ("sys/fs/cgroup/memory/tasks", ""),
    ("sys/fs/cgroup/pids/tasks", ""),
    ("sys/fs/cgroup/cpu/tasks", ""),
    ("usr/bin/mission-runner", ""),
    ("var/lib/twinhelm/store", ""),
    ("sys/class/net/lo/type", "772\n"),
    ("sys/class/net/can0/type", "280\n"),
    ("sys/class/net/can0/flags", "0x40081\n"),
    ("sys/class/net/can0/tx_queue_len", "10\n"),
    ("sys/class/net/can0/statistics/rx_errors", "3\n"),
    ("sys/class/net/can0/statistics/tx_errors", "0\n"),
    ("dev/i2c-1", ""),
    ("dev/spidev0.0", ""),
    ("dev/gpiochip0", ""),
    ("dev/watchdog", ""),
];

fn healthy() -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, text) in HEALTHY {
        write(root.path(), path, text);
    }
    root
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Returns the exit code, and what was found.
fn examine(root: &Path) -> (i32, Value) {
    let output = Command::new(TWINHELM).args(["doctor", "--json", "--root"]).arg(root).output().expect("it runs");
    let findings = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code().expect("a code"), findings)
}

/// Returns how `what` stands on a healthy device after `change`, and everything that was said of it.
fn after(what: &str, change: impl FnOnce(&Path)) -> (String, String) {
    let root = healthy();
    change(root.path());
    let (code, findings) = examine(root.path());
    let all = findings.as_array().expect("a list");
    let finding = all.iter().find(|finding| finding["what"] == what).expect("it was looked at");
    let others = all.iter().filter(|finding| finding["what"] != what);
    for other in others {
        assert_eq!(other["stands"], "ok", "{other}");
    }
    let stands = finding["stands"].as_str().expect("a word").to_owned();
    assert_eq!(code, i32::from(stands == "missing"), "{finding}");
    if stands != "ok" {
        assert!(finding["why"].as_str().is_some_and(|why| why.len() > 10), "{finding}");
        assert!(finding["remedy"].as_str().is_some_and(|remedy| remedy.len() > 5), "{finding}");
    }
    (stands, finding.to_string())
}

fn set<'a>(path: &'a str, text: &'a str) -> impl FnOnce(&Path) + 'a {
    move |root| write(root, path, text)
}

fn without(path: &str) -> impl FnOnce(&Path) + '_ {
    move |root| {
        let path = root.join(path);
        if path.is_dir() { fs::remove_dir_all(path).expect("gone") } else { fs::remove_file(path).expect("gone") }
    }
}

/// Checks that a finding is as `stands` says, and says `says`.
fn finds(what: &str, change: impl FnOnce(&Path), stands: &str, says: &str) {
    let (found, said) = after(what, change);
    assert_eq!(found, stands, "{said}");
    assert!(said.contains(says), "{said} does not say {says:?}");
}

#[test]
fn on_a_healthy_device_all_is_well() {
    let root = healthy();
    let (code, findings) = examine(root.path());
    let findings = findings.as_array().expect("a list");
    assert!(findings.len() >= 14 && findings.iter().all(|finding| finding["stands"] == "ok"), "{findings:?}");
    assert_eq!(code, 0);
}

#[test]
fn a_kernel_without_bounded_delays_is_noted() {
    let no_rt = |version: &'static str| {
        move |root: &Path| {
            write(root, "sys/kernel/realtime", "0\n");
            write(root, "proc/version", version);
        }
    };
    finds("kernel", no_rt("#1 SMP PREEMPT_DYNAMIC"), "note", "preemptible, not PREEMPT_RT");
    finds("kernel", no_rt("#1 SMP"), "note", "linux-image-rt");
}

#[test]
fn missing_rights_are_missing_and_capabilities_stand_in() {
    const LIMITS: &str = "proc/self/limits";
    let limits = |locked: &str, priority: &str| {
        format!(
            "Max locked memory         {locked}  {locked}  bytes\nMax realtime priority     {priority}  {priority}\n"
        )
    };
    finds("real-time rights", set(LIMITS, &limits("unlimited", "0")), "missing", "LimitRTPRIO=70");
    finds("memory lock", set(LIMITS, &limits("8388608", "99")), "missing", "LimitMEMLOCK=infinity");
    finds("memory lock", set(LIMITS, &limits("1073741824", "99")), "ok", "1024.0 MiB");
    let root = |root: &Path| {
        write(root, LIMITS, &limits("8388608", "0"));
        write(root, "proc/self/status", "CapEff:\t000001ffffffffff\n");
    };
    finds("real-time rights", root, "ok", "CAP_SYS_NICE");
}

#[test]
fn throttling_that_stops_the_control_thread_is_missing_and_none_at_all_is_noted() {
    const RUNTIME: &str = "proc/sys/kernel/sched_rt_runtime_us";
    finds("real-time throttling", set(RUNTIME, "0\n"), "missing", "sched_rt_runtime_us=950000");
    finds("real-time throttling", set(RUNTIME, "-1\n"), "note", "off");
    finds("real-time throttling", without(RUNTIME), "note", "mount /proc");
}

#[test]
fn a_governor_that_saves_power_is_noted() {
    let governor = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
    finds("frequency governor", set(governor, "ondemand\n"), "note", "ondemand, performance");
    finds("frequency governor", without("sys/devices/system/cpu/cpu0"), "ok", "does not change frequencies");
}

#[test]
fn a_clock_that_is_slow_to_read_is_noted() {
    let source = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    finds("clock", set(source, "hpet\n"), "note", "clocksource=tsc");
    finds("clock", without(source), "note", "mount /sys");
}

#[test]
fn cgroups_that_cannot_limit_are_missing_and_version_2_is_noted_as_untried() {
    finds("cgroups", without("sys/fs/cgroup/memory"), "missing", "without memory");
    let controllers = "sys/fs/cgroup/cgroup.controllers";
    finds("cgroups", set(controllers, "cpu memory pids\n"), "note", "never tried");
    finds("cgroups", set(controllers, "cpu\n"), "missing", "cgroup_enable=memory");
}

#[test]
fn a_missing_runner_is_missing() {
    finds("container runtime", without("usr/bin/mission-runner"), "missing", "cargo build -p mission-runner");
}

#[test]
fn can_interfaces_are_told_with_their_state_errors_and_queue() {
    finds("CAN", |_root| {}, "ok", "can0 is up, errors 3 received 0 sent, a queue of 10");
    finds("CAN", set("sys/class/net/can0/flags", "0x40080\n"), "missing", "ip link set can0 up type can bitrate");
    finds("CAN", set("sys/class/net/can0/tx_queue_len", "1000\n"), "note", "txqueuelen 10");
    finds("CAN", without("sys/class/net/can0"), "note", "modprobe can-raw vcan");
}

#[test]
fn device_files_that_are_not_there_are_noted() {
    for (what, file) in
        [("I2C", "dev/i2c-1"), ("SPI", "dev/spidev0.0"), ("GPIO", "dev/gpiochip0"), ("watchdog", "dev/watchdog")]
    {
        finds(what, without(file), "note", "no /dev/");
    }
}

#[test]
fn a_device_file_that_is_closed_to_this_user_is_missing() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        // Root may do everything; a file that nobody can open stands in: a link to nowhere.
        let nowhere = |root: &Path| {
            fs::remove_file(root.join("dev/i2c-1")).expect("gone");
            std::os::unix::fs::symlink("nowhere", root.join("dev/i2c-1")).expect("a link");
        };
        return finds("I2C", nowhere, "missing", "usermod -a -G i2c");
    }
    let closed = |root: &Path| {
        fs::set_permissions(root.join("dev/i2c-1"), fs::Permissions::from_mode(0o000)).expect("closed");
    };
    finds("I2C", closed, "missing", "usermod -a -G i2c");
}

#[test]
fn people_are_shown_why_and_what_mends_it() {
    let root = healthy();
    write(root.path(), "proc/sys/kernel/sched_rt_runtime_us", "0\n");
    let output = Command::new(TWINHELM).args(["doctor", "--root"]).arg(root.path()).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("missing  real-time throttling 0 % of each 1000 ms"), "{text}");
    assert!(text.contains("why:  real-time threads are stopped") && text.contains("mend: sysctl"), "{text}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("one thing is missing"), "{error}");
}

#[test]
fn a_folder_that_is_no_root_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(TWINHELM).args(["doctor", "--root"]).arg(folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("name the root of a system"));
}

#[test]
fn this_machine_is_described_whatever_it_lacks() {
    let output = Command::new(TWINHELM).args(["doctor", "--json"]).output().expect("it runs");
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(findings.as_array().is_some_and(|findings| findings.len() >= 13), "{findings}");
}

#[test]
fn jitter_measures_this_machine_and_says_what_it_allows() {
    let output = Command::new(TWINHELM)
        .args(["jitter", "--seconds", "1", "--budget", "100000", "--json"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let number = |name: &str| measured[name].as_f64().expect(name);
    assert!(number("wakes") > 10.0 && number("median_ms") <= number("max_ms"), "{measured}");
    let classes = measured["histogram"].as_array().expect("classes");
    let counted: u64 = classes.iter().filter_map(|class| class["wakes"].as_u64()).sum();
    assert_eq!(Some(counted), measured["wakes"].as_u64(), "each wake is in one class");
}

#[test]
fn jitter_beyond_the_budget_is_told_by_the_exit_code() {
    let output =
        Command::new(TWINHELM).args(["jitter", "--seconds", "1", "--budget", "0"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("more than the 0 ms granted"));
    let output = Command::new(TWINHELM).args(["jitter", "--seconds", "0"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "two wakes are no measurement");
    let output = Command::new(TWINHELM).args(["jitter", "--budget=-1"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}
