//! Real test hosts for the end-to-end tests, the benchmarks and the demo.
//!
//! A [`Host`] is a Debian of its own, with its own containerd, runc and CRIU, in
//! namespaces of its own on this machine; two of them joined by a [`Link`] share
//! nothing but that network. Everything here needs root, and nothing that is
//! made outlives the process that made it.
//!
//! ```no_run
//! use remap_test::{Ctr, Flavour, Host, Link, Runtime, Tree, image};
//!
//! # fn main() -> anyhow::Result<()> {
//! let tree = Tree::prepare(Flavour::Trixie)?;
//! let a = Host::start(&tree, "a")?;
//! let b = Host::start(&tree, "b")?;
//! let _link = Link::join(&a, &b)?;
//! assert_eq!(a.shell("getent hosts b | cut -d' ' -f1")?.text(), "10.77.1.2");
//!
//! Runtime::Stock.prepare(&a)?;
//! image::busybox(tree.root(), &a.path("/srv/busybox.tar"))?;
//! let ctr = Ctr::new(&a);
//! ctr.import_image("/srv/busybox.tar")?;
//! ctr.run(Runtime::Stock, image::BUSYBOX_IMAGE, "c1").shell("sleep 60").start()?;
//! ctr.pause("c1")?;
//! # Ok(())
//! # }
//! ```

pub mod cache;
mod cargo;
mod cli;
pub mod client_suite;
pub mod containerd;
mod copy;
mod cri;
pub mod ctr;
pub mod exec;
mod failing_fs;
pub mod fidelity;
mod flavour;
mod go;
mod host;
pub mod image;
mod leftovers;
mod link;
pub mod logs;
mod mirror;
mod nerdctl;
pub mod origin;
pub mod reason;
mod registry;
pub mod schema;
pub mod shim;
mod software;
mod tree;
mod vm;
pub mod wait;

pub use cli::Cli;
pub use client_suite::ClientSuite;
pub use containerd::{Containerd, ShimLookup};
pub use copy::Transfer;
pub use cri::{Cri, PodContainer, PodNetwork};
pub use ctr::{Ctr, Runtime};
pub use exec::{Background, CommandFailed, HostCommand, Output};
pub use failing_fs::{FailingFs, Failure};
pub use flavour::{Flavour, Versions};
pub use go::GoProgram;
pub use host::Host;
pub use leftovers::Baseline;
pub use link::Link;
pub use nerdctl::Nerdctl;
pub use registry::Registry;
pub use software::Software;
pub use tree::Tree;
pub use vm::Vm;
