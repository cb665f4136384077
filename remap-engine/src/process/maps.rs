//! `/proc/PID/maps`, parsed as bytes.

use crate::mountinfo::Device;

/// A line of `/proc/PID/maps`, proc_pid_maps(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address, and the one after the last.
    pub range: (u64, u64),
    /// Device of the file system; for some (overlay, btrfs) not the `st_dev` of the file.
    pub device: Device,
    /// Inode number; 0 if it is no file.
    pub inode: u64,
    /// The name as the kernel shows it.
    pub name: Vec<u8>,
}

/// The mappings of files in the text of a `maps` file. A line that is none is left out.
#[must_use]
pub fn mapped_files(maps: &[u8]) -> Vec<Mapping> {
    let mut files = mappings(maps);
    files.retain(|mapping| mapping.inode != 0);
    files
}

/// All of them, also those of no file, and System V's, whose inode number can be 0.
#[must_use]
pub fn mappings(maps: &[u8]) -> Vec<Mapping> {
    let lines = maps.split(|byte| *byte == b'\n');
    lines.filter_map(mapping).collect()
}

fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = text()?.split_once('-')?;
    let (_permissions, _offset) = (text()?, text()?);
    let (major, minor) = text()?.split_once(':')?;
    let inode = text()?.parse().ok()?;
    let hex = |digits| u32::from_str_radix(digits, 16).ok();
    Some(Mapping {
        range: (
            u64::from_str_radix(start, 16).ok()?,
            u64::from_str_radix(end, 16).ok()?,
        ),
        device: Device {
            major: hex(major)?,
            minor: hex(minor)?,
        },
        inode,
        name: fields
            .next()
            .unwrap_or_default()
            .trim_ascii_start()
            .to_vec(),
    })
}
