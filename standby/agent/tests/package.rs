//! The Debian package: installed, used and purged in a root of its own, which is this machine's with a layer on top.

#![allow(clippy::unwrap_used)] // All of this file is a test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs in a mount namespace of its own. PACKAGE is the file.
const SCRIPT: &str = r#"
    mount -t tmpfs none /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
    cp "$PACKAGE" /mnt/root/twinhelm.deb
    for folder in proc sys dev; do mount --rbind /$folder /mnt/root/$folder; done
    exec chroot /mnt/root sh -eux -c '
        dpkg --install /twinhelm.deb
        cd /usr/share/doc/twinhelm
        twinhelm --version
        vehicle-demo check examples/vehicle.toml
        vehicle-demo gate examples/board.toml --check
        vehicle-demo run --rig sim --duration 2s --fault kill@1s
        twinhelm keys init --to /tmp/keys left=0 right=1 --person anna
        twinhelm agent --example | sed "s|/etc/twinhelm/keys|/tmp/keys/right|" > /tmp/agent.toml
        twinhelm agent --config /tmp/agent.toml --check
        mission-runner --version
        systemd-analyze verify /lib/systemd/system/twinhelm-agent.service /lib/systemd/system/twinhelm-gate.service
        grep -q "GNU Lesser General Public License" /usr/share/doc/twinhelm/NOTICE
        dpkg --listfiles twinhelm > /tmp/files
        dpkg --purge twinhelm
        hash -r
        if command -v twinhelm vehicle-demo mission-runner; then exit 1; fi
        while read -r file; do if [ -f "$file" ]; then echo "$file is left"; exit 1; fi; done < /tmp/files
        if [ -e /var/lib/systemd/deb-systemd-helper-enabled/twinhelm-agent.service.dsh-also ]; then exit 1; fi
        echo nothing is left
    '
"#;

/// Returns the package that `./dev deb` has built.
fn package() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debian");
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let package = files.filter(|path| path.extension().is_some_and(|ending| ending == "deb")).max();
    package.unwrap_or_else(|| panic!("there is no package in {}: `./dev deb --quick` builds it", folder.display()))
}

#[test]
fn the_package_is_installed_used_and_purged() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a root of its own needs root");
        return;
    }
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-eu", "-c", SCRIPT])
        .env("PACKAGE", package())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("{said}");
    assert!(output.status.success() && said.contains("nothing is left"), "{said}");
    // What systemd would complain about.
    assert!(!said.contains("Unknown key") && !said.contains("Failed to"), "{said}");
}
