//! The files that the doctor looks at, below a root: this machine's, or one that was prepared.

use rustix::fs::{Access, access, statvfs};
use std::path::{Path, PathBuf};

/// The root of a system.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns whether it is the system that this program runs on.
    pub(super) fn is_this_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Returns the text of a file without the white space around it; `None` when it cannot be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.at(path)).ok().map(|text| text.trim().to_owned())
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// Returns the names in a folder that begin with `prefix`, in order.
    pub(super) fn names(&self, folder: &str, prefix: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        names
    }

    /// Returns whether this user may read and write a file.
    pub(super) fn may_use(&self, path: &str) -> bool {
        access(self.at(path), Access::READ_OK | Access::WRITE_OK).is_ok()
    }

    /// Returns how many bytes are free where `path`, or the nearest folder above it, lies.
    pub(super) fn free_bytes(&self, path: &str) -> Option<u64> {
        let path = self.at(path);
        let there = path.ancestors().find(|folder| folder.exists())?;
        let disk = statvfs(there).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}
