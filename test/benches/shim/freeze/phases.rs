//! The phases of a checkpoint by our shim, from its log.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remap_test::{Host, wait};

use crate::figure::median;

/// The log of containerd, which has those of the shims.
const LOG: &str = "/var/log/containerd.log";

/// The log's length in bytes: what comes later is behind it.
pub(super) fn mark(host: &Host) -> Result<usize> {
    Ok(host.read_file(LOG)?.len())
}

/// How long each part of one checkpoint took, in the order in which they come.
#[derive(Debug)]
pub(super) struct Phases(Vec<(&'static str, f64)>);

/// A phase begins or ends.
struct Event<'l> {
    /// Milliseconds of the day.
    at: f64,
    begins: bool,
    phase: &'l str,
}

/// What happens while the container is frozen: what is ours, and what is CRIU's and runc's.
const OURS: [&str; 4] = ["scan", "plan", "capture", "thaw"];
const CRIUS: [&str; 2] = ["CRIU, until it is held", "CRIU, to its end"];

impl Phases {
    /// Those of the checkpoint that was taken since the mark.
    ///
    /// # Errors
    /// The log does not have them all.
    pub(super) fn since(host: &Host, mark: usize) -> Result<Self> {
        let mut log = String::new();
        let is_whole = || {
            let bytes = host.read_file(LOG)?;
            log = String::from_utf8_lossy(bytes.get(mark..).unwrap_or_default()).into_owned();
            Ok(events(&log).any(|one| one.phase == "seal" && !one.begins))
        };
        ensure!(
            wait::until(Duration::from_secs(5), is_whole)?,
            "the shim's log tells of no whole checkpoint"
        );
        Self::of(&events(&log).collect::<Vec<_>>()).context("the shim's log lacks a phase")
    }

    fn of(events: &[Event<'_>]) -> Option<Self> {
        let last = |phase: &str, begins: bool| {
            let mut events = events.iter().rev();
            let found = events.find(|one| one.phase == phase && one.begins == begins);
            found.map(|one| one.at)
        };
        let first = |phase: &str| {
            let found = events.iter().find(|one| one.phase == phase && one.begins);
            found.map(|one| one.at)
        };
        let whole = |phase: &str| Some(last(phase, false)? - first(phase)?);
        Some(Self(vec![
            ("prepare", whole("prepare")?),
            ("freeze", whole("freeze")?),
            ("scan", whole("scan")?),
            ("plan", whole("plan")?),
            // The phase has only what is done before runc is called.
            (CRIUS[0], first("capture")? - first("dump")?),
            ("capture", whole("capture")?),
            (CRIUS[1], first("thaw")? - last("capture", false)?),
            ("thaw", whole("thaw")?),
            ("reconcile", whole("reconcile")?),
            ("seal", whole("seal")?),
        ]))
    }

    /// What a container stands still beyond CRIU's own dump, in ms, if the shim freezes it.
    pub(super) fn extra_ms(&self) -> f64 {
        self.sum(&OURS)
    }

    /// CRIU's own dump, with runc's start and end, in ms.
    pub(super) fn criu_ms(&self) -> f64 {
        self.sum(&CRIUS)
    }

    fn sum(&self, names: &[&str]) -> f64 {
        let parts = self.0.iter().filter(|(name, _)| names.contains(name));
        parts.map(|(_, ms)| ms).sum()
    }
}

/// The median of each part, in ms.
pub(super) fn medians(all: &[&Phases]) -> Vec<(&'static str, f64)> {
    let Some(first) = all.first() else {
        return Vec::new();
    };
    let of = |index: usize| -> Vec<f64> {
        let values = all.iter().filter_map(|one| Some(one.0.get(index)?.1));
        values.collect()
    };
    let names = first.0.iter().enumerate();
    names
        .map(|(index, (name, _))| (*name, median(&of(index))))
        .collect()
}

fn events(log: &str) -> impl Iterator<Item = Event<'_>> {
    log.lines().filter_map(|line| {
        let (_, phase) = line.rsplit_once(" phase=")?;
        let (_, time) = line.split_once("time=\"")?;
        let (_, time) = time.split_once('T')?;
        let (time, _) = time.split_once('Z')?;
        let begins = line.contains(" msg=begins ");
        (begins || line.contains(" msg=ended ")).then_some(Event {
            at: milliseconds(time)?,
            begins,
            phase,
        })
    })
}

/// `HH:MM:SS.ffffff`.
fn milliseconds(time: &str) -> Option<f64> {
    let mut parts = time.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    Some(((hours * 60.0 + minutes) * 60.0 + seconds) * 1e3)
}
