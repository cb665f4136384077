//! What an injection is: who is hit by what, when, and in the middle of what.

use std::fmt;
use std::time::Duration;

use super::seed::{Dice, Seed};

/// One injection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Injection {
    pub(super) operation: Operation,
    /// The container is paused by its user before.
    pub(super) paused: bool,
    pub(super) strike: Strike,
}

/// In the middle of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// A checkpoint.
    Dump {
        /// The container ends with it.
        exit: bool,
        /// The shim is asked for it by the test, not by `ctr`, which pauses first.
        direct: bool,
    },
    /// A restore.
    Restore,
}

/// Who is hit, by what, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strike {
    pub(super) victim: Victim,
    pub(super) blow: Blow,
    pub(super) moment: Moment,
}

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Criu,
    Runc,
    /// The action script by which the engine holds CRIU.
    Script,
    Client,
    Shim,
}

/// By what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    Kill,
    /// It stops for ever, until a time limit is over.
    Stop,
}

/// When. If the victim does not run then, it is hit as soon as it does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// At this part, in thousandths, of the time that the operation takes when
    /// nobody disturbs it.
    Part(u64),
    /// So long after the victim was seen for the `nth` time (from 0).
    Sighting { nth: u64, delay: Duration },
    /// When the shim's log says that this phase begins.
    Phase(&'static str),
}

impl Injection {
    /// The one that `seed` stands for.
    pub(super) fn draw(seed: Seed) -> Self {
        let mut dice = seed.dice();
        let operation = if dice.happens(60) {
            Operation::Dump {
                exit: dice.happens(50),
                direct: dice.happens(40),
            }
        } else {
            Operation::Restore
        };
        let victim = dice.one_of(victims(operation));
        let may_stop = matches!(victim, Victim::Criu | Victim::Runc | Victim::Script);
        let blow = if may_stop && dice.happens(25) {
            Blow::Stop
        } else {
            Blow::Kill
        };
        Self {
            operation,
            paused: operation != Operation::Restore && dice.happens(33),
            strike: Strike {
                victim,
                blow,
                moment: moment(&mut dice, operation, victim, blow),
            },
        }
    }
}

fn victims(operation: Operation) -> &'static [Victim] {
    use Victim::{Client, Criu, Runc, Script, Shim};
    match operation {
        Operation::Dump { direct: true, .. } => &[Criu, Criu, Runc, Runc, Script, Shim],
        Operation::Dump { .. } => &[Criu, Criu, Runc, Runc, Script, Shim, Client],
        Operation::Restore => &[Criu, Criu, Runc, Runc, Shim, Client],
    }
}

/// The phases of a checkpoint, and who takes part in each.
const DUMP: [(&str, &[Victim]); 9] = [
    ("prepare", &[Victim::Shim]),
    ("freeze", &[Victim::Shim, Victim::Runc]),
    ("scan", &[Victim::Shim]),
    ("plan", &[Victim::Shim]),
    ("dump", HOLDING),
    ("capture", HOLDING),
    ("reconcile", HOLDING),
    ("seal", HOLDING),
    ("thaw", &[Victim::Shim, Victim::Runc]),
];

/// Those that are there while CRIU is held.
const HOLDING: &[Victim] = &[Victim::Shim, Victim::Criu, Victim::Runc, Victim::Script];

/// The phases of a restore, and who takes part in each.
const RESTORE: [(&str, &[Victim]); 5] = [
    ("verify", &[Victim::Shim]),
    ("fit", &[Victim::Shim]),
    ("populate", &[Victim::Shim]),
    ("restore", &[Victim::Shim, Victim::Criu, Victim::Runc]),
    ("commit", &[Victim::Shim]),
];

/// Everybody is killed once in each phase.
pub(super) fn of_all_phases() -> impl Iterator<Item = Injection> {
    let dumps = DUMP.iter().map(|(phase, victims)| {
        // When the container goes on, CRIU is let go before these.
        let exit = matches!(*phase, "reconcile" | "seal");
        (Operation::Dump { exit, direct: true }, *phase, *victims)
    });
    let restores = RESTORE.iter();
    let restores = restores.map(|(phase, victims)| (Operation::Restore, *phase, *victims));
    dumps
        .chain(restores)
        .flat_map(|(operation, phase, victims)| {
            victims.iter().map(move |victim| Injection {
                operation,
                paused: false,
                strike: Strike {
                    victim: *victim,
                    blow: Blow::Kill,
                    moment: Moment::Phase(phase),
                },
            })
        })
}

fn moment(dice: &mut Dice, operation: Operation, victim: Victim, blow: Blow) -> Moment {
    // So late, and so often, there is mostly somebody to be hit.
    let (latest, sightings) = match (victim, blow) {
        (_, Blow::Stop) => (600, 1),
        (Victim::Runc, Blow::Kill) => (1000, 4),
        (Victim::Criu, Blow::Kill) => (800, 3),
        (Victim::Script, Blow::Kill) => (700, 2),
        (Victim::Client | Victim::Shim, Blow::Kill) => (1000, 1),
    };
    match dice.below(10) {
        0..=3 => Moment::Part(dice.below(latest)),
        4..=7 => Moment::Sighting {
            nth: dice.below(sightings),
            // Most of what happens to a process happens early.
            delay: Duration::from_micros(dice.one_of(&[0, 2, 20, 150]) * dice.below(1000)),
        },
        _ if operation == Operation::Restore => Moment::Phase(dice.one_of(&RESTORE).0),
        _ => Moment::Phase(dice.one_of(&DUMP).0),
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::Dump { exit, direct } => {
                f.write_str(if exit {
                    "checkpoint --exit"
                } else {
                    "checkpoint"
                })?;
                f.write_str(if direct {
                    " by the shim's API"
                } else {
                    " by ctr"
                })?;
                let before = if self.paused { "paused" } else { "running" };
                write!(f, " of a {before} container")?;
            }
            Operation::Restore => f.write_str("restore")?,
        }
        write!(f, ", {}", self.strike)
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            victim,
            blow,
            moment,
        } = self;
        write!(f, "{blow:?} {victim:?} ")?;
        match moment {
            Moment::Part(part) => write!(f, "after {part}/1000 of the usual time"),
            Moment::Sighting { nth, delay } => {
                write!(f, "{delay:?} after it was seen, number {nth}")
            }
            Moment::Phase(phase) => write!(f, "in phase {phase}"),
        }
    }
}
