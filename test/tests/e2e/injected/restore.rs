//! Restores in the middle of which somebody is hit.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use remap_test::{Baseline, wait};

use super::draw::{Blow, Injection, Victim};
use super::log::Log;
use super::running::{Outcome, Running};
use super::strike::Done;
use super::{seconds_for, settle};
use crate::context::Context;
use crate::interrupted::ground::bundle;
use crate::interrupted::restore::{IMAGE, Restorable};
use crate::workload::{ID, LIMIT};

/// The annotation that limits a restore.
const SECONDS: &str = "io.remap.restore-timeout-seconds";

/// A checkpoint that is restored again and again.
#[derive(Debug)]
pub(super) struct Restores<'c> {
    context: &'c Context<'c>,
    usual: Duration,
    site: Option<Site<'c>>,
}

/// The checkpoint.
#[derive(Debug)]
struct Site<'c> {
    restorable: Restorable<'c>,
    clean: Baseline,
    /// It has a time limit, so that what is stopped does not stay so.
    limited: bool,
}

impl<'c> Restores<'c> {
    /// Takes a checkpoint and measures an undisturbed restore.
    pub(super) fn new(context: &'c Context<'c>) -> Result<Self> {
        let mut site = Site::new(context, None)?;
        let begun = Instant::now();
        site.restorable.restore()?.finish(LIMIT)?.ok()?;
        let usual = begun.elapsed();
        site.restorable.expect_restored()?;
        site.restorable.ctr().remove(ID)?;
        site.restorable.refill()?;
        Ok(Self {
            context,
            usual,
            site: Some(site),
        })
    }

    /// Performs one, and checks what must hold afterwards. Returns what happened.
    pub(super) fn inject(&mut self, injection: &Injection) -> Result<Done> {
        let limited = injection.strike.blow == Blow::Stop;
        let mut site = match self.site.take() {
            Some(site) if site.limited == limited => site,
            other => {
                // Two could not be side by side.
                other.map_or(Ok(()), Site::end)?;
                Site::new(self.context, limited.then_some(self.usual))?
            }
        };
        let done = site.inject(injection, self.usual)?;
        site.restorable.refill()?;
        site.clean.expect_nothing_new(self.context.a())?;
        self.site = Some(site);
        Ok(done)
    }

    /// Removes the checkpoint.
    pub(super) fn end(self) -> Result<()> {
        self.site.map_or(Ok(()), Site::end)
    }
}

impl<'c> Site<'c> {
    /// `limit` is what a restore usually takes, if its time is to be limited.
    fn new(context: &'c Context<'c>, limit: Option<Duration>) -> Result<Self> {
        let restorable = Restorable::with(context, |run| match limit {
            Some(usual) => run.annotation(SECONDS, &seconds_for(usual).to_string()),
            None => run,
        })?;
        Ok(Self {
            restorable,
            clean: Baseline::of(context.a())?,
            limited: limit.is_some(),
        })
    }

    fn end(self) -> Result<()> {
        self.restorable.ctr().remove_image(IMAGE)
    }

    fn inject(&self, injection: &Injection, usual: Duration) -> Result<Done> {
        let host = self.restorable.ctr().host();
        let mut log = Log::follow(host)?;
        let running = Running::Client(self.restorable.restore()?);
        let done = injection.strike.on(host, running, &mut log, usual)?;
        let victim = done.hit.as_ref().map(|_| injection.strike.victim);
        self.check(victim, &done.outcome)
            .with_context(|| done.to_string())?;
        Ok(done)
    }

    fn check(&self, victim: Option<Victim>, outcome: &Outcome) -> Result<()> {
        let Self { restorable, .. } = self;
        let ctr = restorable.ctr();
        match (victim, outcome) {
            (Some(Victim::Shim), _) => {
                let bundle = ctr.host().path(bundle());
                let gone = wait::until(LIMIT, || Ok(!bundle.exists()))?;
                ensure!(gone, "the bundle is left");
                restorable.expect_no_task()?;
                self.expect_old_or_restored()?;
            }
            (Some(Victim::Client), _) => {
                settle(&restorable.ground)?;
                ctr.remove(ID)?;
                restorable.expect_no_task()?;
                self.expect_old_or_restored()?;
            }
            (_, Outcome::Succeeded) => restorable.expect_restored()?,
            (None, Outcome::Failed(_)) => bail!("it fails, and nobody was hit"),
            (Some(_), Outcome::Failed(said)) => {
                ensure!(said.contains("phase "), "no phase is named");
                restorable.expect_no_task()?;
                restorable.expect_old_contents()?;
            }
        }
        ctr.remove(ID)?;
        // What a client that was killed has made before there was a container.
        ctr.command(["snapshots", "rm", ID]).run()?;
        restorable.expect_restorable()
    }

    /// The restore was over or not, when the container ended; what it began with is
    /// there, or the files of the container.
    fn expect_old_or_restored(&self) -> Result<()> {
        let shm = &self.restorable.ground.shm;
        shm.expect_no_leftovers()?;
        if shm.names()?.contains("./sem.") {
            return Ok(());
        }
        self.restorable.expect_old_contents()
    }
}
