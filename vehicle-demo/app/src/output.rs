//! What leaves the program: files that are written whole or not at all, and text for whoever still reads.

use crate::commands::Problem;
use std::io::Write as _;
use std::path::Path;

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

fn problem(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::bad_input(format!("writing {}: {error}; name a folder that can be written to", path.display()))
}

/// A report is for everybody to read, unlike an ordinary temporary file.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o644)
}

/// Reads a text file that the user named.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path)
        .map_err(|error| Problem::bad_input(format!("reading {}: {error}", path.display())))
}

/// Reads a file that the user named, whatever is in it.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::bad_input(format!("reading {}: {error}", path.display())))
}

/// Prints to standard output. A reader that has gone (`| head`) is no reason to panic.
pub(crate) fn print(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints to standard error, in the same manner.
pub(crate) fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints to standard error without an end of line, for a bar that is drawn again.
pub(crate) fn draw(text: impl std::fmt::Display) {
    let mut out = std::io::stderr();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
