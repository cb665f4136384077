//! Figures of block devices of cgroup v1 (the kernel's admin-guide/cgroup-v1/blkio-controller).

use std::{collections::HashMap, path::Path};

use containerd_shim_protos::cgroups::metrics::{BlkIOEntry, BlkIOStat};

/// Names of devices by their numbers (proc(5), "/proc/diskstats").
const DISKS: &str = "/proc/diskstats";

/// What the controller has counted in the cgroup `path` and those below: the policy that limits
/// counts on every kernel, that of the BFQ scheduler where it is used.
pub(super) fn blkio(path: &Path) -> BlkIOStat {
    let names = disks(&std::fs::read_to_string(DISKS).unwrap_or_default());
    let entries = |what: &str| {
        let policies = ["bfq", "throttle"].into_iter();
        let files = policies.map(|policy| path.join(format!("blkio.{policy}.{what}_recursive")));
        let mut texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
        let found = texts.find_map(|text| {
            let entries = entries(&text, &names);
            (!entries.is_empty()).then_some(entries)
        });
        found.unwrap_or_default()
    };
    BlkIOStat {
        io_service_bytes_recursive: entries("io_service_bytes"),
        io_serviced_recursive: entries("io_serviced"),
        io_queued_recursive: entries("io_queued"),
        io_service_time_recursive: entries("io_service_time"),
        io_wait_time_recursive: entries("io_wait_time"),
        io_merged_recursive: entries("io_merged"),
        ..BlkIOStat::default()
    }
}

type Names = HashMap<(u64, u64), String>;

fn disks(text: &str) -> Names {
    let disks = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let major = fields.next()?.parse().ok()?;
        let minor = fields.next()?.parse().ok()?;
        Some(((major, minor), format!("/dev/{}", fields.next()?)))
    });
    disks.collect()
}

/// Lines of `MAJOR:MINOR OPERATION NUMBER`; the last one, the total, has no device.
fn entries(text: &str, names: &Names) -> Vec<BlkIOEntry> {
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(BlkIOEntry {
            op: fields.next()?.to_owned(),
            value: fields.next()?.parse().ok()?,
            device: names.get(&(major, minor)).cloned().unwrap_or_default(),
            major,
            minor,
            ..BlkIOEntry::default()
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let text = "8:0 Read 4096\n8:0 Write 0\n8:16 Read 7\nTotal 4103\n";
        let file = "blkio.throttle.io_service_bytes_recursive";
        std::fs::write(dir.path().join(file), text).unwrap();
        let stat = blkio(dir.path());
        let bytes = &stat.io_service_bytes_recursive;
        let seen: Vec<_> = bytes
            .iter()
            .map(|one| (one.minor, one.op.as_str(), one.value))
            .collect();
        assert_eq!(seen, [(0, "Read", 4096), (0, "Write", 0), (16, "Read", 7)]);
        assert!(stat.io_serviced_recursive.is_empty());
    }

    #[test]
    fn devices_have_names() {
        let names = disks("   8       0 sda 1 2 3\nodd\n");
        let found = entries("8:0 Sync 5\n", &names);
        assert_eq!(found.first().unwrap().device, "/dev/sda");
    }
}
