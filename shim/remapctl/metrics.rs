//! `remapctl metrics`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use remap_control::client;
use remap_control::measured::Measured;
use remap_control::message::MetricsRequest;
use remap_engine::criu::stats::{DumpStats, RestoreStats};
use remap_engine::took::Took;

use crate::args::Metrics;
use crate::connect;
use crate::text::{bytes, print, printable};

/// Asks and prints.
///
/// # Errors
/// There is no answer.
pub(crate) fn run(args: &Metrics) -> Result<ExitCode> {
    let request = MetricsRequest {
        id: args.id.clone(),
    };
    let answer = connect::ask(&args.shim, &args.id, async |socket| {
        client::metrics(socket, &request, args.shim.timeout()).await
    })?;
    if args.json {
        // As the shim wrote it, also what this program does not know.
        print(&[answer.trim_ascii_end(), b"\n"].concat())?;
    } else {
        let measured = serde_json::from_slice(&answer);
        let measured: Measured = measured.context("the shim's answer cannot be read")?;
        print(render(&measured, SystemTime::now()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(measured: &Measured, now: SystemTime) -> String {
    let mut out = format!(
        "{} in namespace {}\n",
        printable(&measured.id),
        printable(&measured.namespace)
    );
    for (operation, took) in [
        ("checkpoint", &measured.checkpoint),
        ("restore", &measured.restore),
    ] {
        match took {
            Some(took) => out += &one(operation, took, now),
            None => out += &format!("\nno {operation} was completed\n"),
        }
    }
    out
}

fn one(operation: &str, took: &Took, now: SystemTime) -> String {
    let begun = UNIX_EPOCH + Duration::from_secs(took.begun_unix_seconds);
    let ago = now.duration_since(begun).unwrap_or_default().as_secs();
    let mut out = format!("\nlast {operation}, begun {ago} s ago\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {name:<12} {value:>12}");
    };
    for (phase, us) in took.phases() {
        line(&phase.to_string(), &ms(us));
    }
    if let Some(us) = took.stood_still_us {
        line("stood still", &ms(us));
    }
    line("carried", &bytes(took.volumes.carried_bytes));
    line("memory", &bytes(took.volumes.memory_bytes));
    line("in all", &bytes(took.volumes.checkpoint_bytes));
    if let Some(stats) = &took.criu {
        out += &stats.dump.map(of_dump).unwrap_or_default();
        out += &stats.restore.map(of_restore).unwrap_or_default();
    }
    out
}

fn of_dump(stats: DumpStats) -> String {
    format!(
        "  CRIU: freezing {}, frozen {}, memory taken {} and written {}\n  CRIU: {} pages looked at, \
         {} written, {} of a former dump, {} shared\n",
        ms(stats.freezing_us.into()),
        ms(stats.frozen_us.into()),
        ms(stats.memdump_us.into()),
        ms(stats.memwrite_us.into()),
        stats.pages_scanned,
        stats.pages_written,
        stats.pages_skipped_parent,
        stats.shpages_written,
    )
}

fn of_restore(stats: RestoreStats) -> String {
    format!(
        "  CRIU: forking {}, restoring {}\n  CRIU: {} pages read\n",
        ms(stats.forking_us.into()),
        ms(stats.restore_us.into()),
        stats.pages_restored,
    )
}

fn ms(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remap_control::measured::VERSION;
    use remap_engine::criu::stats::Stats;
    use remap_engine::took::Volumes;

    #[test]
    fn what_there_is_is_shown_and_what_there_is_not_is_said() {
        let checkpoint = Took {
            begun_unix_seconds: 100,
            phases_us: [("scan".into(), 1_250), ("freeze".into(), 900)].into(),
            stood_still_us: Some(42_000),
            volumes: Volumes {
                carried_bytes: 1 << 20,
                ..Volumes::default()
            },
            criu: Some(Stats {
                dump: Some(DumpStats {
                    pages_written: 812,
                    frozen_us: 30_500,
                    ..DumpStats::default()
                }),
                restore: None,
            }),
        };
        let measured = Measured {
            version: VERSION,
            id: "c".into(),
            namespace: "default".into(),
            checkpoint: Some(checkpoint),
            restore: None,
        };
        let text = render(&measured, UNIX_EPOCH + Duration::from_secs(103));
        for expected in [
            "c in namespace default\n\nlast checkpoint, begun 3 s ago\n",
            "  freeze             0.9 ms\n  scan               1.2 ms\n",
            "  stood still       42.0 ms\n  carried           1.0 MiB\n",
            "frozen 30.5 ms",
            "812 written",
            "\nno restore was completed\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
