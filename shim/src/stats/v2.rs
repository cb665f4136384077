//! Figures of the unified hierarchy (the kernel's admin-guide/cgroup-v2).

mod large_pages;
mod pressure;
mod rdma;

use std::{collections::HashMap, path::Path};

use containerd_shim_protos::{
    cgroups_v2::metrics::{CPUStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PidsStat},
    protobuf::MessageField,
};

use super::file::{number, table};

/// Reads what the controllers of the cgroup at `path` have.
pub(super) fn metrics(path: &Path) -> Metrics {
    let pids = PidsStat {
        current: number(&path.join("pids.current")),
        limit: number(&path.join("pids.max")),
        ..PidsStat::default()
    };
    let usage = std::fs::read_to_string(path.join("io.stat")).unwrap_or_default();
    let io = IOStat {
        usage: usage.lines().filter_map(io_entry).collect(),
        psi: pressure::read(&path.join("io.pressure")),
        ..IOStat::default()
    };
    let cpu = CPUStat {
        psi: pressure::read(&path.join("cpu.pressure")),
        ..cpu(&table(&path.join("cpu.stat")))
    };
    Metrics {
        pids: MessageField::some(pids),
        cpu: MessageField::some(cpu),
        memory: MessageField::some(memory(path)),
        memory_events: MessageField::some(events(&table(&path.join("memory.events")))),
        io: MessageField::some(io),
        rdma: MessageField::some(rdma::read(path)),
        hugetlb: large_pages::read(path),
        ..Metrics::default()
    }
}

fn cpu(stat: &HashMap<String, u64>) -> CPUStat {
    let value = |name| stat.get(name).copied().unwrap_or_default();
    CPUStat {
        usage_usec: value("usage_usec"),
        user_usec: value("user_usec"),
        system_usec: value("system_usec"),
        nr_periods: value("nr_periods"),
        nr_throttled: value("nr_throttled"),
        throttled_usec: value("throttled_usec"),
        nr_bursts: value("nr_bursts"),
        burst_usec: value("burst_usec"),
        ..CPUStat::default()
    }
}

fn memory(path: &Path) -> MemoryStat {
    let stat = table(&path.join("memory.stat"));
    let value = |name| stat.get(name).copied().unwrap_or_default();
    MemoryStat {
        anon: value("anon"),
        file: value("file"),
        kernel_stack: value("kernel_stack"),
        slab: value("slab"),
        sock: value("sock"),
        shmem: value("shmem"),
        file_mapped: value("file_mapped"),
        file_dirty: value("file_dirty"),
        file_writeback: value("file_writeback"),
        anon_thp: value("anon_thp"),
        inactive_anon: value("inactive_anon"),
        active_anon: value("active_anon"),
        inactive_file: value("inactive_file"),
        active_file: value("active_file"),
        unevictable: value("unevictable"),
        slab_reclaimable: value("slab_reclaimable"),
        slab_unreclaimable: value("slab_unreclaimable"),
        pgfault: value("pgfault"),
        pgmajfault: value("pgmajfault"),
        workingset_refault: value("workingset_refault"),
        workingset_activate: value("workingset_activate"),
        workingset_nodereclaim: value("workingset_nodereclaim"),
        pgrefill: value("pgrefill"),
        pgscan: value("pgscan"),
        pgsteal: value("pgsteal"),
        pgactivate: value("pgactivate"),
        pgdeactivate: value("pgdeactivate"),
        pglazyfree: value("pglazyfree"),
        pglazyfreed: value("pglazyfreed"),
        thp_fault_alloc: value("thp_fault_alloc"),
        thp_collapse_alloc: value("thp_collapse_alloc"),
        usage: number(&path.join("memory.current")),
        usage_limit: number(&path.join("memory.max")),
        max_usage: number(&path.join("memory.peak")),
        swap_usage: number(&path.join("memory.swap.current")),
        swap_limit: number(&path.join("memory.swap.max")),
        swap_max_usage: number(&path.join("memory.swap.peak")),
        psi: pressure::read(&path.join("memory.pressure")),
        ..MemoryStat::default()
    }
}

fn events(events: &HashMap<String, u64>) -> MemoryEvents {
    let value = |name| events.get(name).copied().unwrap_or_default();
    MemoryEvents {
        low: value("low"),
        high: value("high"),
        max: value("max"),
        oom: value("oom"),
        oom_kill: value("oom_kill"),
        oom_group_kill: value("oom_group_kill"),
        ..MemoryEvents::default()
    }
}

/// A line of `io.stat`: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn io_entry(line: &str) -> Option<IOEntry> {
    let (device, figures) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let figures: HashMap<&str, u64> = figures
        .split_whitespace()
        .filter_map(|figure| figure.split_once('='))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let value = |name| figures.get(name).copied().unwrap_or_default();
    Some(IOEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        rbytes: value("rbytes"),
        wbytes: value("wbytes"),
        rios: value("rios"),
        wios: value("wios"),
        ..IOEntry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("cpu.stat", "usage_usec 10\nuser_usec 7\nsystem_usec 3\n");
        write("cpu.pressure", "some avg10=0.00 total=5\n");
        write("memory.pressure", "full avg10=0.00 total=6\n");
        write("memory.current", "4096\n");
        write("memory.max", "max\n");
        write("memory.stat", "anon 12\n");
        write("memory.events", "oom_kill 1\n");
        write("pids.current", "2\n");
        write("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\nodd\n");
        let metrics = metrics(dir.path());
        assert_eq!(metrics.cpu.psi.some.total, 5);
        assert_eq!(metrics.memory.psi.full.total, 6);
        assert!(metrics.io.psi.is_none() && metrics.hugetlb.is_empty());
        assert_eq!(metrics.cpu.usage_usec, 10);
        assert_eq!(metrics.memory.usage, 4096);
        assert_eq!(metrics.memory.usage_limit, u64::MAX);
        assert_eq!(metrics.memory.anon, 12);
        assert_eq!(metrics.memory_events.oom_kill, 1);
        assert_eq!(metrics.pids.current, 2);
        assert_eq!(metrics.io.usage.len(), 1);
        assert_eq!(metrics.io.usage[0].wios, 4);
    }
}
