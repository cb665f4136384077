//! The hosts on which the scenarios of a flavour are performed, one at a time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use remap_test::ctr::truth;
use remap_test::{Baseline, Containerd, Ctr, Flavour, Host, Link, Runtime, Tree, image};
use remap_test::{logs, shim};

use crate::context::Context;
use crate::scenario::Skipped;

/// Two hosts of a flavour, joined.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) tree: Tree,
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) link: Link,
    clean: [Baseline; 2],
    has_shim: bool,
}

/// Performs a scenario with the hosts that are there, or with new ones, and sees
/// to it that the next one finds clean hosts: these or none.
pub(crate) fn perform(
    flavour: Flavour,
    runtime: Runtime,
    name: &str,
    scenario: fn(&Context) -> Result<()>,
) -> Result<()> {
    let mut slot = slot(flavour);
    // While it is out of its slot, a failure of any kind means its end.
    let mut stage = match slot.take() {
        Some(stage) => stage,
        None => Stage::start(flavour).with_context(|| format!("no hosts for {flavour}"))?,
    };
    let mut result = stage.prepare(runtime);
    if result.is_ok() {
        let context = Context::new(&stage, runtime, name);
        result = catch_unwind(AssertUnwindSafe(|| scenario(&context)))
            .unwrap_or_else(|panic| Err(anyhow!("{}", panic_message(&*panic))));
        result = expect_no_lies(flavour, result);
    }
    if result
        .as_ref()
        .map_or_else(|error| error.is::<Skipped>(), |()| true)
    {
        let clean = stage.expect_clean();
        result = clean.and(result);
    }
    match result {
        Err(error) if !error.is::<Skipped>() => Err(stage.fail(name, error)),
        result => {
            *slot = Some(stage);
            result
        }
    }
}

/// Ends all hosts.
pub(crate) fn end_all() {
    for flavour in Flavour::ALL {
        if let Some(stage) = slot(flavour).take() {
            for host in [stage.a, stage.b] {
                if let Err(error) = host.stop() {
                    eprintln!("{error:#}");
                }
            }
        }
    }
}

impl Stage {
    fn start(flavour: Flavour) -> Result<Self> {
        let tree = Tree::prepare(flavour)?;
        let a = Host::start(&tree, "a")?;
        let b = Host::start(&tree, "b")?;
        let link = Link::join(&a, &b)?;
        for host in [&a, &b] {
            Runtime::Stock.prepare(host)?;
            image::busybox(tree.root(), &host.path("/srv/busybox.tar"))?;
            Ctr::new(host).import_image("/srv/busybox.tar")?;
        }
        let clean = [Baseline::of(&a)?, Baseline::of(&b)?];
        Ok(Self {
            tree,
            a,
            b,
            link,
            clean,
            has_shim: false,
        })
    }

    fn prepare(&mut self, runtime: Runtime) -> Result<()> {
        if runtime.is_ours() && !self.has_shim {
            let binary = shim_binary()?;
            for host in [&self.a, &self.b] {
                shim::install(host, &binary)?;
            }
            self.has_shim = true;
        }
        for host in [&self.a, &self.b] {
            // What containerd unpacks for a restore it leaves there, in memory.
            host.shell("rm -rf /tmp/ctrd-checkpoint*")?;
            runtime.prepare(host)?;
        }
        Ok(())
    }

    fn expect_clean(&self) -> Result<()> {
        let [a, b] = &self.clean;
        a.expect_nothing_new(&self.a)?;
        b.expect_nothing_new(&self.b)
    }

    /// Saves the logs and ends the hosts; returns the error with what they tell.
    fn fail(self, name: &str, error: anyhow::Error) -> anyhow::Error {
        let mut story = format!("{error:#}");
        for host in [&self.a, &self.b] {
            match logs::gather(host, name) {
                Ok(dir) => story += &format!("\nlogs of host {}: {}", host.name(), dir.display()),
                Err(error) => story += &format!("\nno logs of host {}: {error:#}", host.name()),
            }
        }
        if let Ok(complaints) = Containerd::of(&self.a).complaints(10) {
            story += &format!("\ncontainerd on host a complains:\n{complaints}");
        }
        anyhow!(story)
    }
}

/// Also a scenario that expects a checkpoint to fail fails if the plan said otherwise.
fn expect_no_lies(flavour: Flavour, result: Result<()>) -> Result<()> {
    let lies = truth::take_lies(flavour);
    if lies.is_empty() {
        return result;
    }
    let lies = lies.join("; ");
    match result {
        Err(error) if !error.is::<Skipped>() => Err(error.context(lies)),
        _ => Err(anyhow!(lies)),
    }
}

/// Where a flavour's stage is between two scenarios.
fn slot(flavour: Flavour) -> MutexGuard<'static, Option<Stage>> {
    static TRIXIE: Mutex<Option<Stage>> = Mutex::new(None);
    static FORKY: Mutex<Option<Stage>> = Mutex::new(None);
    static FORKY_23: Mutex<Option<Stage>> = Mutex::new(None);
    let slot = match flavour {
        Flavour::Trixie => &TRIXIE,
        Flavour::Forky => &FORKY,
        Flavour::Forky23 => &FORKY_23,
    };
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shim under test, found or built once.
pub(crate) fn shim_binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| shim::binary().map_err(|error| format!("{error:#}")));
    binary
        .clone()
        .map_err(|error| anyhow!(error))
        .context("no shim to test")
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panicked")
}
