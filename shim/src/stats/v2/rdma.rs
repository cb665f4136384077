//! Figures of the controller for RDMA devices (the kernel's admin-guide/cgroup-v2.rst, "RDMA").

use std::path::Path;

use containerd_shim_protos::cgroups_v2::metrics::{RdmaEntry, RdmaStat};

/// Reads them for the cgroup at `path`.
pub(super) fn read(path: &Path) -> RdmaStat {
    RdmaStat {
        current: entries(&path.join("rdma.current")),
        limit: entries(&path.join("rdma.max")),
        ..RdmaStat::default()
    }
}

/// A line for each device, such as `mlx4_0 hca_handle=2 hca_object=max`.
fn entries(path: &Path) -> Vec<RdmaEntry> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<RdmaEntry> {
    let (device, figures) = line.split_once(' ')?;
    let value = |name: &str| {
        let mut figures = figures.split_whitespace();
        match figures.find_map(|figure| figure.strip_prefix(name)?.strip_prefix('=')) {
            // No limit is the largest number.
            Some("max") => u32::MAX,
            Some(value) => value.parse().unwrap_or_default(),
            None => 0,
        }
    };
    Some(RdmaEntry {
        device: device.to_owned(),
        hca_handles: value("hca_handle"),
        hca_objects: value("hca_object"),
        ..RdmaEntry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), RdmaStat::default());
        let text = "mlx4_0 hca_handle=2 hca_object=max\nodd\n";
        std::fs::write(dir.path().join("rdma.max"), text).unwrap();
        let stats = read(dir.path());
        assert!(stats.current.is_empty());
        assert_eq!(stats.limit.len(), 1);
        assert_eq!(stats.limit[0].device, "mlx4_0");
        assert_eq!(stats.limit[0].hca_handles, 2);
        assert_eq!(stats.limit[0].hca_objects, u32::MAX);
    }
}
