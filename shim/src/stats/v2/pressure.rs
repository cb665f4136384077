//! For how long tasks waited for a resource (the kernel's accounting/psi.rst).

use std::path::Path;

use containerd_shim_protos::{
    cgroups_v2::metrics::{PSIData, PSIStats},
    protobuf::MessageField,
};

/// Reads a `*.pressure` file; nothing where the kernel does not keep these figures.
pub(super) fn read(path: &Path) -> MessageField<PSIStats> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return MessageField::none();
    };
    MessageField::some(PSIStats {
        some: line(&text, "some "),
        full: line(&text, "full "),
        ..PSIStats::default()
    })
}

/// A line such as `some avg10=0.00 avg60=1.25 avg300=0.40 total=2300`; the last in microseconds.
fn line(text: &str, prefix: &str) -> MessageField<PSIData> {
    let Some(figures) = text.lines().find_map(|line| line.strip_prefix(prefix)) else {
        return MessageField::none();
    };
    let mut data = PSIData::default();
    let figures = figures.split_whitespace();
    for (name, value) in figures.filter_map(|figure| figure.split_once('=')) {
        let average = || value.parse().unwrap_or_default();
        match name {
            "avg10" => data.avg10 = average(),
            "avg60" => data.avg60 = average(),
            "avg300" => data.avg300 = average(),
            "total" => data.total = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    MessageField::some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cpu.pressure");
        assert!(read(&path).is_none());
        std::fs::write(&path, "some avg10=0.50 avg60=1.25 avg300=0.40 total=2300\n").unwrap();
        let stats = read(&path);
        assert_eq!((stats.some.avg10, stats.some.avg60), (0.5, 1.25));
        assert_eq!((stats.some.avg300, stats.some.total), (0.4, 2300));
        assert!(stats.full.is_none());
    }
}
