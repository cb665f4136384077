//! Hitting a process in the middle of an operation.

use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use remap_test::Host;

use super::draw::{Moment, Strike};
use super::log::Log;
use super::proc::{self, Found};
use super::running::{Outcome, Running};

/// How often to look; a phase or a process can be as short as some of these.
const PAUSE: Duration = Duration::from_micros(500);

/// Who was hit, and when.
#[derive(Debug)]
pub(super) struct Hit {
    after: Duration,
    commands: Vec<String>,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, commands } = self;
        write!(f, "after {after:.3?}: {}", commands.join("; "))
    }
}

/// What came of an injection.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) hit: Option<Hit>,
    pub(super) outcome: Outcome,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hit {
            Some(hit) => write!(f, "{hit}")?,
            None => f.write_str("nobody was hit")?,
        }
        write!(f, " → {}", self.outcome)
    }
}

impl Strike {
    /// Performs it, and waits for the end of what runs.
    pub(super) fn on(
        self,
        host: &Host,
        running: Running,
        log: &mut Log,
        usual: Duration,
    ) -> Result<Done> {
        let hit = self.perform(host, &running, log, usual)?;
        let outcome = running.finish()?;
        Ok(Done { hit, outcome })
    }

    /// Waits for the moment while `running` runs, and hits. `usual` is what the
    /// operation takes if it is not disturbed, `log` was followed before it began.
    /// `None` if it has ended before there was anybody to be hit.
    fn perform(
        self,
        host: &Host,
        running: &Running,
        log: &mut Log,
        usual: Duration,
    ) -> Result<Option<Hit>> {
        let begun = Instant::now();
        if !self.wait(host, running, log, usual)? {
            return Ok(None);
        }
        loop {
            // First: what is done by now is done to the end.
            let goes_on = running.goes_on()?;
            let mut commands = Vec::new();
            for one in self.find(host)? {
                if one.hit(self.blow)? {
                    commands.push(one.command);
                }
            }
            if !commands.is_empty() {
                let after = begun.elapsed();
                return Ok(Some(Hit { after, commands }));
            }
            if !goes_on {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits for the moment; says whether it came before the operation's end.
    fn wait(self, host: &Host, running: &Running, log: &mut Log, usual: Duration) -> Result<bool> {
        let begun = Instant::now();
        let mut seen = BTreeSet::new();
        let mut due = match self.moment {
            Moment::Part(part) => Some(begun + usual.mul_f64(part as f64 / 1000.0)),
            _ => None,
        };
        loop {
            let goes_on = running.goes_on()?;
            match (due, self.moment) {
                (Some(due), _) if Instant::now() >= due => return Ok(true),
                (Some(_), _) | (None, Moment::Part(_)) => {}
                (None, Moment::Sighting { nth, delay }) => {
                    seen.extend(self.find(host)?.iter().map(|found| found.pid));
                    if seen.len() as u64 > nth {
                        due = Some(Instant::now() + delay);
                    }
                }
                (None, Moment::Phase(phase)) => {
                    if log.says(phase)? {
                        return Ok(true);
                    }
                }
            }
            if !goes_on {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
    }

    fn find(self, host: &Host) -> Result<Vec<Found>> {
        proc::find(host, self.victim, self.blow)
    }
}
