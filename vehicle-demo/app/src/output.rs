//! What leaves the program: files that are written whole or not at all, and text for whoever still reads.

use crate::commands::Problem;
use std::io::{Read as _, Write as _};
use std::path::Path;
use twinhelm_linux::disk::{is_full, read_text};
pub(crate) use twinhelm_linux::terminal::{print, tell};

/// Writes `text` to `path`: into a temporary file beside it, which then takes its name.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Problem> {
    write_bytes(path, text.as_bytes())
}

/// Writes `bytes` to `path`, in the same manner.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    if is_special(path) {
        return std::fs::write(path, bytes).map_err(|error| problem(path, &error));
    }
    let mut file = temporary(path)?;
    file.write_all(bytes).map_err(|error| problem(path, &error))?;
    file.persist(path).map_err(|error| problem(path, &error.error))?;
    Ok(())
}

/// Finds out whether `path` could be written; leaves nothing behind.
pub(crate) fn try_to_write(path: &Path) -> Result<(), Problem> {
    if is_special(path) { Ok(()) } else { temporary(path).map(drop) }
}

/// A device or a pipe is written to, not replaced.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir())
}

fn temporary(path: &Path) -> Result<tempfile::NamedTempFile, Problem> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let builder = tempfile::Builder::new().prefix(".twinhelm-").permissions(permissions()).tempfile_in(folder);
    builder.map_err(|error| problem(path, &error))
}

fn problem(path: &Path, error: &std::io::Error) -> Problem {
    let what = format!("writing {}: {error}", path.display());
    if is_full(error) {
        Problem::machine(format!("{what}; make room there, or name another disk"))
    } else {
        Problem::bad_input(format!("{what}; name a folder that can be written to"))
    }
}

/// A report is for everybody to read, unlike an ordinary temporary file.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o644)
}

/// Reads a text file that the user named.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    read_text(path).map_err(|error| Problem::bad_input(format!("reading {}: {error}", path.display())))
}

/// Reads a file that the user named, if it begins with `mark`; of another no more than that much: a device has no end.
pub(crate) fn read_bytes(path: &Path, mark: &[u8]) -> Result<Vec<u8>, Problem> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        (&mut file).take(mark.len() as u64).read_to_end(&mut bytes)?;
        if bytes == mark {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    read().map_err(|error: std::io::Error| Problem::bad_input(format!("reading {}: {error}", path.display())))
}

/// Prints to standard error without an end of line, for a bar that is drawn again.
pub(crate) fn draw(text: impl std::fmt::Display) {
    let mut out = std::io::stderr();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
