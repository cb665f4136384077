//! Figures of this shim against the stock one, taken in one run and interleaved, as a table in
//! Markdown.
//!
//! ```text
//! cargo bench --workspace --locked --bench shim [-- trixie|forky [PART]] >test/figures.md
//! ```
//!
//! Nothing is asserted: a figure is no test. [`PARTS`] has the parts.

mod api;
mod checkpoint;
mod exec;
mod figure;
mod freeze;
mod idle;
mod memory;
mod relay;
mod run;
mod size;

use std::path::Path;

use anyhow::{Result, bail};
use remap_test::{Ctr, Flavour, Host, Runtime, Tree, image, origin, shim};

/// The two that are compared; they run side by side under one containerd.
const RUNTIMES: [Runtime; 2] = [Runtime::Stock, Runtime::Remap];

/// What there is to be measured.
const PARTS: [&str; 9] = [
    "run",
    "runs",
    "exec",
    "execs",
    "memory",
    "relay",
    "size",
    "checkpoint",
    "freeze",
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (flavours, parts) = match args.as_slice() {
        [] => (Flavour::SUITES.to_vec(), PARTS.to_vec()),
        ["trixie", parts @ ..] => (vec![Flavour::Trixie], parts.to_vec()),
        ["forky", parts @ ..] => (vec![Flavour::Forky], parts.to_vec()),
        other => bail!("unknown arguments: {}", other.join(" ")),
    };
    if let Some(part) = parts.iter().find(|part| !PARTS.contains(part)) {
        bail!("{part} is none of {}", PARTS.join(", "));
    }
    let parts = if parts.is_empty() {
        &PARTS
    } else {
        parts.as_slice()
    };
    let shim = shim::release_binary()?;
    println!("{}", heading());
    flavours
        .into_iter()
        .try_for_each(|flavour| bench(flavour, &shim, parts))
}

/// When, of what, and on what.
fn heading() -> String {
    format!(
        "Figures of the shim against the stock one, {}; {} CPUs, kernel {}.\n\n\
         Both were measured in turn; times and sizes are medians, and the ratio is ours to the \
         stock one's.",
        origin::date_and_revision(),
        origin::cpus(),
        origin::kernel(),
    )
}

fn bench(flavour: Flavour, binary: &Path, parts: &[&str]) -> Result<()> {
    let tree = Tree::prepare(flavour)?;
    let host = Host::start(&tree, "bench")?;
    shim::install(&host, binary)?;
    Runtime::Remap.prepare(&host)?;
    let ctr = Ctr::new(&host);
    let workloads = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
    image::busybox(tree.root(), &host.path("/srv/busybox.tar"))?;
    image::python(
        tree.root(),
        workloads.as_ref(),
        &host.path("/srv/python.tar"),
    )?;
    ctr.import_image("/srv/busybox.tar")?;
    ctr.import_image("/srv/python.tar")?;

    let version = |line: &str| Ok::<_, anyhow::Error>(host.shell(line)?.text().into_owned());
    println!(
        "\n## Debian {flavour}: containerd {}, runc {}, CRIU {}\n",
        version("containerd --version | cut -d ' ' -f 3")?,
        version("runc --version | sed -n 's/^runc version //p'")?,
        version("criu --version | sed -n 's/^Version: //p'")?,
    );
    figure::head();
    for part in parts {
        match *part {
            "run" => run::one(&ctr)?,
            "runs" => run::many(&ctr)?,
            "exec" => exec::one(&ctr)?,
            "execs" => exec::many(&ctr)?,
            "memory" => memory::bench(&ctr)?,
            "relay" => relay::bench(&ctr)?,
            "size" => size::bench(&ctr, binary)?,
            "checkpoint" => checkpoint::bench(&ctr)?,
            _ => freeze::bench(&ctr)?,
        }
    }
    Ok(())
}
