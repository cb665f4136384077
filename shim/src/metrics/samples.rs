//! The figures, and their text.

use std::{collections::BTreeMap, fmt};

use remap_engine::{phase::Phase, took::Took};

use super::family::{Family, Operation};

/// Each figure by its name with the labels, as they are written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Those of a text that was written by [`fmt::Display`]; what is not understood is left out.
    pub(super) fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// An operation in a namespace failed in a phase.
    pub(super) fn add_failure(&mut self, namespace: &str, operation: Operation, phase: Phase) {
        let phase = phase.to_string();
        let labels = [("namespace", namespace), ("phase", &phase)];
        self.add(operation, Family::Failures, &labels, 1.0);
    }

    /// An operation in a namespace was completed.
    pub(super) fn add_took(&mut self, namespace: &str, operation: Operation, took: &Took) {
        let of_all = [("namespace", namespace)];
        let mut plain = |family, value| self.add(operation, family, &of_all, value);
        plain(Family::Completed, 1.0);
        if let Some(us) = took.stood_still_us {
            plain(Family::StoodStillSeconds, seconds(us));
        }
        plain(Family::CarriedBytes, number(took.volumes.carried_bytes));
        plain(Family::MemoryBytes, number(took.volumes.memory_bytes));
        plain(Family::SizeBytes, number(took.volumes.checkpoint_bytes));
        for (phase, us) in &took.phases_us {
            let labels = [("namespace", namespace), ("phase", phase)];
            self.add(operation, Family::PhaseSeconds, &labels, seconds(*us));
        }
        let stats = took.criu.clone().unwrap_or_default();
        let mut of_criu = |family, kind, value| {
            let labels = [("namespace", namespace), ("kind", kind)];
            self.add(operation, family, &labels, value);
        };
        if let Some(dump) = stats.dump {
            for (kind, us) in [
                ("freezing", dump.freezing_us),
                ("frozen", dump.frozen_us),
                ("memdump", dump.memdump_us),
                ("memwrite", dump.memwrite_us),
            ] {
                of_criu(Family::CriuSeconds, kind, seconds(us.into()));
            }
            for (kind, pages) in [
                ("scanned", dump.pages_scanned),
                ("skipped_parent", dump.pages_skipped_parent),
                ("written", dump.pages_written),
                ("lazy", dump.pages_lazy),
                ("shared_written", dump.shpages_written),
            ] {
                of_criu(Family::CriuPages, kind, number(pages));
            }
        }
        if let Some(restore) = stats.restore {
            for (kind, us) in [
                ("forking", restore.forking_us),
                ("restore", restore.restore_us),
            ] {
                of_criu(Family::CriuSeconds, kind, seconds(us.into()));
            }
            for (kind, pages) in [
                ("compared", restore.pages_compared),
                ("skipped_cow", restore.pages_skipped_cow),
                ("restored", restore.pages_restored),
            ] {
                of_criu(Family::CriuPages, kind, number(pages));
            }
        }
        let last = name(operation, Family::LastTimestampSeconds, &of_all);
        self.0.insert(last, number(took.begun_unix_seconds));
    }

    fn add(&mut self, operation: Operation, family: Family, labels: &[(&str, &str)], value: f64) {
        *self.0.entry(name(operation, family, labels)).or_default() += value;
    }
}

fn seconds(us: u64) -> f64 {
    number(us) / 1e6
}

/// A float has room for sums up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures of OpenMetrics are floats"
)]
fn number(value: u64) -> f64 {
    value as f64
}

fn full_name(operation: Operation, family: Family) -> String {
    format!("remap_{operation}_{}", family.name())
}

/// A sample's name with its labels.
fn name(operation: Operation, family: Family, labels: &[(&str, &str)]) -> String {
    let labels = labels.iter().map(|(label, value)| {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{label}=\"{value}\"")
    });
    let labels: Vec<String> = labels.collect();
    let name = full_name(operation, family);
    format!("{name}{}{{{}}}", family.suffix(), labels.join(","))
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operation in Operation::ALL {
            for family in Family::ALL {
                let full_name = full_name(operation, family);
                let begin = format!("{full_name}{}{{", family.suffix());
                let samples = self.0.iter().filter(|(name, _)| name.starts_with(&begin));
                let mut samples = samples.peekable();
                if samples.peek().is_none() {
                    continue;
                }
                writeln!(f, "# TYPE {full_name} {}", family.kind())?;
                if let Some(unit) = family.unit() {
                    writeln!(f, "# UNIT {full_name} {unit}")?;
                }
                writeln!(f, "# HELP {full_name} {} ({operation}s).", family.help())?;
                for (name, value) in samples {
                    writeln!(f, "{name} {value}")?;
                }
            }
        }
        writeln!(f, "# EOF")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remap_engine::{
        criu::stats::{DumpStats, RestoreStats, Stats},
        took::Volumes,
    };

    fn took() -> Took {
        Took {
            begun_unix_seconds: 1_700_000_000,
            phases_us: [("dump".into(), 1_500_000)].into(),
            stood_still_us: Some(2_000_000),
            volumes: Volumes {
                carried_bytes: 7,
                carried_entries: 2,
                memory_bytes: 4096,
                checkpoint_bytes: 5000,
            },
            criu: Some(Stats {
                dump: Some(DumpStats {
                    frozen_us: 70_000,
                    pages_written: 1,
                    ..DumpStats::default()
                }),
                restore: None,
            }),
        }
    }

    #[test]
    fn figures_add_up_and_the_text_is_that_of_openmetrics() {
        let mut samples = Samples::default();
        for _ in 0..2 {
            samples.add_took("default", Operation::Checkpoint, &took());
        }
        samples.add_failure("k8s.io", Operation::Checkpoint, Phase::Plan);
        let text = samples.to_string();
        for expected in [
            "# TYPE remap_checkpoint_completed counter\n# HELP remap_checkpoint_completed How many \
             were completed (checkpoints).\nremap_checkpoint_completed_total{namespace=\"default\"} 2\n",
            "remap_checkpoint_failures_total{namespace=\"k8s.io\",phase=\"plan\"} 1\n",
            "# UNIT remap_checkpoint_phase_seconds seconds\n",
            "remap_checkpoint_phase_seconds_total{namespace=\"default\",phase=\"dump\"} 3\n",
            "remap_checkpoint_stood_still_seconds_total{namespace=\"default\"} 4\n",
            "remap_checkpoint_carried_bytes_total{namespace=\"default\"} 14\n",
            "remap_checkpoint_criu_seconds_total{namespace=\"default\",kind=\"frozen\"} 0.14\n",
            "remap_checkpoint_criu_pages_total{namespace=\"default\",kind=\"written\"} 2\n",
            "# TYPE remap_checkpoint_last_timestamp_seconds gauge\n",
            "remap_checkpoint_last_timestamp_seconds{namespace=\"default\"} 1700000000\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("remap_restore"));
        assert_eq!(Samples::of(&text), samples);
    }

    #[test]
    fn a_restore_has_figures_of_its_own() {
        let mut samples = Samples::default();
        let restored = Took {
            stood_still_us: None,
            criu: Some(Stats {
                dump: None,
                restore: Some(RestoreStats {
                    pages_restored: 9,
                    ..RestoreStats::default()
                }),
            }),
            ..took()
        };
        samples.add_took("default", Operation::Restore, &restored);
        let text = samples.to_string();
        let pages = "remap_restore_criu_pages_total{namespace=\"default\",kind=\"restored\"} 9\n";
        assert!(text.contains(pages), "{text}");
        assert!(!text.contains("stood_still") && !text.contains("checkpoint_"));
    }

    #[test]
    fn what_is_no_figure_is_left_out_and_labels_are_escaped() {
        assert_eq!(Samples::of("# x\nnonsense\na b\n\n"), Samples::default());
        let named = name(
            Operation::Restore,
            Family::Failures,
            &[("phase", "a\"\\\n")],
        );
        assert_eq!(
            named,
            "remap_restore_failures_total{phase=\"a\\\"\\\\\\n\"}"
        );
    }
}
