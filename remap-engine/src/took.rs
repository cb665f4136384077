//! What a checkpoint or a restore took: how long each phase, and how much there was.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::criu::stats::Stats;
use crate::phase::{BoxError, Phase, PhaseError};

/// What one operation took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Took {
    /// When it began, in seconds since 1970 (UTC).
    pub begun_unix_seconds: u64,
    /// Microseconds by phase. Phases may go on at the same time.
    pub phases_us: BTreeMap<String, u64>,
    /// Microseconds for which tasks that ran before stood still, or until they had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stood_still_us: Option<u64>,
    /// How much there was.
    #[serde(flatten)]
    pub volumes: Volumes,
    /// CRIU's own figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criu: Option<Stats>,
}

/// How much there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volumes {
    /// Bytes of file data that were carried, without holes.
    pub carried_bytes: u64,
    /// Names that were carried.
    pub carried_entries: u64,
    /// Bytes of memory in CRIU's images.
    pub memory_bytes: u64,
    /// Bytes of the whole checkpoint, but for its manifest.
    pub checkpoint_bytes: u64,
}

impl Took {
    /// The phases with their microseconds, in their order.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, u64)> {
        Phase::ALL.into_iter().filter_map(|phase| {
            let us = self.phases_us.get(&phase.to_string())?;
            Some((phase, *us))
        })
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        for (phase, us) in self.phases() {
            write!(f, "{phase} {:.1} ms, ", ms(us))?;
        }
        if let Some(us) = self.stood_still_us {
            write!(f, "stood still {:.1} ms, ", ms(us))?;
        }
        let Volumes {
            carried_bytes,
            memory_bytes,
            checkpoint_bytes,
            ..
        } = self.volumes;
        write!(
            f,
            "{carried_bytes} bytes carried, {memory_bytes} of memory, {checkpoint_bytes} in all"
        )
    }
}

/// Measures one operation.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: SystemTime,
    reading: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    phases: BTreeMap<Phase, Duration>,
    froze: Option<Instant>,
    stood_still: Option<Duration>,
    volumes: Volumes,
    criu: Option<Stats>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            begun: SystemTime::now(),
            reading: Mutex::default(),
        }
    }

    /// [`Phase::run`], measured.
    ///
    /// # Errors
    /// That of `work`, with the phase.
    pub(crate) fn run<T, E: Into<BoxError>>(
        &self,
        phase: Phase,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, PhaseError> {
        self.time(phase, || phase.run(work))
    }

    /// Measures `work` as a part of `phase`.
    pub(crate) fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.add(phase, begun.elapsed());
        result
    }

    /// A part of `phase` took so long.
    pub(crate) fn add(&self, phase: Phase, duration: Duration) {
        *self.reading().phases.entry(phase).or_default() += duration;
    }

    /// Tasks that ran stand still since `froze`.
    pub(crate) fn stand_still(&self, froze: Instant) {
        self.reading().froze = Some(froze);
    }

    /// They run again, or have ended.
    pub(crate) fn go_on(&self) {
        let mut reading = self.reading();
        reading.stood_still = reading.froze.map(|froze| froze.elapsed());
    }

    /// So much there is.
    pub(crate) fn weigh(&self, volumes: Volumes) {
        self.reading().volumes = volumes;
    }

    /// What CRIU says.
    pub(crate) fn criu_says(&self, stats: Stats) {
        self.reading().criu = Some(stats);
    }

    /// What was measured until now.
    pub(crate) fn took(&self) -> Took {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let reading = self.reading();
        let since = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let phases = reading.phases.iter();
        Took {
            begun_unix_seconds: since.as_secs(),
            phases_us: phases
                .map(|(phase, duration)| (phase.to_string(), us(*duration)))
                .collect(),
            stood_still_us: reading.stood_still.map(us),
            volumes: reading.volumes,
            criu: reading.criu.clone(),
        }
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_phase_add_up_and_a_failed_one_counts() {
        let meter = Meter::start();
        meter.add(Phase::Dump, Duration::from_millis(2));
        meter.add(Phase::Dump, Duration::from_millis(3));
        let failed = meter.run(Phase::Scan, || {
            std::thread::sleep(Duration::from_millis(1));
            Err::<(), _>("it fails")
        });
        assert_eq!(failed.unwrap_err().phase, Phase::Scan);
        let took = meter.took();
        assert_eq!(took.phases_us["dump"], 5000);
        assert!(took.phases_us["scan"] >= 1000);
        assert_eq!(took.stood_still_us, None);
        assert!(took.begun_unix_seconds > 1_700_000_000);
    }

    #[test]
    fn tasks_stand_still_until_they_go_on() {
        let meter = Meter::start();
        meter.go_on();
        assert_eq!(meter.took().stood_still_us, None);
        meter.stand_still(Instant::now());
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(meter.took().stood_still_us, None);
        meter.go_on();
        assert!(meter.took().stood_still_us.unwrap() >= 2000);
    }

    #[test]
    fn it_is_said_in_one_line_and_kept_as_it_is() {
        let took = Took {
            begun_unix_seconds: 1,
            phases_us: BTreeMap::from([("scan".into(), 1500)]),
            stood_still_us: Some(20_000),
            volumes: Volumes {
                carried_bytes: 7,
                carried_entries: 2,
                memory_bytes: 4096,
                checkpoint_bytes: 5000,
            },
            criu: None,
        };
        assert_eq!(
            took.to_string(),
            "scan 1.5 ms, stood still 20.0 ms, 7 bytes carried, 4096 of memory, 5000 in all"
        );
        let text = serde_json::to_string(&took).unwrap();
        assert!(text.contains(r#""carried_bytes":7"#), "{text}");
        assert_eq!(serde_json::from_str::<Took>(&text).unwrap(), took);
        assert_eq!(serde_json::from_str::<Took>("{}").unwrap(), Took::default());
    }
}
