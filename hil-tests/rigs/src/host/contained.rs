//! Devices whose controller runs in a container: each has a device agent, which the runner starts in the device's place.
//!
//! Agents that take orders ask for keys, on loopback too: they are made for the run, as for any fleet.
//!
//! The agent gets its configuration, and the mission its role, as files in a folder of the run. What the mission reads and
//! writes are the agent's own input and output, so the runner speaks to a mission in a container as to any other.

use super::addresses::{Addresses, endpoint};
use super::spec::{DeviceSpec, Role};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_linux::terminal::tell;
use twinhelm_standby::Readiness;
use twinhelm_vehicle::report::device_name;
use twinhelm_zenoh::Settings;

/// How devices are run in containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containers {
    /// The program `twinhelm`.
    pub agent: PathBuf,
    /// A folder of images, in the OCI's layout.
    pub images: PathBuf,
    /// The digest of the mission's image.
    pub image: String,
    /// Which rung the right device holds; the left one drives.
    pub readiness: Readiness,
    /// How many spares wait to be recruited, 0 to 2, in the slots behind the pair's.
    pub spares: u8,
    /// When they are switched on, after the run has begun; `None`: before.
    pub spares_at: Option<Duration>,
    /// Which rung they hold until then: cold or pulled.
    pub spare_readiness: Readiness,
    /// The cloud application runs beside them, with a page.
    pub cloud: bool,
    /// Object storage for mission data, as `dir:/PATH` or `s3://BUCKET/PREFIX`; `None`: a directory of the run's.
    pub storage: Option<String>,
}

/// Starts the cloud application of `program`: it connects to all devices and agents, and keeps its timeline in `folder`. It is
/// killed when it is dropped.
pub(super) fn start_cloud(
    program: &Path,
    folder: &Path,
    addresses: &Addresses,
    containers: &Containers,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("cloud").arg("--storage").arg(storage(containers, folder)).arg("--data").arg(folder.join("cloud"));
    command.arg("--page").arg(addresses.page.to_string()).arg("--listen").arg(endpoint(addresses.cloud));
    if let Some(keys) = keys_of(containers, folder, CLOUD) {
        command.arg("--keys").arg(keys);
    }
    for slot in slots(containers) {
        command.arg("--connect").arg(of_agent(containers, addresses, slot));
        command.arg("--connect").arg(endpoint(addresses.session(slot)));
    }
    // Ctrl-C on the terminal is for the runner alone.
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).process_group(0).spawn()
}

/// Whose keys the runner has.
const DESK: &str = "desk";
/// Whose keys the cloud application has.
const CLOUD: &str = "cloud";

fn slots(containers: &Containers) -> impl Iterator<Item = Slot> + Clone {
    (0..2 + containers.spares).filter_map(Slot::new)
}

/// Agents take orders where there are spares, and then they ask for keys.
const fn asks_for_keys(containers: &Containers) -> bool {
    containers.spares > 0
}

/// Returns the endpoint at which the agent of the device in `slot` listens.
fn of_agent(containers: &Containers, addresses: &Addresses, slot: Slot) -> String {
    let transport = if asks_for_keys(containers) { "quic" } else { "tcp" };
    format!("{transport}/{}", addresses.agents[slot.index()])
}

/// Returns the folder with the keys of a member, where agents ask for them.
fn keys_of(containers: &Containers, folder: &Path, name: &str) -> Option<PathBuf> {
    asks_for_keys(containers).then(|| folder.join("keys").join(name))
}

/// Returns how the runner hears what the agents say; others may ask the same way.
pub(super) fn to_agents(
    containers: &Containers,
    folder: &Path,
    addresses: &Addresses,
    link_lease: Duration,
    keep_alive: u32,
) -> Settings {
    Settings {
        vehicle: "demo".to_owned(),
        listen: Vec::new(),
        connect: slots(containers).map(|slot| of_agent(containers, addresses, slot)).collect(),
        link_lease,
        keep_alive,
        keys: keys_of(containers, folder, DESK),
    }
}

/// Has keys made for all that the run has.
fn make_keys(containers: &Containers, folder: &Path) -> io::Result<()> {
    let members = slots(containers).map(|slot| format!("{}={}", device_name(slot), slot.number()));
    let made = std::process::Command::new(&containers.agent)
        .args(["keys", "init", "--person", DESK, "--router", CLOUD, "--to"])
        .arg(folder.join("keys"))
        .args(members)
        .output()?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    Err(io::Error::other(format!("making keys for the agents: {}", said.trim_end())))
}

/// Returns where the mission data of a run is uploaded to.
pub(super) fn storage(containers: &Containers, folder: &Path) -> String {
    containers.storage.clone().unwrap_or_else(|| format!("dir:{}", folder.join("objects").display()))
}

/// Writes what the agent of `spec`'s device is told into `folder`, and returns its configuration's path.
pub(super) fn write(
    containers: &Containers,
    folder: &Path,
    addresses: &Addresses,
    spec: &DeviceSpec,
) -> io::Result<PathBuf> {
    let slot = spec.slot;
    let home = folder.join(device_name(slot));
    let data = home.join("data");
    fs::create_dir_all(&data)?;
    let mut spec = spec.clone();
    spec.common.parent = None;
    // A spare fetches it; the others have it in a file of their own.
    let mission = spec.mission.take().filter(|_| slot <= Slot::RIGHT);
    let role = data.join("role.json");
    fs::write(&role, serde_json::to_vec(&Role::Device(spec.clone()))?)?;
    // The mission is another user, whatever the umask here.
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    fs::set_permissions(&role, Permissions::from_mode(0o644))?;
    // The vehicle starts with the left one, whatever the right one's rung.
    let readiness = match slot {
        Slot::LEFT => Readiness::Shadow,
        Slot::RIGHT => containers.readiness,
        _ => containers.spare_readiness,
    };
    let slots = slots(containers);
    let sessions = slots.clone().map(|slot| endpoint(addresses.session(slot)));
    // Each finds the agents that were there before it.
    let before = slots.filter(|other| other < &slot).map(|other| of_agent(containers, addresses, other));
    let connect: Vec<String> = sessions.chain(before.filter(|_| containers.spares > 0)).collect();
    let images = format!("oci:{}", containers.images.display());
    let gate_lease_ms = spec.common.parameters.gate_lease.as_secs_f64() * 1e3;
    // Strings of JSON are strings of TOML.
    let mut text = String::new();
    let lines = [
        ("device", json!(device_name(slot))),
        ("vehicle", json!("demo")),
        ("slot", json!(slot.number())),
        ("store", json!(home.join("store"))),
        ("run", json!(home.join("run"))),
        ("mission.image", json!(containers.image)),
        ("mission.sources", json!([images])),
        ("mission.readiness", json!(readiness.name())),
        ("mission.args", json!(["role", "--spec", "/data/role.json"])),
        ("mission.data", json!(data)),
        ("limits.pull_mib_s", json!(0.0)),
        ("bus.name", json!(spec.common.bus)),
        ("bus.gate_lease_ms", json!(gate_lease_ms)),
        ("link.listen", json!([of_agent(containers, addresses, slot)])),
        ("link.connect", json!(connect)),
    ];
    let pool = (containers.spares > 0).then(|| ("pool.spare", json!(slot > Slot::RIGHT)));
    let keys = keys_of(containers, folder, device_name(slot)).map(|keys| ("link.keys", json!(keys)));
    let plan = match mission {
        Some(mission) => {
            let path = home.join("plan.json");
            fs::write(&path, serde_json::to_vec(&mission)?)?;
            Some(("data.plan", json!(path)))
        }
        None => None,
    };
    let data = [("data.storage", json!(storage(containers, folder))), ("data.segment_ms", json!(2_000))];
    for (key, value) in lines.into_iter().chain(keys).chain(pool).chain(data).chain(plan) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{key} = {value}");
    }
    let path = home.join("agent.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// The runners' guards have so long to remove what is left of containers, on a machine that is busy, too.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);

/// What the agents of a run need on the disk. Dropping it waits until their runners have removed every container, also those
/// of agents that were killed: the runners find them by what is written here. What they could not remove stays written.
pub(super) struct AgentsFolder(TempDir);

impl AgentsFolder {
    pub fn new(containers: &Containers) -> io::Result<Self> {
        let folder = TempDir::new()?;
        if asks_for_keys(containers) {
            make_keys(containers, folder.path())?;
        }
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn runners(&self) -> impl Iterator<Item = PathBuf> {
        let homes = (0..SLOTS).filter_map(Slot::new).map(|slot| self.path().join(device_name(slot)));
        homes.map(|home| home.join("run/runner"))
    }

    fn has_containers(&self) -> bool {
        self.runners()
            .any(|runner| fs::read_dir(runner.join("journal")).is_ok_and(|mut entries| entries.next().is_some()))
    }

    /// Waits for the guards, each of which has its folder locked until it has done what it can; returns whether every container is gone.
    fn await_guards(&self, patience: Duration) -> bool {
        let locks: Vec<File> =
            self.runners().filter_map(|runner| File::open(runner.join("guard.lock")).ok()).collect();
        let (done, are_done) = channel();
        // The kernel gives a wait for a lock no limit.
        std::thread::spawn(move || {
            // One that cannot be had says nothing; what is noted does.
            locks.iter().for_each(|lock| drop(lock.lock()));
            drop(locks);
            let _ = done.send(());
        });
        are_done.recv_timeout(patience).is_ok() && !self.has_containers()
    }

    fn close(&mut self, patience: Duration) {
        if self.await_guards(patience) {
            return;
        }
        // Who removes them finds them by it.
        self.0.disable_cleanup(true);
        tell(format_args!(
            "containers of this run are not removed yet; {} tells which, and stays until you remove it",
            self.path().display()
        ));
    }
}

impl Drop for AgentsFolder {
    fn drop(&mut self) {
        self.close(REMOVED_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in which `device` has had a container, and the lock of its guard.
    fn folder_with_a_container() -> (AgentsFolder, PathBuf, File) {
        let folder = AgentsFolder(TempDir::new().expect("a folder"));
        let runner = folder.path().join("right/run/runner");
        fs::create_dir_all(runner.join("journal")).expect("folders");
        let noted = runner.join("journal/right-1-1");
        fs::write(&noted, "/twinhelm-right-1-1").expect("a file");
        let lock = File::create(runner.join("guard.lock")).expect("a file");
        (folder, noted, lock)
    }

    /// It once went after 10 s, and with it the guard's only note of what it had to remove.
    #[test]
    fn the_note_of_a_container_stays_until_its_guard_has_removed_it() {
        let (folder, noted, lock) = folder_with_a_container();
        let path = folder.path().to_owned();
        lock.lock().expect("a lock");
        std::thread::scope(|scope| {
            let closed = scope.spawn(move || drop(folder));
            assert!(noted.exists());
            fs::remove_file(&noted).expect("a file");
            drop(lock);
            closed.join().expect("no panic");
        });
        assert!(!path.exists());
    }

    #[test]
    fn the_note_of_a_container_that_nobody_removes_stays() {
        for is_guarded in [true, false] {
            let (mut folder, noted, lock) = folder_with_a_container();
            if is_guarded {
                lock.lock().expect("a lock");
            }
            folder.close(Duration::ZERO);
            let path = folder.path().to_owned();
            drop(lock);
            drop(folder);
            assert!(noted.exists(), "guarded: {is_guarded}");
            fs::remove_dir_all(path).expect("a folder");
        }
    }
}
