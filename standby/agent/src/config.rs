//! An agent's configuration: one TOML file.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

mod data;

use crate::output::Problem;
pub(crate) use data::Data;
use data::DataTable;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinhelm_hal::term::Slot;
use twinhelm_linux::disk::read_text;
use twinhelm_linux::listener::BusPlace;
use twinhelm_linux::terminal::chain;
use twinhelm_mission::bundle::Allowance;
use twinhelm_mission::image::verify::Limits;
use twinhelm_mission::image::{Digest, Place, Reference};
use twinhelm_standby::Readiness;
use twinhelm_standby::access::Role;
use twinhelm_standby::file_error::Document;
use twinhelm_zenoh::Settings;

/// What an agent is told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub device: String,
    pub slot: Slot,
    pub store: PathBuf,
    pub run: PathBuf,
    pub image: Digest,
    pub sources: Vec<Reference>,
    pub readiness: Readiness,
    pub args: Vec<String>,
    pub data: Option<PathBuf>,
    pub allowance: Allowance,
    pub limits: Limits,
    /// So many bytes a second at most, while nobody waits for it.
    pub rate: Option<u64>,
    pub bus: BusPlace,
    pub gate_lease: Duration,
    pub link: Settings,
    /// Its fleet, if it has one.
    pub pool: Option<Pool>,
    /// Its mission data, if it keeps any.
    pub data_kept: Option<Data>,
}

/// What a device is in its fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    /// It waits to be recruited, and holds the rung of its configuration until then.
    #[serde(default)]
    pub spare: bool,
    /// It has no number on the vehicle's bus, and cannot drive.
    #[serde(default)]
    pub no_slot: bool,
    /// Buses and ports that it reaches, besides the vehicle's bus.
    #[serde(default)]
    pub reaches: Vec<String>,
    /// What takes the power of a device whose agent does not answer.
    #[serde(default)]
    pub power_off: BTreeMap<String, Vec<String>>,
}

/// An example, for `--help` and to start from.
pub(crate) const EXAMPLE: &str = r#"# A device agent's configuration. Paths are absolute, sizes and times have their unit in the name.
device = "right"                    # how people call the device; letters, digits, dashes
vehicle = "demo"                    # the vehicle's name, a part of each Zenoh key
slot = 1                            # 0 to 3, unique on the vehicle's bus: the pair has 0 and 1
store = "/var/lib/twinhelm/store"   # where images are kept: an OCI layout, and what is unpacked of it
run = "/run/twinhelm/right"         # where the agent keeps what it needs while it runs

[mission]
image = "sha256:0000000000000000000000000000000000000000000000000000000000000000"  # which, by its digest
sources = ["oci:/srv/images", "docker://127.0.0.1:5000/vehicle/mission"]           # where from, in this order
readiness = "shadow"                # cold, pulled, created, paused or shadow
args = ["role", "--spec", "/data/role.json"]   # what the image's program is told
data = "/etc/twinhelm/mission"      # a folder for the mission to read, at /data; may be left out

[limits]
memory_mib = 512
pids = 128
realtime_us = 300000                # of each second, for the mission's real-time threads
devices = []                        # device files that the mission may open, as "/dev/i2c-1"
# network = "/run/netns/right"      # a network namespace; without it the mission has the host's network
unpacked_mib_max = 1024             # an image that unpacks to more is refused
entries_max = 100000
pull_mib_s = 10                     # so fast at most while the image is pulled ahead; 0: as fast as it goes

[bus]
name = "demo"                       # the vehicle's bus between processes; or can = "can0", an interface of the kernel
gate_lease_ms = 30                  # as in the vehicle's configuration

[link]
listen = ["quic/0.0.0.0:7449"]      # tcp/ on loopback alone, where a fleet's orders are taken
connect = ["quic/10.0.0.1:7447", "tcp/127.0.0.1:7447"]   # both devices: the state of whoever drove is handed on
keys = "/etc/twinhelm/keys"         # this device's, as `twinhelm keys init` made them: what quic/ needs
link_lease_ms = 500
keep_alive = 4

[pool]                              # the fleet that finds a spare when nobody stands by; left out, there is none
spare = false                       # true: it holds `readiness`, pulled at most, until it is recruited
reaches = []                        # what else it reaches, as "can1"; the vehicle's bus is looked at
# power_off.left = ["usbrelay", "RELAY_1=0"]   # what shuts a device down whose agent does not answer

[data]                              # mission data: plan, state, recording; left out, none is kept
storage = "s3://missions/fleet"     # object storage, keys by AWS_*; or a directory, as "dir:/srv/missions"
# endpoint = "https://10.0.0.9:9000"   # an S3 that is not Amazon's
plan = "/etc/twinhelm/plan.json"    # what the mission is to do: JSON with a "version"; a spare fetches it
snapshot_ms = 1000                  # so often the state is kept
segment_ms = 10000                  # so long is a part of the recording
upload_ms = 2000                    # so often what is new is uploaded
disk_mib = 256                      # so much of the disk at most, while the network is away
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    device: String,
    vehicle: String,
    slot: u8,
    store: PathBuf,
    run: PathBuf,
    mission: Mission,
    #[serde(default)]
    limits: LimitsTable,
    bus: Bus,
    link: Link,
    pool: Option<Pool>,
    data: Option<DataTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mission {
    image: String,
    sources: Vec<String>,
    #[serde(default = "shadow")]
    readiness: String,
    #[serde(default)]
    args: Vec<String>,
    data: Option<PathBuf>,
}

fn shadow() -> String {
    Readiness::Shadow.name().to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    memory_mib: u64,
    pids: u32,
    realtime_us: u32,
    devices: Vec<PathBuf>,
    network: Option<PathBuf>,
    unpacked_mib_max: u64,
    entries_max: u64,
    pull_mib_s: f64,
}

impl Default for LimitsTable {
    fn default() -> Self {
        let Limits { bytes_max, entries_max } = Limits::default();
        Self {
            memory_mib: 512,
            pids: 128,
            realtime_us: 300_000,
            devices: Vec::new(),
            network: None,
            unpacked_mib_max: bytes_max >> 20,
            entries_max,
            pull_mib_s: 10.0,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bus {
    name: Option<String>,
    can: Option<String>,
    gate_lease_ms: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    connect: Vec<String>,
    #[serde(default = "half_a_second")]
    link_lease_ms: u64,
    #[serde(default = "four")]
    keep_alive: u32,
    keys: Option<PathBuf>,
}

const fn half_a_second() -> u64 {
    500
}

const fn four() -> u32 {
    4
}

impl Config {
    /// Reads `path`.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let text =
            read_text(path).map_err(|error| Problem::bad_input(format_args!("{}: {error}", path.display())))?;
        let config = Self::parse(&path.display().to_string(), &text)?;
        config.check_keys().map_err(|what| Problem::bad_input(format_args!("{}: {what}", path.display())))?;
        Ok(config)
    }

    /// Checks that the keys are this device's.
    fn check_keys(&self) -> Result<(), String> {
        let Some(credentials) = self.link.credentials().map_err(|error| format!("link.keys: {}", chain(&error)))?
        else {
            return Ok(());
        };
        let (own, role) = (credentials.own(), credentials.role());
        if own != self.device {
            return Err(format!("link.keys are those of {own:?}, and device = {:?}", self.device));
        }
        match role {
            Role::Device(Some(slot)) if slot == self.slot => Ok(()),
            Role::Device(None) if self.pool.as_ref().is_some_and(|pool| pool.no_slot) => Ok(()),
            Role::Device(slot) => {
                let theirs = slot.map_or_else(|| "none".to_owned(), |slot| slot.to_string());
                Err(format!(
                    "slot = {}, and link.keys say {theirs}: write that, or make keys with {own}={}",
                    self.slot, self.slot
                ))
            }
            Role::Person | Role::Router | Role::Watcher => {
                Err(format!("link.keys are those of {role}, not of a device"))
            }
        }
    }

    /// Reads `text`, which is called `name` in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let document = Document::parse(name, text).map_err(Problem::bad_input)?;
        let bad = |what: String| Problem::bad_input(document.about(&what));
        let file: File = document.read().map_err(Problem::bad_input)?;
        let File { device, vehicle, slot, store, run, mission, limits, bus, link, pool, data } = file;
        mission_wire::ContainerId::new(&device).map_err(|error| bad(format!("device: {error}")))?;
        let slot = Slot::new(slot).ok_or_else(|| bad(format!("slot = {slot} cannot be: write 0 to 3")))?;
        for (key, path) in [("store", &store), ("run", &run)] {
            if path.is_relative() {
                return Err(bad(format!("{key} = {:?} is relative: write a path from / on", path.display())));
            }
        }
        let image: Digest = mission.image.parse().map_err(|error| bad(format!("mission.image: {error}")))?;
        if mission.sources.is_empty() {
            let example = "write [\"oci:/srv/images\"], or a registry's docker://HOST/REPOSITORY";
            return Err(bad(format!("mission.sources is empty: {example}")));
        }
        let sources = mission.sources.iter().map(|source| {
            let reference: Reference = source.parse().map_err(|error| bad(format!("mission.sources: {error}")))?;
            match reference.digest {
                Some(_) => Err(bad(format!("mission.sources: {source:?} names a digest: mission.image does that"))),
                None => Ok(Reference { tag: None, digest: Some(image.clone()), ..reference }),
            }
        });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let readiness: Readiness =
            mission.readiness.parse().map_err(|error| bad(format!("mission.readiness: {error}")))?;
        for (key, path) in
            [("mission.data", &mission.data), ("limits.network", &limits.network), ("link.keys", &link.keys)]
        {
            if let Some(path) = path.as_ref().filter(|path| path.is_relative()) {
                return Err(bad(format!("{key} = {:?} is relative: write a path from / on", path.display())));
            }
        }
        let fits = |key, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                Ok(value)
            } else {
                Err(bad(format!("limits.{key} = {value} cannot be: write {least} to {most}")))
            }
        };
        fits("realtime_us", limits.realtime_us.into(), 0, 950_000)?;
        let allowance = Allowance {
            memory_bytes: fits("memory_mib", limits.memory_mib, 8, 1 << 20)? << 20,
            pids_max: limits.pids.max(1),
            realtime_us: limits.realtime_us,
            devices: limits.devices,
            network: limits.network,
        };
        if !(0.0..=1e6).contains(&limits.pull_mib_s) {
            return Err(bad(format!("limits.pull_mib_s = {} cannot be: write 0 or more", limits.pull_mib_s)));
        }
        if !(bus.gate_lease_ms > 0.0 && bus.gate_lease_ms <= 10_000.0) {
            return Err(bad(format!("bus.gate_lease_ms = {} cannot be: write the vehicle's", bus.gate_lease_ms)));
        }
        let place = match (bus.name, bus.can) {
            (Some(name), None) => BusPlace::Userland(name),
            (None, Some(interface)) => BusPlace::Can(interface),
            (Some(_), Some(_)) | (None, None) => {
                return Err(bad("bus: write name, or can, and not both: a device is on one bus".to_owned()));
            }
        };
        let link = Settings {
            vehicle,
            listen: link.listen,
            connect: link.connect,
            link_lease: Duration::from_millis(link.link_lease_ms),
            keep_alive: link.keep_alive,
            keys: link.keys,
        };
        link.check().map_err(|error| bad(format!("link: {error}")))?;
        if let Some(endpoint) = link.unguarded().filter(|_| pool.is_some()) {
            return Err(bad(format!(
                "link: {endpoint} asks nobody for a key, and an agent with [pool] takes orders: write quic/ and \
                 link.keys, which `twinhelm keys init` makes, or an address of loopback"
            )));
        }
        if readiness < Readiness::Shadow && pool.as_ref().is_some_and(|pool| !pool.spare) {
            let message =
                "a member of a fleet stands by: write mission.readiness = \"shadow\", or pool.spare = true";
            return Err(bad(message.to_owned()));
        }
        if readiness > Readiness::Pulled && pool.as_ref().is_some_and(|pool| pool.spare) {
            return Err(bad(
                "pool.spare with readiness above pulled: write cold or pulled; it climbs when recruited".to_owned(),
            ));
        }
        let data_kept = data.map(|table| table.check(&store)).transpose().map_err(bad)?;
        Ok(Self {
            device,
            slot,
            store,
            run,
            image,
            sources,
            readiness,
            args: mission.args,
            data: mission.data,
            allowance,
            limits: Limits {
                bytes_max: fits("unpacked_mib_max", limits.unpacked_mib_max, 1, 1 << 20)? << 20,
                entries_max: limits.entries_max,
            },
            // However little it is, it is not nothing, which would be as fast as it goes.
            rate: (limits.pull_mib_s > 0.0).then_some(((limits.pull_mib_s * f64::from(1 << 20)) as u64).max(1)),
            bus: place,
            gate_lease: Duration::from_secs_f64(bus.gate_lease_ms / 1e3),
            link,
            pool,
            data_kept,
        })
    }

    /// Returns the places where the image may be, as people wrote them.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.sources.iter().map(|source| &source.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str) -> String {
        assert!(EXAMPLE.contains(from), "{from}");
        let text = EXAMPLE.replacen(from, to, 1);
        Config::parse("agent.toml", &text).expect_err("it cannot be").to_string()
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config = Config::parse("agent.toml", EXAMPLE).expect("it can be read");
        assert_eq!(
            (config.device.as_str(), config.slot, config.readiness),
            ("right", Slot::RIGHT, Readiness::Shadow)
        );
        assert_eq!(config.places().count(), 2);
        assert_eq!(config.rate, Some(10 << 20));
    }

    #[test]
    fn the_slowest_pull_is_none_without_a_limit() {
        let text = EXAMPLE.replacen("pull_mib_s = 10 ", "pull_mib_s = 1e-9 ", 1);
        assert_eq!(Config::parse("agent.toml", &text).expect("it can be read").rate, Some(1));
    }

    #[test]
    fn no_value_of_the_example_can_be_changed_so_that_reading_it_panics() {
        for (at, _) in EXAMPLE.match_indices(|letter: char| letter.is_ascii_digit() || letter == '"') {
            for other in ["", "9", "-", "\"", "9999999999999999999", "1e308", "nan", "é"] {
                let text =
                    [&EXAMPLE[..at], other, EXAMPLE.get(at.saturating_add(1)..).unwrap_or_default()].concat();
                // Whether it is refused is the file's business.
                drop(Config::parse("agent.toml", &text));
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (from, to, says) in [
            ("slot = 1 ", "slot = 4 ", ": slot = 4 cannot be: write 0 to 3"),
            ("\"shadow\"", "\"warm\"", "mission.readiness: \"warm\" is no readiness: write cold, pulled"),
            ("\"sha256:0", "\"sha256:", "mission.image: \"sha256:"),
            ("\"oci:/srv/images\"", "\"/srv/images\"", "mission.sources: \"/srv/images\" names no image"),
            ("\"/run/twinhelm/right\"", "\"run\"", "run = \"run\" is relative"),
            ("memory_mib = 512", "memory_mib = 1", "limits.memory_mib = 1 cannot be: write 8 to"),
            ("name = \"demo\" ", "can = \"can0\"\nname = \"demo\" ", "bus: write name, or can, and not both"),
            ("name = \"demo\" ", "# ", "bus: write name, or can, and not both"),
            ("gate_lease_ms = 30", "gate_lease_ms = 0", "bus.gate_lease_ms = 0 cannot be"),
            ("\"right\" ", "\"../right\" ", "device: \"../right\" cannot name a container"),
            ("pids = 128", "pidz = 128", "unknown key `pidz` in [limits]; write `pids`"),
            ("keep_alive = 4", "keep_alive = 1", "link: keep_alive is 1"),
            (
                "keys = \"/etc",
                "#keys = \"/etc",
                "link: listen endpoint \"quic/0.0.0.0:7449\" needs keys, which `twinhelm keys init` writes",
            ),
            ("\"/etc/twinhelm/keys\"", "\"keys\"", "link.keys = \"keys\" is relative"),
            (
                "quic/0.0.0.0:7449",
                "tcp/0.0.0.0:7449",
                "link: listen endpoint \"tcp/0.0.0.0:7449\" asks nobody for a key beyond this machine (quic/ does)",
            ),
            (
                "\"s3://missions/fleet\"",
                "\"missions\"",
                "data.storage: \"missions\" is no object storage: write dir:/PATH",
            ),
            ("snapshot_ms = 1000", "snapshot_ms = 0", "data.snapshot_ms = 0 cannot be: write 100"),
            ("\"/etc/twinhelm/plan.json\"", "\"plan.json\"", "data.plan = \"plan.json\" is relative"),
            ("spare = false", "spare = true", "pool.spare with readiness above pulled: write cold or pulled"),
        ] {
            let error = refused(from, to);
            assert!(error.starts_with("agent.toml:") && error.contains(says), "{error}\nshould say\n{says}");
            let mut place = error.split(':').skip(1).map_while(|part| part.parse::<usize>().ok());
            assert!(place.next().is_some_and(|line| line > 1) && place.next().is_some(), "it has a place: {error}");
        }
    }
}
