//! What a device drives and measures through: CAN, I2C, SPI, GPIO, the watchdog.

use super::Finding;
use super::root::Root;
use twinhelm_linux::can::Interface;

/// What `/sys/class/net/*/type` says of a CAN interface (linux/if_arp.h).
const ARPHRD_CAN: &str = "280";
/// A queue of this many frames is what Linux gives a CAN interface by itself.
const QUEUE_USUAL: u64 = 10;

pub(super) fn findings(root: &Root) -> Vec<Finding> {
    let mut findings = can(root);
    findings.extend([
        files(
            root,
            "I2C",
            "i2c-",
            "actuators and sensors on I2C cannot be reached",
            "modprobe i2c-dev; on a Raspberry Pi: raspi-config nonint do_i2c 0",
            "i2c",
        ),
        files(
            root,
            "SPI",
            "spidev",
            "devices on SPI cannot be reached",
            "on a Raspberry Pi: raspi-config nonint do_spi 0",
            "spi",
        ),
        files(
            root,
            "GPIO",
            "gpiochip",
            "there are no lines for an encoder, an e-stop or an output enable",
            "load the board's GPIO driver",
            "gpio",
        ),
        files(
            root,
            "watchdog",
            "watchdog",
            "a hung board is not restarted",
            "modprobe softdog, where the board has none",
            "root",
        ),
    ]);
    findings
}

fn can(root: &Root) -> Vec<Finding> {
    let names = root.names("sys/class/net", "");
    let is_can = |name: &&String| root.read(&format!("sys/class/net/{name}/type")).as_deref() == Some(ARPHRD_CAN);
    let interfaces: Vec<&String> = names.iter().filter(is_can).collect();
    if interfaces.is_empty() {
        let why = "a vehicle on CAN cannot be reached; the demo has a bus of its own";
        return vec![Finding::note(
            "CAN",
            "no interface",
            why,
            "modprobe can-raw vcan && ip link add vcan0 type vcan",
        )];
    }
    interfaces.into_iter().map(|name| interface(root, name)).collect()
}

fn interface(root: &Root, name: &str) -> Finding {
    const WHAT: &str = "CAN";
    let file = |file: &str| root.read(&format!("sys/class/net/{name}/{file}"));
    let flags = file("flags").and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
    let is_up = flags.is_some_and(|flags| flags & 1 != 0);
    let queue = file("tx_queue_len").and_then(|length| length.parse::<u64>().ok());
    let count = |counter: &str| file(&format!("statistics/{counter}")).unwrap_or_else(|| "?".to_owned());
    let controller = if root.is_this_machine() {
        Interface::find(name).ok().and_then(|found| found.describe().ok())
    } else {
        None
    };
    let mut seen = format!("{name} is {}", if is_up { "up" } else { "down" });
    if let Some(controller) = controller.filter(|words| !words.is_empty()) {
        seen += &format!(", {controller}");
    }
    seen += &format!(
        ", errors {} received {} sent, a queue of {}",
        count("rx_errors"),
        count("tx_errors"),
        queue.map_or_else(|| "?".to_owned(), |length| length.to_string())
    );
    if !is_up {
        let mend =
            format!("ip link set {name} up type can bitrate 500000 restart-ms 0 (a vcan: ip link set {name} up)");
        return Finding::missing(WHAT, seen, "nothing is sent and nothing is heard", mend);
    }
    if queue.is_some_and(|length| length > QUEUE_USUAL) {
        let why = "what waits in a long queue is sent late, by cycles";
        return Finding::note(WHAT, seen, why, format!("ip link set {name} txqueuelen {QUEUE_USUAL}"));
    }
    Finding::ok(WHAT, seen)
}

/// Looks at the device files whose names begin with `prefix`.
fn files(root: &Root, what: &'static str, prefix: &str, why: &'static str, remedy: &str, group: &str) -> Finding {
    let names = root.names("dev", prefix);
    if names.is_empty() {
        return Finding::note(what, format!("no /dev/{prefix}*"), why, remedy);
    }
    let closed: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !root.may_use(&format!("dev/{name}"))).collect();
    if closed.is_empty() {
        return Finding::ok(what, names.join(", "));
    }
    let mend = format!("usermod -a -G {group} $USER, then log in again");
    Finding::missing(what, format!("no permission for {}", closed.join(", ")), why, mend)
}

#[cfg(test)]
mod tests {
    /// The command of the remedy, and of the page that people wire boards by.
    const UP: &str = "type can bitrate 500000 restart-ms 0";

    #[test]
    fn the_remedy_is_what_the_page_on_hardware_says() {
        assert!(include_str!("buses.rs").matches(UP).count() > 1, "the remedy has other words");
        assert!(include_str!("../../../../docs/hardware.md").contains(UP), "docs/hardware.md has other words");
    }
}
