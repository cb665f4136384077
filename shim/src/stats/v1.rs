//! Figures of cgroup v1 (the kernel's admin-guide/cgroup-v1).

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use containerd_shim_protos::{
    cgroups::metrics::{
        CPUStat, CPUUsage, MemoryEntry, MemoryOomControl, MemoryStat, Metrics, PidsStat, Throttle,
    },
    protobuf::MessageField,
};

use super::blkio::blkio;
use super::file::{list, number, table};

/// `cpuacct.stat` counts in USER_HZ, which is 100 on every Linux ABI that containers run on
/// (time(7)).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads what the controllers in `paths` have.
pub(super) fn metrics(paths: &HashMap<String, PathBuf>) -> Metrics {
    let directory = |controller: &str| paths.get(controller).map(PathBuf::as_path);
    Metrics {
        pids: MessageField::from_option(directory("pids").map(pids)),
        cpu: MessageField::some(cpu(directory("cpuacct"), directory("cpu"))),
        memory: MessageField::from_option(directory("memory").map(memory)),
        blkio: MessageField::from_option(directory("blkio").map(blkio)),
        memory_oom_control: MessageField::from_option(directory("memory").map(oom)),
        ..Metrics::default()
    }
}

fn pids(path: &Path) -> PidsStat {
    PidsStat {
        current: number(&path.join("pids.current")),
        // 0 is how containerd's v1 figures say that there is no limit.
        limit: Some(number(&path.join("pids.max")))
            .filter(|limit| *limit != u64::MAX)
            .unwrap_or_default(),
        ..PidsStat::default()
    }
}

fn cpu(cpuacct: Option<&Path>, cpu: Option<&Path>) -> CPUStat {
    let usage = cpuacct.map(|path| {
        let ticks = table(&path.join("cpuacct.stat"));
        let nanoseconds = |name| ticks.get(name).unwrap_or(&0) * NANOSECONDS_PER_TICK;
        CPUUsage {
            total: number(&path.join("cpuacct.usage")),
            kernel: nanoseconds("system"),
            user: nanoseconds("user"),
            per_cpu: list(&path.join("cpuacct.usage_percpu")),
            ..CPUUsage::default()
        }
    });
    let throttling = cpu.map(|path| {
        let stat = table(&path.join("cpu.stat"));
        let value = |name| stat.get(name).copied().unwrap_or_default();
        Throttle {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: value("throttled_time"),
            ..Throttle::default()
        }
    });
    CPUStat {
        usage: MessageField::from_option(usage),
        throttling: MessageField::from_option(throttling),
        ..CPUStat::default()
    }
}

fn memory(path: &Path) -> MemoryStat {
    let stat = table(&path.join("memory.stat"));
    let value = |name| stat.get(name).copied().unwrap_or_default();
    let entry = |kind: &str| {
        let file = |name| number(&path.join(format!("memory.{kind}{name}")));
        MessageField::some(MemoryEntry {
            limit: file("limit_in_bytes"),
            usage: file("usage_in_bytes"),
            max: file("max_usage_in_bytes"),
            failcnt: file("failcnt"),
            ..MemoryEntry::default()
        })
    };
    MemoryStat {
        cache: value("cache"),
        rss: value("rss"),
        rss_huge: value("rss_huge"),
        mapped_file: value("mapped_file"),
        dirty: value("dirty"),
        writeback: value("writeback"),
        pg_pg_in: value("pgpgin"),
        pg_pg_out: value("pgpgout"),
        pg_fault: value("pgfault"),
        pg_maj_fault: value("pgmajfault"),
        inactive_anon: value("inactive_anon"),
        active_anon: value("active_anon"),
        inactive_file: value("inactive_file"),
        active_file: value("active_file"),
        unevictable: value("unevictable"),
        hierarchical_memory_limit: value("hierarchical_memory_limit"),
        hierarchical_swap_limit: value("hierarchical_memsw_limit"),
        total_cache: value("total_cache"),
        total_rss: value("total_rss"),
        total_rss_huge: value("total_rss_huge"),
        total_mapped_file: value("total_mapped_file"),
        total_dirty: value("total_dirty"),
        total_writeback: value("total_writeback"),
        total_pg_pg_in: value("total_pgpgin"),
        total_pg_pg_out: value("total_pgpgout"),
        total_pg_fault: value("total_pgfault"),
        total_pg_maj_fault: value("total_pgmajfault"),
        total_inactive_anon: value("total_inactive_anon"),
        total_active_anon: value("total_active_anon"),
        total_inactive_file: value("total_inactive_file"),
        total_active_file: value("total_active_file"),
        total_unevictable: value("total_unevictable"),
        usage: entry(""),
        swap: entry("memsw."),
        kernel: entry("kmem."),
        kernel_tcp: entry("kmem.tcp."),
        ..MemoryStat::default()
    }
}

fn oom(path: &Path) -> MemoryOomControl {
    let control = table(&path.join("memory.oom_control"));
    let value = |name| control.get(name).copied().unwrap_or_default();
    MemoryOomControl {
        oom_kill_disable: value("oom_kill_disable"),
        under_oom: value("under_oom"),
        oom_kill: value("oom_kill"),
        ..MemoryOomControl::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("cpuacct.usage", "1500\n");
        write("cpuacct.stat", "user 2\nsystem 1\n");
        write("memory.limit_in_bytes", "4096\n");
        write("memory.stat", "rss 7\ntotal_rss 8\n");
        write("pids.current", "3\n");
        write("pids.max", "max\n");
        let paths = ["cpuacct", "memory", "pids"]
            .map(|controller| (controller.to_owned(), dir.path().to_owned()));
        let metrics = metrics(&HashMap::from(paths));
        assert_eq!(metrics.cpu.usage.total, 1500);
        assert_eq!(metrics.cpu.usage.user, 20_000_000);
        assert_eq!(metrics.memory.usage.limit, 4096);
        assert_eq!((metrics.memory.rss, metrics.memory.total_rss), (7, 8));
        assert_eq!((metrics.pids.current, metrics.pids.limit), (3, 0));
    }
}
