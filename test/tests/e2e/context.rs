//! What a scenario gets.

use std::path::{Path, PathBuf};

use anyhow::Result;
use remap_test::image::{self, PYTHON_IMAGE};
use remap_test::{Ctr, Flavour, Host, Link, Runtime, Software, Tree};

use crate::stage::Stage;

/// A scenario's hosts, and how it is to run its containers.
#[derive(Debug)]
pub(crate) struct Context<'s> {
    stage: &'s Stage,
    runtime: Runtime,
    name: &'s str,
}

impl<'s> Context<'s> {
    pub(crate) fn new(stage: &'s Stage, runtime: Runtime, name: &'s str) -> Self {
        Self {
            stage,
            runtime,
            name,
        }
    }

    /// The host where a scenario begins.
    pub(crate) fn a(&self) -> &'s Host {
        &self.stage.a
    }

    /// The host where it may move.
    pub(crate) fn b(&self) -> &'s Host {
        &self.stage.b
    }

    /// What joins the hosts.
    pub(crate) fn link(&self) -> &'s Link {
        &self.stage.link
    }

    /// The suite of both hosts.
    pub(crate) fn flavour(&self) -> Flavour {
        self.stage.tree.flavour()
    }

    /// The tree that both hosts are made of.
    pub(crate) fn tree(&self) -> &'s Tree {
        &self.stage.tree
    }

    /// The scenario's name, `FLAVOUR::FILE::FUNCTION::RUNTIME`.
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// The runtime for the scenario's containers; containerd is ready for it.
    pub(crate) fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// `ctr` on host a.
    pub(crate) fn ctr(&self) -> Ctr<'s> {
        Ctr::new(self.a())
    }

    /// `ctr` on host b.
    pub(crate) fn ctr_on_b(&self) -> Ctr<'s> {
        Ctr::new(self.b())
    }

    /// The image with Python and the workloads, on both hosts from now on.
    pub(crate) fn python(&self) -> Result<&'static str> {
        self.import(PYTHON_IMAGE, "/srv/python.tar", |archive| {
            image::python(self.stage.tree.root(), &workloads(), archive)
        })?;
        Ok(PYTHON_IMAGE)
    }

    /// The image with `software`, Python and the workloads, on both hosts from now on. Debian's
    /// packages of it are fetched if this machine does not have them yet.
    pub(crate) fn software(&self, software: Software) -> Result<&'static str> {
        let name = software.image();
        self.import(name, "/srv/software.tar", |archive| {
            let tree = Tree::of_software(self.flavour(), software)?;
            image::software(tree.root(), software, &workloads(), archive)
        })?;
        Ok(name)
    }

    /// Has both hosts import the image `name` from their file `path`, which `build` writes once.
    fn import(
        &self,
        name: &str,
        path: &str,
        build: impl Fn(&Path) -> Result<String>,
    ) -> Result<()> {
        let mut built: Option<PathBuf> = None;
        for ctr in [self.ctr(), self.ctr_on_b()] {
            if ctr.images()?.iter().any(|known| known == name) {
                continue;
            }
            let archive = ctr.host().path(path);
            match &built {
                Some(built) => drop(std::fs::copy(built, &archive)?),
                None => drop(build(&archive)?),
            }
            ctr.import_image(path)?;
            built = Some(archive);
        }
        Ok(())
    }

    /// A new directory for the scenario's files, on both hosts.
    pub(crate) fn dir(&self) -> Result<String> {
        let dir = format!("/srv/{}", self.name.replace("::", "-"));
        for host in [&self.stage.a, &self.stage.b] {
            host.command("rm").args(["-rf", &dir]).check()?;
            host.command("mkdir").args(["-p", &dir]).check()?;
        }
        Ok(dir)
    }
}

fn workloads() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads")
}
