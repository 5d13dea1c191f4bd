//! What a container may, written down for the runtime: the mission's needs and no more.

use mission_wire::ContainerId;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDevice,
    LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResourcesBuilder, Mount,
    MountBuilder, PosixRlimitBuilder, PosixRlimitType, ProcessBuilder, RootBuilder, SpecBuilder, UserBuilder,
};
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The user and the group that a mission runs as: nobody's on the host.
pub const USER: u32 = 65_532;
/// Where a mission finds what its agent gives it.
pub const RUN: &str = "/run/mission";
/// Where a mission finds its data.
pub const DATA: &str = "/data";

/// A cgroup of v1 weighs as much as one task of those outside, if nobody says otherwise; the most there is.
const CPU_SHARES_MAX: u64 = 262_144;
/// crun 1.8 takes no later version of the specification.
const SPECIFICATION: &str = "1.0.0";
const OPEN_FILES_MAX: u64 = 1_024;

/// What a mission is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How much memory, in bytes.
    pub memory_bytes: u64,
    /// How many processes and threads.
    pub pids_max: u32,
    /// How many microseconds of each second its real-time threads may run.
    pub realtime_us: u32,
    /// The devices that it may open, by their paths on the host.
    pub devices: Vec<PathBuf>,
    /// The network namespace that it lives in; `None` for the host's.
    pub network: Option<PathBuf>,
}

/// What a container is made of.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// Its name.
    pub id: &'a ContainerId,
    /// Its root, unpacked; read-only.
    pub root: &'a Path,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// What its agent gives it, a folder on the host: at [`RUN`], read-only but for the sockets and pipes in it.
    pub run: &'a Path,
    /// The mission's data, a folder on the host: at [`DATA`], read-only.
    pub data: Option<&'a Path>,
    /// What it is allowed.
    pub allowance: &'a Allowance,
}

/// A container's folder and configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub(crate) folder: PathBuf,
    pub(crate) config: String,
    pub(crate) cgroup: String,
    pub(crate) realtime_us: u32,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A device is not there, or is none.
    #[error("device {}: {why}; write the path of a character or block device of this machine", path.display())]
    Device {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A path has to be absolute.
    #[error("{} is not absolute: libcrun would look for it elsewhere", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error("writing {}: {source}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The specification does not take it.
    #[error("describing the container: {0}")]
    Describe(#[from] OciSpecError),
}

impl Bundle {
    /// Writes `recipe` down as a bundle in `folder`.
    ///
    /// # Errors
    /// [`BundleError`] names what cannot be.
    pub fn write(folder: &Path, recipe: &Recipe<'_>) -> Result<Self, BundleError> {
        for path in [folder, recipe.root, recipe.run] {
            if path.is_relative() {
                return Err(BundleError::Relative { path: path.to_owned() });
            }
        }
        let cgroup = format!("/twinhelm-{}", recipe.id);
        let config = describe(recipe, &cgroup)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| BundleError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        // libcrun is told by memory; the file is there for people, and for other runtimes.
        let file = folder.join("config.json");
        std::fs::write(&file, &config).map_err(failed(&file))?;
        Ok(Self { folder: folder.to_owned(), config, cgroup, realtime_us: recipe.allowance.realtime_us })
    }

    /// Returns the container's cgroup, below each hierarchy's root.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }
}

fn describe(recipe: &Recipe<'_>, cgroup: &str) -> Result<String, BundleError> {
    let allowance = recipe.allowance;
    // To be a real-time thread, and to lock its memory.
    let capabilities = Capabilities::from([Capability::SysNice, Capability::IpcLock]);
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .inheritable(capabilities.clone())
        .permitted(capabilities.clone())
        .ambient(capabilities)
        .build()?;
    let files = PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitNofile)
        .hard(OPEN_FILES_MAX)
        .soft(OPEN_FILES_MAX)
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(UserBuilder::default().uid(USER).gid(USER).build()?)
        .args(recipe.args.clone())
        .env(recipe.environment.clone())
        .cwd("/")
        .capabilities(capabilities)
        .rlimits(vec![files])
        .no_new_privileges(true)
        .build()?;
    let devices = allowance.devices.iter().map(|path| device(path)).collect::<Result<Vec<_>, _>>()?;
    let nothing = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?;
    let mut rules = vec![nothing];
    for device in &devices {
        rules.push(rule(device)?);
    }
    let resources = LinuxResourcesBuilder::default()
        .devices(rules)
        .memory(
            LinuxMemoryBuilder::default()
                .limit(i64::try_from(allowance.memory_bytes).unwrap_or(i64::MAX))
                .build()?,
        )
        .pids(LinuxPidsBuilder::default().limit(i64::from(allowance.pids_max)).build()?)
        .cpu(LinuxCpuBuilder::default().shares(CPU_SHARES_MAX).build()?)
        .build()?;
    let linux = LinuxBuilder::default()
        .namespaces(namespaces(allowance.network.as_deref())?)
        .resources(resources)
        .devices(devices)
        .cgroups_path(cgroup)
        .build()?;
    let spec = SpecBuilder::default()
        .version(SPECIFICATION)
        .root(RootBuilder::default().path(recipe.root).readonly(true).build()?)
        .hostname(recipe.id.as_str())
        .mounts(mounts(recipe)?)
        .process(process)
        .linux(linux)
        .build()?;
    serde_json::to_string_pretty(&spec).map_err(|error| BundleError::Describe(error.into()))
}

fn namespaces(network: Option<&Path>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let own =
        [LinuxNamespaceType::Pid, LinuxNamespaceType::Ipc, LinuxNamespaceType::Uts, LinuxNamespaceType::Mount];
    let mut namespaces = Vec::new();
    for typ in own {
        namespaces.push(LinuxNamespaceBuilder::default().typ(typ).build()?);
    }
    if let Some(path) = network {
        namespaces.push(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network).path(path).build()?);
    }
    Ok(namespaces)
}

fn mounts(recipe: &Recipe<'_>) -> Result<Vec<Mount>, OciSpecError> {
    let options = |options: &[&str]| options.iter().map(ToString::to_string).collect::<Vec<_>>();
    let given = |source: &Path, at: &str| {
        MountBuilder::default()
            .destination(at)
            .typ("bind")
            .source(source)
            .options(options(&["bind", "ro", "nosuid", "nodev", "noexec"]))
            .build()
    };
    let proc = MountBuilder::default()
        .destination("/proc")
        .typ("proc")
        .source("proc")
        .options(options(&["nosuid", "nodev", "noexec"]))
        .build()?;
    let dev = MountBuilder::default()
        .destination("/dev")
        .typ("tmpfs")
        .source("tmpfs")
        .options(options(&["nosuid", "strictatime", "mode=755", "size=64k"]))
        .build()?;
    let mut mounts = vec![proc, dev, given(recipe.run, RUN)?];
    if let Some(data) = recipe.data {
        mounts.push(given(data, DATA)?);
    }
    Ok(mounts)
}

fn device(path: &Path) -> Result<LinuxDevice, BundleError> {
    let bad = |why: String| BundleError::Device { path: path.to_owned(), why };
    let metadata = path.metadata().map_err(|error| bad(error.to_string()))?;
    let typ = type_of(&metadata).ok_or_else(|| bad("it is no device".to_owned()))?;
    let number = metadata.rdev();
    let device = LinuxDeviceBuilder::default()
        .path(path)
        .typ(typ)
        .major(i64::from(rustix::fs::major(number)))
        .minor(i64::from(rustix::fs::minor(number)))
        .file_mode(0o600_u32)
        .uid(USER)
        .gid(USER)
        .build()?;
    Ok(device)
}

fn type_of(metadata: &Metadata) -> Option<LinuxDeviceType> {
    let kind = metadata.file_type();
    if kind.is_char_device() {
        Some(LinuxDeviceType::C)
    } else {
        kind.is_block_device().then_some(LinuxDeviceType::B)
    }
}

fn rule(device: &LinuxDevice) -> Result<LinuxDeviceCgroup, OciSpecError> {
    LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(device.typ())
        .major(device.major())
        .minor(device.minor())
        .access("rw")
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_device_is_refused_by_its_path() {
        let error = device(Path::new("/etc/hostname")).expect_err("it is a file");
        assert!(error.to_string().starts_with("device /etc/hostname: it is no device; write"), "{error}");
        let null = device(Path::new("/dev/null")).expect("a device");
        assert_eq!((null.major(), null.minor()), (1, 3));
    }

    #[test]
    fn a_mission_has_the_hosts_network_only_if_none_is_named() {
        let has_network = |network: Option<&Path>| {
            let all = namespaces(network).expect("they can be written");
            all.iter().find(|one| one.typ() == LinuxNamespaceType::Network).map(|one| one.path().clone())
        };
        assert_eq!(has_network(None), None);
        let named = Path::new("/run/netns/left");
        assert_eq!(has_network(Some(named)), Some(Some(named.to_owned())));
    }
}
