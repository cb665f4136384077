//! Checkpoints in the middle of which somebody is hit.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use remap_test::Baseline;
use remap_test::ctr::Status;

use super::draw::{Blow, Injection, Operation, Victim};
use super::log::Log;
use super::running::{Outcome, Running};
use super::strike::Done;
use super::{seconds_for, settle};
use crate::context::Context;
use crate::interrupted::ground::{Before, Ground};
use crate::workload::{ID, LIMIT};

/// The annotation that limits a dump.
const SECONDS: &str = "io.remap.dump-timeout-seconds";

/// A container that is checkpointed again and again, for as long as it lives.
#[derive(Debug)]
pub(super) struct Dumps<'c> {
    context: &'c Context<'c>,
    usual: Duration,
    site: Option<Site<'c>>,
}

/// The container.
#[derive(Debug)]
struct Site<'c> {
    ground: Ground<'c>,
    before: Before,
    clean: Baseline,
    /// It has a time limit, so that what is stopped does not stay so.
    limited: bool,
}

impl<'c> Dumps<'c> {
    /// Starts a container and measures an undisturbed checkpoint.
    pub(super) fn new(context: &'c Context<'c>) -> Result<Self> {
        let mut dumps = Self {
            context,
            usual: Duration::ZERO,
            site: None,
        };
        let site = dumps.start(Blow::Kill)?;
        // The first one also asks for versions.
        for _ in 0..2 {
            let begun = Instant::now();
            let checkpoint = site.ground.checkpoint(false)?;
            checkpoint.finish(LIMIT)?.ok()?;
            dumps.usual = begun.elapsed();
            ensure!(site.ground.take_checkpoint()?, "no checkpoint");
        }
        dumps.site = Some(site);
        Ok(dumps)
    }

    fn start(&self, blow: Blow) -> Result<Site<'c>> {
        let limited = blow == Blow::Stop;
        let seconds = seconds_for(self.usual).to_string();
        let ground = Ground::with(self.context, "sem-creator-first", |run| {
            if limited {
                run.annotation(SECONDS, &seconds)
            } else {
                run
            }
        })?;
        Ok(Site {
            before: ground.look()?,
            clean: Baseline::of(self.context.a())?,
            ground,
            limited,
        })
    }

    /// Performs one, and checks what must hold afterwards. Returns what happened.
    pub(super) fn inject(&mut self, injection: &Injection) -> Result<Done> {
        let blow = injection.strike.blow;
        let site = match self.site.take() {
            Some(site) if site.limited == (blow == Blow::Stop) => site,
            other => {
                if let Some(site) = other {
                    site.ground.ctr.remove(ID)?;
                }
                self.start(blow)?
            }
        };
        let (done, lives) = site.inject(self.context, injection, self.usual)?;
        site.clean.expect_nothing_new(self.context.a())?;
        self.site = lives.then_some(site);
        Ok(done)
    }

    /// Removes the container.
    pub(super) fn end(self) -> Result<()> {
        match self.site {
            Some(site) => site.ground.ctr.remove(ID),
            None => Ok(()),
        }
    }
}

impl Site<'_> {
    /// Returns what happened, and whether the container is still there.
    fn inject(
        &self,
        context: &Context,
        injection: &Injection,
        usual: Duration,
    ) -> Result<(Done, bool)> {
        let Operation::Dump { exit, direct } = injection.operation else {
            bail!("this is no checkpoint: {injection}");
        };
        let (ground, host) = (&self.ground, context.a());
        if injection.paused {
            ground.ctr.pause(ID)?;
        }
        let mut log = Log::follow(host)?;
        let running = if direct {
            Running::checkpoint(ground, exit)?
        } else {
            Running::Client(ground.checkpoint(exit)?)
        };
        let done = injection.strike.on(host, running, &mut log, usual)?;
        let victim = done.hit.as_ref().map(|_| injection.strike.victim);
        let lives = self
            .check(context, injection.paused, exit, victim, &done.outcome)
            .with_context(|| done.to_string())?;
        Ok((done, lives))
    }

    /// Checks what must hold; returns whether the container is still there.
    fn check(
        &self,
        context: &Context,
        paused: bool,
        exit: bool,
        victim: Option<Victim>,
        outcome: &Outcome,
    ) -> Result<bool> {
        let ground = &self.ground;
        let complete = match (victim, outcome) {
            (Some(Victim::Shim), _) => {
                ground.wait_until_ended()?;
                ground.take_checkpoint()?;
                ground.expect_nothing_left()?;
                ground.expect_free(context, &self.before.names)?;
                return Ok(false);
            }
            (Some(Victim::Client), _) => {
                settle(ground)?;
                let complete = ground.take_checkpoint()?;
                if !(paused || exit && complete) {
                    // Its own pause of the container stays.
                    ground.ctr.command(["task", "resume", ID]).run()?;
                }
                complete
            }
            (_, Outcome::Succeeded) => {
                ensure!(ground.take_checkpoint()?, "no checkpoint");
                true
            }
            (None, Outcome::Failed(_)) => bail!("it fails, and nobody was hit"),
            (Some(_), Outcome::Failed(said)) => {
                ensure!(said.contains("phase "), "no phase is named");
                false
            }
        };
        if exit && complete {
            ground.ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
            ground.expect_nothing_left()?;
            ground.shm.expect_names(&self.before.names)?;
            ground.ctr.remove(ID)?;
        } else if paused {
            ground.assert_paused_as_before(&self.before)?;
        } else {
            ground.assert_as_before(&self.before)?;
        }
        Ok(!(exit && complete))
    }
}
