//! An entry of the table.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::{Ctr, image, wait};

use super::expectation::{Expectation, Outcome, Stock};
use super::ground::{ID, Mount, PARTNER};
use crate::context::Context;

/// For a workload to be set up. Some write gigabytes.
const LIMIT: Duration = Duration::from_secs(120);

/// By what the container's files survive, or which part of CRIU has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing to care for.
    Nothing,
    /// Names on a tmpfs that is carried, with what is open behind them.
    Carried,
    /// Inodes without a name.
    Ghost,
    /// In /proc, of processes that are gone.
    Procfs,
    /// memfd_create(2).
    Memfd,
    /// On the root file system, or a file system that CRIU makes anew.
    Internal,
    /// On a tmpfs with the policy `ghost`: as if without a name, and the names are made again.
    Relinked,
    /// On a volume, which follows by other means.
    Volume,
    /// What is no file: processes, sockets, timers, …, which are CRIU's affair.
    Kernel,
    /// What cannot be had, and is said before anything is touched.
    Refused,
    /// Programs that people run.
    Software,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "nothing",
            Self::Carried => "carried",
            Self::Ghost => "ghost",
            Self::Procfs => "procfs",
            Self::Memfd => "memfd",
            Self::Internal => "internal",
            Self::Relinked => "relinked",
            Self::Volume => "volume",
            Self::Kernel => "kernel",
            Self::Refused => "refused",
            Self::Software => "software",
        })
    }
}

/// Has an image on both hosts and returns its name.
pub(super) type Image = for<'s> fn(&Context<'s>) -> Result<&'static str>;

/// Something to be asked of the container of this id, on a host.
type Ask = fn(&Ctr<'_>, &str) -> Result<()>;

/// What a container holds, or two that move together, how it is started and asked, and what is expected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// `fidelity::NAME`.
    pub(super) scenario: &'static str,
    pub(super) class: Class,
    /// What it holds, for the table.
    pub(super) holds: &'static str,
    pub(super) image: Image,
    pub(super) command: &'static [&'static str],
    /// That of the second container, if there is one.
    pub(super) partner: Option<&'static [&'static str]>,
    pub(super) mounts: &'static [Mount],
    pub(super) annotations: &'static [(&'static str, &'static str)],
    pub(super) flags: &'static [&'static str],
    pub(super) ready: Ask,
    pub(super) verify: Ask,
    pub(super) by_default: bool,
    pub(super) expected: Expectation,
}

impl Workload {
    /// One of this project's own programs: `command` is the line of `remap-fidelity`. It has a
    /// tmpfs of its own on /dev/shm. Unless more is said it works with our shim on both flavours,
    /// and takes part in full runs only.
    pub(crate) const fn new(
        scenario: &'static str,
        class: Class,
        holds: &'static str,
        command: &'static [&'static str],
    ) -> Self {
        Self {
            scenario,
            class,
            holds,
            image: own_image,
            command,
            partner: None,
            mounts: &[Mount::SHM],
            annotations: &[],
            flags: &[],
            ready: own_ready,
            verify: own_verify,
            by_default: false,
            expected: Expectation::WORKS,
        }
    }

    /// Made of another image, which the function sees to having on both hosts; `command` is then
    /// all of its command line.
    pub(crate) const fn image(mut self, image: Image) -> Self {
        self.image = image;
        self
    }

    /// Beside it, on the same mounts, a second container: `command` is as that of the first. They
    /// move together, the second one first on the way back.
    pub(crate) const fn partner(mut self, command: &'static [&'static str]) -> Self {
        self.partner = Some(command);
        self
    }

    /// Returns when it is set up. It has to have no `exec` session any more then.
    pub(crate) const fn ready(mut self, ready: Ask) -> Self {
        self.ready = ready;
        self
    }

    /// Asks it, on whichever host, whether it has all that it had and goes on. It is asked before
    /// the first checkpoint, and after each restore.
    pub(crate) const fn verify(mut self, verify: Ask) -> Self {
        self.verify = verify;
        self
    }

    /// Its mounts, instead of a tmpfs on /dev/shm.
    pub(crate) const fn mounts(mut self, mounts: &'static [Mount]) -> Self {
        self.mounts = mounts;
        self
    }

    /// Annotations of the bundle.
    pub(crate) const fn annotations(
        mut self,
        annotations: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.annotations = annotations;
        self
    }

    /// Other flags of `ctr run`.
    pub(crate) const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// In the default run, too.
    pub(crate) const fn by_default(mut self) -> Self {
        self.by_default = true;
        self
    }

    /// With our shim, on both flavours.
    pub(crate) const fn expect(mut self, outcome: Outcome) -> Self {
        self.expected.trixie = outcome;
        self.expected.forky = outcome;
        self
    }

    /// With our shim on trixie only, for what its CRIU cannot do.
    pub(crate) const fn expect_on_trixie(mut self, outcome: Outcome) -> Self {
        self.expected.trixie = outcome;
        self
    }

    /// With the stock shim, on both flavours.
    pub(crate) const fn stock(mut self, outcome: Stock) -> Self {
        self.expected.stock_trixie = outcome;
        self.expected.stock_forky = outcome;
        self
    }

    /// With the stock shim on trixie only.
    pub(crate) const fn stock_on_trixie(mut self, outcome: Stock) -> Self {
        self.expected.stock_trixie = outcome;
        self
    }

    /// Its name in the table.
    pub(super) fn name(&self) -> &'static str {
        self.scenario
            .strip_prefix("fidelity::")
            .unwrap_or(self.scenario)
    }

    /// Its containers: id and command line.
    pub(super) fn containers(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let is_own = std::ptr::fn_addr_eq(self.image, own_image as Image);
        let program = is_own.then_some("remap-fidelity");
        let with_program = |command: &'static [&'static str]| {
            let program = program.into_iter();
            program.chain(command.iter().copied()).collect()
        };
        let first = (ID, with_program(self.command));
        let second = self.partner.map(|command| (PARTNER, with_program(command)));
        [first].into_iter().chain(second).collect()
    }
}

/// The image with this project's own program.
fn own_image(context: &Context) -> Result<&'static str> {
    const ARCHIVE: &str = "/srv/fidelity.tar";
    let program = remap_test::fidelity::program()?;
    for ctr in [context.ctr(), context.ctr_on_b()] {
        if !ctr
            .images()?
            .iter()
            .any(|name| name == image::FIDELITY_IMAGE)
        {
            image::fidelity(context.tree().root(), &program, &ctr.host().path(ARCHIVE))?;
            ctr.import_image(ARCHIVE)?;
        }
    }
    Ok(image::FIDELITY_IMAGE)
}

/// It leaves a mark, or an error.
fn own_ready(ctr: &Ctr<'_>, id: &str) -> Result<()> {
    let mut said = String::new();
    let line = "cat /fidelity/error 2>/dev/null || { [ -e /fidelity/ready ] && echo ready; }";
    let is_over = wait::until(LIMIT, || {
        said = ctr.exec(id, &["sh", "-c", line])?.text().into_owned();
        Ok(!said.is_empty())
    })?;
    ensure!(is_over, "it does not get ready");
    ensure!(said == "ready", "it cannot be set up: {said}");
    Ok(())
}

/// It ends with 0, or says what is different.
fn own_verify(ctr: &Ctr<'_>, id: &str) -> Result<()> {
    ask(ctr, id, &["remap-fidelity", "ask"], 2 * LIMIT)
}

/// Runs a command that asks the container. Its exit code counts: what it says can be lost on its way,
/// as was seen with the stock shim.
pub(super) fn ask(ctr: &Ctr<'_>, id: &str, command: &[&str], limit: Duration) -> Result<()> {
    let session = ctr.command(["task", "exec", "--exec-id", "ask", id]);
    session.args(command).timeout(limit).check()?;
    Ok(())
}
