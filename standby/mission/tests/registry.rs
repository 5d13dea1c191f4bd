//! A real registry on loopback (Debian's docker-registry), and three programs that others wrote: skopeo, umoci and runc.

mod bad_images;

use bad_images::{Entry, Folder, layer};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twinhelm_mission::image::pack::{Contents, pack};
use twinhelm_mission::image::pull::{Pulled, Rate, Request, pull};
use twinhelm_mission::image::push::push;
use twinhelm_mission::image::verify::{Limits, verify};
use twinhelm_mission::image::{Digest, ImageError, Kind, Layout, Platform, Reference};

/// Far beyond what starting it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns an address of 127/8 that nothing else of this machine uses.
fn own_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, beyond, high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from((Ipv4Addr::new(127, high, low, count), 5_000 + u16::from(beyond)))
}

/// A registry that ends with the test.
struct Registry {
    address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = own_address();
        let config = folder.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: {address}}}\n",
            folder.path().join("data").display()
        );
        fs::write(&config, text).expect("a file");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry: apt-get install docker-registry");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "the registry does not come up");
            thread::yield_now();
        }
        Self { address, process, folder }
    }

    fn name(&self, what: &str) -> String {
        format!("docker://{}/vehicle/mission{what}", self.address)
    }

    /// Returns where the registry keeps a blob.
    fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.path().join(format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn named(name: &str) -> Reference {
    name.parse().expect("it names an image")
}

/// Fetches what a PC runs of `from` into `to`.
fn fetch(to: &Layout, from: &str) -> Result<Pulled, ImageError> {
    let from = [named(from)];
    let request = Request { from: &from, runs: &[Platform::Amd64], rate: &Rate::new(None), tag: Some("mission") };
    pull(to, &request, &mut |_| {})
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {program}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A mission that says what it was told, for two platforms; static, as each mission is.
fn image(folder: &Path) -> (Layout, Digest) {
    let program = PathBuf::from("/bin/busybox");
    let data = folder.join("course.toml");
    fs::write(&data, b"length = 3\n").expect("a file");
    let contents = Contents {
        name: "busybox".to_owned(),
        version: "1".to_owned(),
        programs: [(Platform::Amd64, program.clone()), (Platform::ArmV6, program)].into(),
        data: [("course.toml".to_owned(), data)].into(),
    };
    let layout = Layout::create(&folder.join("images")).expect("a folder of images");
    let digest = pack(&layout, &contents, "mission").expect("it is packed");
    (layout, digest)
}

#[test]
fn what_is_pushed_comes_back_and_others_read_it() {
    let registry = Registry::start();
    let folder = TempDir::new().expect("a folder");
    let (layout, digest) = image(folder.path());
    let here = named(&format!("oci:{}:mission", layout.folder().display()));
    let there = named(&registry.name(":1"));
    let pushed = push(&layout, &here, &there, &mut |_| {}).expect("the registry takes it");
    assert_eq!((&pushed.image, pushed.kept), (&digest, 0));
    let again = push(&layout, &here, &there, &mut |_| {}).expect("the registry takes it");
    assert_eq!(again.sent, 0, "it has all of it");

    // By its tag and by its digest.
    for name in [registry.name(":1"), registry.name(&format!("@{digest}"))] {
        let store = TempDir::new().expect("a folder");
        let to = Layout::create(store.path()).expect("a folder of images");
        let pulled = fetch(&to, &name).expect("it comes");
        assert_eq!(pulled.image, digest);
        verify(&to, &digest, &[Platform::Amd64], Limits::default()).expect("it is whole");
        assert_eq!(fetch(&to, &name).expect("it is here").fetched, 0, "all of it is here");
    }

    // skopeo reads it in the registry, and copies it; umoci unpacks it; runc runs it.
    let name = registry.name(":1");
    let raw = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &name]);
    assert_eq!(Digest::of(raw.as_bytes()), digest, "skopeo sees the same bytes");
    let copy = format!("oci:{}:mission", folder.path().join("copy").display());
    run("skopeo", &["--insecure-policy", "copy", "--src-tls-verify=false", &name, &copy]);
    let bundle = folder.path().join("bundle");
    let umoci = format!("{}:mission", folder.path().join("copy").display());
    run("umoci", &["unpack", "--image", &umoci, &bundle.display().to_string()]);
    assert_eq!(fs::read(bundle.join("rootfs/etc/mission/course.toml")).expect("a file"), b"length = 3\n");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: runc needs root");
        return;
    }
    let config = bundle.join("config.json");
    let mut spec: serde_json::Value =
        serde_json::from_slice(&fs::read(&config).expect("umoci wrote it")).expect("it is JSON");
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["/bin/busybox", "cat", "/etc/mission/course.toml"]);
    fs::write(&config, spec.to_string()).expect("it is ours");
    let state = folder.path().join("runc").display().to_string();
    let id = format!("test-{}", std::process::id());
    let said = run("runc", &["--root", &state, "run", "--bundle", &bundle.display().to_string(), &id]);
    assert_eq!(said, "length = 3\n");
}

#[test]
fn what_skopeo_copies_is_the_same_image() {
    let folder = TempDir::new().expect("a folder");
    let (layout, digest) = image(folder.path());
    let from = format!("oci:{}:mission", layout.folder().display());
    let to = folder.path().join("copy");
    run("skopeo", &["--insecure-policy", "copy", "--all", &from, &format!("oci:{}:mission", to.display())]);
    let copy = Layout::open(&to).expect("a folder of images");
    let found = copy.resolve(&named(&format!("oci:{}:mission", to.display()))).expect("it is listed");
    assert_eq!(found, digest);
    assert_eq!(verify(&copy, &digest, &[], Limits::default()).expect("it is whole").len(), 2);
}

/// Puts a hand-written image into a registry, and returns its digest and its layer.
fn in_registry(registry: &Registry, content: &[u8]) -> (Digest, Vec<u8>) {
    let mut folder = Folder::new();
    let layer = layer(&[Entry::file("bin/mission", content)]);
    let digest = folder.image(std::slice::from_ref(&layer));
    let layout = Layout::open(folder.path()).expect("a folder of images");
    let here = named(&format!("oci:{}@{digest}", folder.path().display()));
    push(&layout, &here, &named(&registry.name(":1")), &mut |_| {}).expect("the registry takes it");
    (digest, layer)
}

/// Bytes that do not pack.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    let registry = Registry::start();
    let (digest, layer) = in_registry(&registry, &noise(300_000));
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let half = layer.len() / 2;
    let partial = store.path().join(".partial").join(Digest::of(&layer).hex());
    fs::write(&partial, &layer[..half]).expect("it is ours");
    let pulled = fetch(&to, &registry.name(&format!("@{digest}"))).expect("it comes");
    let fetched = usize::try_from(pulled.fetched).expect("it is small");
    assert!(fetched < layer.len() - half + 1_000, "{fetched} bytes were fetched of {}", layer.len());
    verify(&to, &digest, &[Platform::Amd64], Limits::default()).expect("it is whole");
    assert!(!partial.exists());
}

#[test]
fn a_blob_that_was_tampered_with_in_the_registry_is_refused() {
    let registry = Registry::start();
    let (digest, layer) = in_registry(&registry, &noise(50_000));
    let path = registry.blob(&Digest::of(&layer));
    let mut bytes = fs::read(&path).expect("the registry has it");
    bytes[20_000] ^= 1;
    fs::write(&path, bytes).expect("it is ours");
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let error = fetch(&to, &registry.name(&format!("@{digest}"))).expect_err("it is refused");
    assert_eq!(error.kind, Kind::Digest, "{error}");
    assert!(!to.has(&Digest::of(&layer)) && to.list().expect("a list").is_empty());
}

#[test]
fn what_the_registry_does_not_have_is_missing() {
    let registry = Registry::start();
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let wrong = Digest::of(b"another");
    for name in [registry.name(":9"), registry.name(&format!("@{wrong}"))] {
        let error = fetch(&to, &name).expect_err("it is not there");
        assert_eq!(error.kind, Kind::Missing, "{error}");
        assert!(error.to_string().starts_with(&format!("{name}: pulling: ")), "{error}");
    }
}

/// Something between a client and a registry that goes away after some bytes of answers.
fn cut_after(to: SocketAddr, bytes: usize) -> SocketAddr {
    let address = own_address();
    let listener = TcpListener::bind(address).expect("an address of ours");
    thread::spawn(move || {
        let mut rest = bytes;
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { return };
            let (mut from_client, mut to_server) =
                (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || drop(std::io::copy(&mut from_client, &mut to_server)));
            let (mut from_server, mut to_client) = (server, client);
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from_server.read(&mut buffer) {
                let passes = length.min(rest);
                if to_client.write_all(&buffer[..passes]).is_err() {
                    break;
                }
                rest -= passes;
                if rest == 0 {
                    // Gone: this connection, and every other one.
                    drop(to_client.shutdown(std::net::Shutdown::Both));
                    return;
                }
            }
        }
    });
    address
}

#[test]
fn a_registry_that_goes_away_in_the_middle_costs_no_byte_twice() {
    let registry = Registry::start();
    let (digest, layer) = in_registry(&registry, &noise(400_000));
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let through = cut_after(registry.address, 200_000);
    let error = fetch(&to, &format!("docker://{through}/vehicle/mission@{digest}")).expect_err("it goes away");
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.remedy.contains("kept") || error.remedy.contains("goes on where it stopped"), "{error}");
    let pulled = fetch(&to, &registry.name(&format!("@{digest}"))).expect("it comes");
    assert!(pulled.fetched < layer.len() as u64 - 100_000, "{} bytes were fetched again", pulled.fetched);
    verify(&to, &digest, &[Platform::Amd64], Limits::default()).expect("it is whole");
}

#[test]
fn the_next_place_is_tried_and_each_failure_is_named() {
    let registry = Registry::start();
    let (digest, _) = in_registry(&registry, b"x");
    let nobody = own_address();
    let names = [format!("docker://{nobody}/mission@{digest}"), registry.name(&format!("@{digest}"))];
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let rate = Rate::new(None);
    let from = names.map(|name| named(&name));
    let request = Request { from: &from, runs: &[Platform::Amd64], rate: &rate, tag: None };
    assert_eq!(pull(&to, &request, &mut |_| {}).expect("the second one has it").from, from[1]);

    let another = Digest::of(b"another");
    let from = [format!("docker://{nobody}/mission@{another}"), registry.name(&format!("@{another}"))];
    let from = from.map(|name| named(&name));
    let request = Request { from: &from, ..request };
    let error = pull(&to, &request, &mut |_| {}).expect_err("neither has it").to_string();
    assert!(error.contains(&nobody.to_string()) && error.contains(&registry.address.to_string()), "{error}");
}

#[test]
fn a_registry_that_stalls_is_given_up() {
    let address = own_address();
    let listener = TcpListener::bind(address).expect("an address of ours");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // It listens, and answers nothing until the client goes.
            thread::spawn(move || BufReader::new(client).lines().for_each(drop));
        }
    });
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let digest = Digest::of(b"mission");
    let error = fetch(&to, &format!("docker://{address}/mission@{digest}")).expect_err("it stalls");
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.problem.contains("sent nothing for 10 s"), "{error}");
}
