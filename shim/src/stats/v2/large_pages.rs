//! Figures of the controller for large pages (the kernel's admin-guide/cgroup-v2.rst, "HugeTLB").

use std::path::Path;

use containerd_shim_protos::cgroups_v2::metrics::HugeTlbStat;

use super::super::file::{number, table};

/// Reads those of each page size that the cgroup at `path` has, in the order of their names.
pub(super) fn read(path: &Path) -> Vec<HugeTlbStat> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let mut sizes: Vec<String> = entries
        .flatten()
        .filter_map(|entry| size(entry.file_name().to_str()?).map(str::to_owned))
        .collect();
    sizes.sort();
    sizes.into_iter().map(|size| of_size(path, size)).collect()
}

/// The page size of `hugetlb.2MB.current`, and of no other file.
fn size(name: &str) -> Option<&str> {
    let size = name.strip_prefix("hugetlb.")?.strip_suffix(".current")?;
    // What is reserved has files of its own: hugetlb.2MB.rsvd.current.
    (!size.contains('.')).then_some(size)
}

fn of_size(path: &Path, size: String) -> HugeTlbStat {
    let file = |name: &str| path.join(format!("hugetlb.{size}.{name}"));
    let events = table(&file("events"));
    HugeTlbStat {
        current: number(&file("current")),
        max: number(&file("max")),
        failcnt: events.get("max").copied().unwrap_or_default(),
        pagesize: size,
        ..HugeTlbStat::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_once() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("hugetlb.2MB.current", "4194304\n"),
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("hugetlb.2MB.rsvd.current", "9\n"),
            ("hugetlb.1GB.current", "0\n"),
            ("memory.current", "1\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let stats = read(dir.path());
        assert_eq!(stats.len(), 2);
        assert_eq!(stats[0].pagesize, "1GB");
        assert_eq!((stats[1].current, stats[1].max), (4_194_304, u64::MAX));
        assert_eq!((stats[1].failcnt, &*stats[1].pagesize), (3, "2MB"));
    }
}
