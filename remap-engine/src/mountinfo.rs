//! `/proc/PID/mountinfo`, parsed as bytes.
//!
//! Format: proc_pid_mountinfo(5). The kernel escapes space, tab, newline and backslash in its
//! fields as three octal digits (`seq_path` with `" \t\n\\"`); everything else, including bytes
//! that are not UTF-8, arrives as it is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A device number as mountinfo and stat(2) show it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Mount id, unique while the mount exists.
    pub id: u64,
    /// Mount id of the parent.
    pub parent: u64,
    /// `st_dev` of files on it.
    pub device: Device,
    /// The directory or file of the file system that is mounted here.
    pub root: PathBuf,
    /// Where it is mounted, relative to the process's root.
    pub mount_point: PathBuf,
    /// Options of this mount (`ro`, `nosuid`, …), comma separated.
    pub options: String,
    /// File system type, with subtype (`fuse.sshfs`).
    pub fs_type: String,
    /// Options of the file system (`size=64k`, …), comma separated.
    pub super_options: String,
}

impl MountEntry {
    /// Whether the mount or its file system is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
        has_ro(&self.options) || has_ro(&self.super_options)
    }

    /// Whether a look at what is on it may wait for somebody else.
    #[must_use]
    pub fn may_block(&self) -> bool {
        may_block(&self.fs_type)
    }
}

/// Whether a look at a file of a file system of this type may wait for somebody else: for a server,
/// on this host or another.
#[must_use]
pub fn may_block(fs_type: &str) -> bool {
    ["fuse", "nfs", "cifs", "9p", "ceph", "autofs"]
        .iter()
        .any(|kind| fs_type.starts_with(kind))
}

/// A line that does not follow proc_pid_mountinfo(5).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of mountinfo has no valid {field}")]
pub struct MountinfoError {
    /// Line number, from 1.
    pub line: usize,
    /// The field that is missing or malformed.
    pub field: &'static str,
}

/// Parses the whole text of a mountinfo file.
///
/// # Errors
/// The first line that does not follow the format; nothing is skipped silently.
pub fn parse(text: &[u8]) -> Result<Vec<MountEntry>, MountinfoError> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            parse_line(line).map_err(|field| MountinfoError {
                line: index + 1,
                field,
            })
        })
        .collect()
}

fn parse_line(line: &[u8]) -> Result<MountEntry, &'static str> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = |name| fields.next().filter(|field| !field.is_empty()).ok_or(name);
    let id = number(next("mount id")?).ok_or("mount id")?;
    let parent = number(next("parent id")?).ok_or("parent id")?;
    let device = device(next("device")?).ok_or("device")?;
    let root = path(next("root")?);
    let mount_point = path(next("mount point")?);
    let options = text(next("mount options")?);
    while next("separator")? != b"-" {}
    let fs_type = text(next("file system type")?);
    // The source may be empty: then two spaces follow each other.
    let _source = fields.next().ok_or("source")?;
    let super_options = text(fields.next().ok_or("super options")?);
    Ok(MountEntry {
        id,
        parent,
        device,
        root,
        mount_point,
        options,
        fs_type,
        super_options,
    })
}

fn number<N: std::str::FromStr>(field: &[u8]) -> Option<N> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<Device> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some(Device {
        major: number(field.get(..colon)?)?,
        minor: number(field.get(colon + 1..)?)?,
    })
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Option strings hold paths only in rare file systems (overlay); they are shown, not opened.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// Undoes the kernel's octal escapes (`\040`); a backslash without three octal digits stays.
#[must_use]
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match octal(rest) {
            Some((byte, after)) => {
                out.push(byte);
                rest = after;
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

fn octal(field: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', a, b, c, after @ ..] = field else {
        return None;
    };
    let digit = |byte: &u8| {
        (b'0'..=b'7')
            .contains(byte)
            .then(|| u32::from(*byte - b'0'))
    };
    let value = digit(a)? * 64 + digit(b)? * 8 + digit(c)?;
    Some((u8::try_from(value).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_line_with_optional_fields_and_escapes() {
        let line = b"42 7 0:53 /sub\\040dir /dev/shm\\012x rw,nosuid shared:5 master:3 - tmpfs shm\\011x ro,size=64k\n";
        let entry = parse(line).unwrap().remove(0);
        assert_eq!((entry.id, entry.parent), (42, 7));
        assert_eq!(
            entry.device,
            Device {
                major: 0,
                minor: 53
            }
        );
        assert_eq!(entry.root.as_os_str().as_bytes(), b"/sub dir");
        assert_eq!(entry.mount_point.as_os_str().as_bytes(), b"/dev/shm\nx");
        assert_eq!(entry.fs_type, "tmpfs");
        assert!(entry.is_read_only());
    }

    #[test]
    fn an_empty_source_and_a_name_that_is_not_utf8() {
        let entry = parse(b"1 0 8:1 / /\xff rw - tmpfs  rw").unwrap().remove(0);
        assert_eq!(entry.mount_point.as_os_str().as_bytes(), b"/\xff");
        assert_eq!(entry.super_options, "rw");
        assert!(!entry.is_read_only());
    }

    #[test]
    fn a_truncated_line_is_named() {
        let error = parse(b"1 0 8:1 / / rw - tmpfs s rw\n2 0 8:1 / /x rw shared:1").unwrap_err();
        assert_eq!(
            error,
            MountinfoError {
                line: 2,
                field: "separator"
            }
        );
    }

    proptest! {
        #[test]
        fn any_name_survives_the_kernel_escapes(name in prop::collection::vec(1u8..=255, 1..300)) {
            let mut escaped = Vec::new();
            for byte in &name {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").into_bytes()),
                    other => escaped.push(*other),
                }
            }
            prop_assert_eq!(unescape(&escaped), name);
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&text);
        }
    }
}
