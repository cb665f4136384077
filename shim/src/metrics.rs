//! What checkpoints and restores took on this host, for a monitoring system: a file in the format of
//! OpenMetrics 1.0, which the textfile collector of Prometheus' node_exporter reads.
//!
//! The figures are sums since the host's start, of all shims: each adds its own to the file, which is
//! replaced as a whole.

mod family;
mod samples;

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use remap_engine::{phase::Phase, took::Took};
use rustix::fs::{FlockOperation, flock};

pub(crate) use self::family::Operation;
use self::samples::Samples;

/// The directory for `--collector.textfile.directory`. There is nothing secret in it.
const DIRECTORY: &str = "/run/containerd-shim-remap-metrics";

/// The file.
const FILE: &str = "remap.prom";

/// What it is written as, before it takes its place; the collector reads `*.prom` only.
const NEW_FILE: &str = "remap.prom.new";

/// Who has locked it may write.
const LOCK: &str = "lock";

/// Adds what an operation in `namespace` took, or that it failed in a phase. If that cannot be
/// written, the log says so.
pub(crate) fn account(namespace: &str, operation: Operation, outcome: Result<&Took, Phase>) {
    let add = |samples: &mut Samples| match outcome {
        Ok(took) => samples.add_took(namespace, operation, took),
        Err(phase) => samples.add_failure(namespace, operation, phase),
    };
    if let Err(error) = update(Path::new(DIRECTORY), add) {
        tracing::warn!(%error, directory = DIRECTORY, "the host's figures are not up to date");
    }
}

/// Changes the file in `directory`; readers see the old one or the new.
fn update(directory: &Path, change: impl FnOnce(&mut Samples)) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)?;
    let lock = File::create(directory.join(LOCK))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let path = directory.join(FILE);
    let mut samples = match fs::read_to_string(&path) {
        Ok(text) => Samples::of(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Samples::default(),
        Err(error) => return Err(error),
    };
    change(&mut samples);
    let new = directory.join(NEW_FILE);
    let mut file = File::create(&new)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(samples.to_string().as_bytes())?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_add_to_one_file_that_everybody_may_read() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("metrics");
        let fail = |samples: &mut Samples| {
            samples.add_failure("default", Operation::Restore, Phase::Fit);
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        update(&directory, fail).unwrap();
                    }
                });
            }
        });
        let path = directory.join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let expected = "remap_restore_failures_total{namespace=\"default\",phase=\"fit\"} 80\n";
        assert!(text.contains(expected), "{text}");
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o644
        );
        assert!(!directory.join(NEW_FILE).exists());
    }
}
