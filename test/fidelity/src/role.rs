//! One process of a workload.

use std::convert::Infallible;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork};

use crate::channel::{self, Step};
use crate::watch::Watch;

type Act = Box<dyn FnMut(u64) -> Result<()>>;
type Check = Box<dyn FnMut(u64) -> Result<()>>;

/// A process that waits for questions. The first of a workload leads: it says when all are there.
pub(crate) struct Role {
    name: String,
    leads: bool,
    others: Vec<String>,
    watch: Watch,
    acts: Vec<Act>,
    checks: Vec<(String, Check)>,
}

impl Role {
    /// The first process of a workload.
    pub(crate) fn lead() -> Result<Self> {
        channel::begin()?;
        // Blocked before anything else, and inherited by threads and children: a question that
        // comes early waits.
        let mut asked = SigSet::empty();
        asked.add(channel::SIGNAL);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&asked), None)?;
        Ok(Self::named("00-first", true))
    }

    fn named(name: &str, leads: bool) -> Self {
        Self {
            name: name.to_owned(),
            leads,
            others: Vec::new(),
            watch: Watch::default(),
            acts: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Has another role played by a child process, which `play` sets up. Names are asked in
    /// their order.
    pub(crate) fn fork(
        &mut self,
        name: &str,
        play: impl FnOnce(Self) -> Result<Infallible>,
    ) -> Result<Pid> {
        // SAFETY: roles are forked before a process starts threads, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                self.others.push(name.to_owned());
                Ok(child)
            }
            ForkResult::Child => {
                let Err(error) = play(Self::named(name, false));
                channel::note_error(&format!("{name}: {error:#}"));
                std::process::exit(1)
            }
        }
    }

    /// What this process has, and must not change.
    pub(crate) fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// What it does in each round, with the round's number.
    pub(crate) fn act(&mut self, act: impl FnMut(u64) -> Result<()> + 'static) {
        self.acts.push(Box::new(act));
    }

    /// What it looks at in each round, after all have acted.
    pub(crate) fn check(&mut self, what: &str, check: impl FnMut(u64) -> Result<()> + 'static) {
        self.checks.push((what.to_owned(), Box::new(check)));
    }

    /// Answers for ever.
    pub(crate) fn run(mut self) -> Result<Infallible> {
        self.watch.begin().context("cannot see what there is")?;
        channel::register(&self.name)?;
        if self.leads {
            for other in &self.others {
                channel::wait_for_role(other)?;
            }
            channel::announce()?;
        }
        let mut asked = SigSet::empty();
        asked.add(channel::SIGNAL);
        loop {
            asked.wait()?;
            let question = channel::question()?;
            let differences = match question.step {
                Step::Act => self.do_acts(question.round),
                Step::Check => self.do_checks(question.round),
            };
            channel::answer(&self.name, question, &differences)?;
        }
    }

    fn do_acts(&mut self, round: u64) -> Vec<String> {
        let mut failed = Vec::new();
        for act in &mut self.acts {
            if let Err(error) = act(round) {
                failed.push(format!("cannot act: {}", line(&error)));
            }
        }
        failed
    }

    fn do_checks(&mut self, round: u64) -> Vec<String> {
        let mut different = self.watch.differences();
        for (what, check) in &mut self.checks {
            if let Err(error) = check(round) {
                different.push(format!("{what}: {}", line(&error)));
            }
        }
        different
    }
}

/// An error in one line, as an answer has it.
fn line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
