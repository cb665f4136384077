//! The two hosts of the demo.

use anyhow::{Context, Result};
use remap_test::{Ctr, Flavour, Host, Link, Runtime, Tree, image, shim};

use crate::container::SHM_SOURCE;

/// Two hosts that share nothing but a network.
pub(crate) struct Hosts {
    /// Where the container starts.
    pub a: Host,
    /// Where it goes.
    pub b: Host,
    _link: Link,
}

impl Hosts {
    /// Starts both, with the image of the container and both shims on each, and an empty tmpfs
    /// for the container's `/dev/shm`.
    ///
    /// # Errors
    /// A host cannot be made.
    pub(crate) fn start(flavour: Flavour) -> Result<Self> {
        let tree = Tree::prepare(flavour)?;
        let a = Host::start(&tree, "a")?;
        let b = Host::start(&tree, "b")?;
        let link = Link::join(&a, &b)?;
        let shim = shim::binary()?;
        for host in [&a, &b] {
            shim::install(host, &shim)?;
            Runtime::Remap.prepare(host)?;
            let workloads = concat!(env!("CARGO_MANIFEST_DIR"), "/../test/workloads");
            image::python(
                tree.root(),
                workloads.as_ref(),
                &host.path("/srv/python.tar"),
            )
            .context("making the container's image")?;
            Ctr::new(host).import_image("/srv/python.tar")?;
            host.shell(&format!(
                "mkdir -p {SHM_SOURCE} && mount -t tmpfs -o size=64m,mode=1777 shm {SHM_SOURCE}"
            ))?;
        }
        Ok(Self { a, b, _link: link })
    }

    /// Copies a file from A to B over the network.
    ///
    /// # Errors
    /// The copy fails or differs.
    pub(crate) fn send(&self, path: &str) -> Result<()> {
        self._link.copy_file(&self.a, path, &self.b, path)?;
        Ok(())
    }
}
