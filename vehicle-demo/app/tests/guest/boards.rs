//! The rig `boards`: two namespaces of the guest stand for two boards, each with an SSH server, an address and a CAN interface of
//! its own.

use super::{PATIENCE, Verdict, has_stalled};
use std::ffi::OsStr;
use std::path::Path;
use twinhelm_rigs::guest::Guest;

/// Makes the boards and drives. Its words: the program, and what else `run` is told.
const SCRIPT: &str = r#"
set -eu
program=$1; shift
mkdir -p -m 700 /run/ssh /run/ssh/home /run/ssh/home/.ssh
echo 'root:x:0:0:root:/run/ssh/home:/bin/sh' >/run/ssh/passwd
mount --bind /run/ssh/passwd /etc/passwd
dropbearkey -t ed25519 -f /run/ssh/host >/dev/null 2>&1
ssh-keygen -q -t ed25519 -N '' -f /run/ssh/key
cp /run/ssh/key.pub /run/ssh/home/.ssh/authorized_keys
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add can-gates type vxcan peer name hub-gates
for device in left right; do
    ip netns add $device
    ip link add $device type veth peer name eth0 netns $device
    ip link set $device up
    ip link add hub-$device type vxcan peer name can0 netns $device
    case $device in left) number=1 ;; right) number=2 ;; esac
    for up in lo eth0 can0; do ip -n $device link set $up up; done
    ip address add 10.77.$number.9/24 dev $device
    ip -n $device address add 10.77.$number.1/24 dev eth0
    ip -n $device route add default via 10.77.$number.9
done
for up in can-gates hub-gates hub-left hub-right; do ip link set $up up; done
for from in gates left right; do
    for to in gates left right; do [ $from = $to ] || cangw -A -s hub-$from -d hub-$to -i -e; done
done
cat >/run/ssh/switch <<'SWITCH'
#!/bin/sh
# A relay of sorts: takes a board's power (everything on it is gone), or gives it back (its server comes up).
case $2 in
    off) kill -9 $(ip netns pids $1); ip link set $1 down ;;
    on) ip link set $1 up; ip netns exec $1 dropbear -r /run/ssh/host -P /run/ssh/$1.pid -s ;;
esac
SWITCH
chmod 755 /run/ssh/switch
{
    echo 'can = "can-gates"'
    for device in left right; do
        case $device in left) number=1 ;; right) number=2 ;; esac
        /run/ssh/switch $device on
        cat <<BOARD
[$device]
reach = ["ssh", "-i", "/run/ssh/key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
    "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5", "root@10.77.$number.1"]
address = "10.77.$number.1"
can = "can0"
program = "$program"
power_off = ["/run/ssh/switch", "$device", "off"]
power_on = ["/run/ssh/switch", "$device", "on"]
BOARD
    done
} >/run/boards.toml
"$program" run --rig boards --boards /run/boards.toml --profile 25hz --plain --json /mnt/report "$@"
"#;

fn drive(arguments: &[&str]) -> (Verdict, Option<serde_json::Value>) {
    let words = ["sh", "-c", SCRIPT, "boards", env!("CARGO_BIN_EXE_vehicle-demo")];
    let words: Vec<&OsStr> = words.iter().chain(arguments).map(OsStr::new).collect();
    let mut report = None;
    let take = |window: &Path| report = std::fs::read(window.join("report")).ok();
    let verdict = Guest::find().unwrap().run(&words, PATIENCE, take).unwrap();
    println!("{}", verdict.log);
    (verdict, report.map(|text| serde_json::from_slice(&text).unwrap()))
}

pub(super) fn is_driven_over_ssh_through(faults: &[&str]) {
    let arguments: Vec<&str> = ["--duration", "12s"].into_iter().chain(faults.iter().copied()).collect();
    let (verdict, report) = drive(&arguments);
    let report = report.unwrap_or_else(|| panic!("no report: {}", verdict.log));
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
    if has_stalled(&report) {
        println!("not judged, the machine stalled");
        return;
    }
    assert_eq!((&report["rig"], &report["broken"]), (&"boards".into(), &serde_json::json!([])), "{report}");
    let first = &report["handovers"][0];
    assert_eq!((&first["from"], &first["to"]), (&"left".into(), &"right".into()), "{report}");
    assert_eq!(report["redundancy_restored"], true, "{report}");
}

pub(super) fn refuses(arguments: &[&str], why: &str) {
    let (verdict, _) = drive(arguments);
    assert!(verdict.code == 2 && verdict.log.contains(why), "{}: {}", verdict.code, verdict.log);
}
