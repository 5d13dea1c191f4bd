//! Files that survive the end of the process, or of the power, at any moment.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Writes a file so that it is there whole or not at all: beside its place, as `NAME.new`, and then there. When it returns, the
/// disk has it.
///
/// # Errors
/// The file system's. Then nothing is left beside it, because a full disk needs the room.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        // What stays there is overwritten by the next.
        let _ = fs::remove_file(&beside);
    }
    written.and_then(|()| sync_folder(path))
}

/// No file that a person writes is longer.
const TEXT_MAX: u64 = 16 << 20;

/// Reads a file that a person wrote, as text. A byte order mark is no part of it.
///
/// # Errors
/// The file system's; and, in words that say what to do: it is longer than 16 MiB (a device may be without end), or no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TEXT_MAX + 1).read_to_end(&mut bytes)?;
    let refuse = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if bytes.len() as u64 > TEXT_MAX {
        return refuse(format!("it is longer than {} MiB: is that the file that was meant?", TEXT_MAX >> 20));
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = *bytes {
        return refuse("it is UTF-16: save it as UTF-8".to_owned());
    }
    let start = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let text = bytes.split_off(start);
    String::from_utf8(text).or_else(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        refuse(format!("line {line} is no UTF-8: save it as UTF-8"))
    })
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns whether an error says that there is no room: on the disk, in a quota, or below the largest file that may be.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Returns when the disk has what was changed in the folder of `path`: names of files, not what is in them.
///
/// # Errors
/// The file system's.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_the_place_of_another_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("name.json");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert!(write_whole(&folder.path().join("nowhere/name"), b"").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_text_is_read_whatever_editor_wrote_it_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_text(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"\xef\xbb\xbfa = 1\n").unwrap(), "a = 1\n");
        assert_eq!(read(b"").unwrap(), "");
        for utf16 in [b"\xff\xfea\0".as_slice(), b"\xfe\xff\0a"] {
            assert!(read(utf16).unwrap_err().contains("UTF-16"));
        }
        assert!(read(b"a = 1\nb = \xfc\n").unwrap_err().contains("line 2 is no UTF-8"));
    }

    #[test]
    fn a_device_without_an_end_is_not_read_for_ever() {
        let error = read_text(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("longer than 16 MiB"), "{error}");
    }
}
