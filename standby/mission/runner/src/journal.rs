//! Which containers there are: a file each, written before a container is made and removed when nothing of it is left.

use crate::{cgroups, library};
use mission_wire::ContainerId;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

fn folder(state: &Path) -> PathBuf {
    state.join("journal")
}

/// Waits until no earlier life's process of this sort works on the folder, and keeps later ones out as long as the file is
/// open: one that was left may still be removing what it had.
pub fn lock(state: &Path, sort: &str) -> Result<File, String> {
    let path = state.join(format!("{sort}.lock"));
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|error| format!("locking {}: {error}", path.display()))
}

/// Notes that a container is about to be made.
pub fn begin(state: &Path, id: &ContainerId, cgroup: &str) -> io::Result<()> {
    fs::create_dir_all(folder(state))?;
    fs::write(folder(state).join(id.as_str()), cgroup)
}

/// Kills what runs of a container, removes all that is left of it, and forgets it.
///
/// # Errors
/// In words, when something is left; then it is not forgotten.
pub fn remove(state: &Path, id: &ContainerId) -> Result<(), String> {
    let file = folder(state).join(id.as_str());
    let cgroup = match fs::read_to_string(&file) {
        Ok(cgroup) => cgroup,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("there is no such container".to_owned());
        }
        Err(error) => return Err(format!("reading {}: {error}", file.display())),
    };
    cgroups::kill_all(&cgroup)?;
    cgroups::return_realtime(&cgroup);
    // A container that was killed half-made is one that libcrun does not know; only what is left counts.
    let deleted = library::delete(state, id);
    cgroups::remove(&cgroup)?;
    let known = state.join("crun").join(id.as_str());
    if known.exists() {
        deleted?;
        let removed = fs::remove_dir_all(&known)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) });
        removed.map_err(|error| format!("removing {}: {error}", known.display()))?;
    }
    fs::remove_file(&file).map_err(|error| format!("removing {}: {error}", file.display()))
}

/// Removes every container that is noted. What cannot be removed is told, and stays noted.
pub fn remove_all(state: &Path) {
    let Ok(entries) = fs::read_dir(folder(state)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(id) = ContainerId::new(name) else { continue };
        if let Err(why) = remove(state, &id) {
            eprintln!("mission-runner: removing container {id}: {why}");
        }
    }
}
