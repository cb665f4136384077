//! Figures of this shim against the stock one, taken in one run and interleaved.
//!
//! ```text
//! cargo bench -p remap-test --bench shim [-- trixie|forky [run|memory|freeze]]
//! ```
//!
//! Prints medians and their ratio. Nothing is asserted: a figure is no test.

mod freeze;
mod memory;
mod run;

use anyhow::{Result, bail};
use remap_test::{Ctr, Flavour, Host, Runtime, Tree, image, shim};

/// The two that are compared; they run side by side under one containerd.
const RUNTIMES: [Runtime; 2] = [Runtime::Stock, Runtime::Remap];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => Flavour::ALL
            .into_iter()
            .try_for_each(|flavour| bench(flavour, &PARTS)),
        ["trixie"] => bench(Flavour::Trixie, &PARTS),
        ["forky"] => bench(Flavour::Forky, &PARTS),
        ["trixie", part] if PARTS.contains(part) => bench(Flavour::Trixie, &[part]),
        ["forky", part] if PARTS.contains(part) => bench(Flavour::Forky, &[part]),
        other => bail!("unknown arguments: {}", other.join(" ")),
    }
}

/// What there is to be measured.
const PARTS: [&str; 3] = ["run", "memory", "freeze"];

fn bench(flavour: Flavour, parts: &[&str]) -> Result<()> {
    let tree = Tree::prepare(flavour)?;
    let host = Host::start(&tree, "bench")?;
    shim::install(&host, &shim::release_binary()?)?;
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

    println!("\n{flavour}");
    println!("{:<58} {:>10} {:>10} {:>7}", "", "stock", "ours", "ratio");
    for part in parts {
        match *part {
            "run" => run::bench(&ctr)?,
            "memory" => memory::bench(&ctr)?,
            _ => freeze::bench(&ctr)?,
        }
    }
    Ok(())
}

/// Prints one figure: the medians of both runtimes, and ours as a multiple of the stock one's.
fn report(what: &str, unit: &str, [stock, ours]: [Vec<f64>; 2]) {
    let (stock, ours) = (median(stock), median(ours));
    println!(
        "{:<58} {stock:>10.1} {ours:>10.1} {:>7.2}",
        format!("{what}, {unit}"),
        ours / stock
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
