//! How long a container stands still while a checkpoint of it is taken, and what takes so long.

mod phases;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remap_test::shim::Api;
use remap_test::{Ctr, Runtime, image, wait};

use self::phases::Phases;
use crate::figure::{median, ours, report};

const SHM: &str = "/run/bench-shm";

/// Where images go that are not for containerd's store: a directory on the disk.
const IMAGES: &str = "/srv/bench-images";

/// CRIU's logs.
const WORK: &str = "/run/bench-work";

/// Touches as many MiB as its argument says, then notes the longest gap between two looks at the
/// clock, in milliseconds. The file `fresh` is there from the moment when the gap is counted anew.
const WORKLOAD: &str = "
import os, sys, time
memory = bytearray(os.urandom(1 << 20)) * int(sys.argv[1])
longest, last = 0.0, time.monotonic()
while True:
    time.sleep(0.0005)
    now = time.monotonic()
    if os.path.exists('/reset'):
        longest = 0.0
        os.rename('/reset', '/fresh')
    elif now - last > longest:
        longest = now - last
        with open('/new', 'w') as file:
            file.write(str(longest * 1e3))
        os.rename('/new', '/longest')
    last = time.monotonic()
";

/// Who asks for the checkpoint, after which the container runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// `ctr task checkpoint`, which pauses the container meanwhile, into containerd's store.
    Store,
    /// The same into a directory on the disk.
    Directory,
    /// One that leaves it to the shim to freeze the container, into a directory on the disk.
    Shim,
}

/// What is checkpointed.
#[derive(Debug, Clone, Copy)]
struct Case {
    client: Client,
    /// Memory of the container, besides Python's own.
    mib: u32,
    /// Whether it has 64 MiB on an external tmpfs, which the stock shim loses.
    shm: bool,
}

/// One checkpoint.
#[derive(Debug)]
struct Sample {
    /// The longest gap, in ms.
    gap: f64,
    /// The client's call, in ms.
    total: f64,
    /// Those of our shim.
    phases: Option<Phases>,
}

/// Leave-running checkpoints with both shims: without any external mount ours has no more to do
/// than the stock one.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    let case = |client, mib| Case {
        client,
        mib,
        shm: false,
    };
    ctr.host().shell(&format!(
        "mkdir -p {SHM} {WORK}; mount -t tmpfs shm {SHM}; head -c 64M /dev/urandom > {SHM}/data"
    ))?;
    compare(
        ctr,
        "small, ctr, to a directory",
        case(Client::Directory, 1),
        30,
    )?;
    alone(ctr, "small, shim freezes", case(Client::Shim, 1), 30)?;
    alone(ctr, "256 MiB, shim freezes", case(Client::Shim, 256), 20)?;
    let store = case(Client::Store, 256);
    let stock = compare(ctr, "256 MiB, ctr", store, 20)?;
    let carrying = Case { shm: true, ..store };
    let mut gaps = Vec::new();
    for _ in 0..10 {
        gaps.push(checkpoint(ctr, Runtime::Remap, carrying)?.gap);
    }
    let what = "… ours carries 64 MiB of external tmpfs as well: stand-still";
    report(what, "ms", [stock, gaps]);
    Ok(())
}

/// Takes turns with both shims, and prints the medians. Returns the stock one's gaps.
fn compare(ctr: &Ctr<'_>, what: &str, case: Case, rounds: usize) -> Result<Vec<f64>> {
    // Under any other name containerd 1.7's ctr drops the options (`withCheckpointOpts`).
    let runtime = match case.client {
        Client::Directory => Runtime::DropIn,
        Client::Store | Client::Shim => Runtime::Remap,
    };
    let (mut stock, mut own) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        stock.push(checkpoint(ctr, Runtime::Stock, case)?);
        own.push(checkpoint(ctr, runtime, case)?);
    }
    Runtime::Remap.prepare(ctr.host())?;
    let both = |figure: fn(&Sample) -> f64| {
        [&stock, &own].map(|samples| samples.iter().map(figure).collect())
    };
    let gaps: [Vec<f64>; 2] = both(|one| one.gap);
    report(&format!("{what}: longest stand-still"), "ms", gaps.clone());
    report("… the call as a whole", "ms", both(|one| one.total));
    print(&phases_of(&own));
    let [stock, _] = gaps;
    Ok(stock)
}

/// Our shim alone: that of containerd 1.7 does not speak the same protocol to a client of its own.
fn alone(ctr: &Ctr<'_>, what: &str, case: Case, rounds: usize) -> Result<()> {
    let samples = (0..rounds).map(|_| checkpoint(ctr, Runtime::Remap, case));
    let samples = samples.collect::<Result<Vec<_>>>()?;
    let row = |what: &str, ms: f64| ours(what, "ms", ms, rounds);
    let gaps: Vec<f64> = samples.iter().map(|one| one.gap).collect();
    row(&format!("{what}: longest stand-still"), median(&gaps));
    let phases = phases_of(&samples);
    print(&phases);
    let of = |figure: fn(&Phases) -> f64| {
        let values: Vec<f64> = phases.iter().map(|one| figure(one)).collect();
        median(&values)
    };
    let (extra, own) = (of(Phases::extra_ms), of(Phases::criu_ms));
    row("… from freeze to thaw, CRIU's own dump", own);
    let share = extra / own * 100.0;
    row(&format!("… and what is beyond it ({share:.1} %)"), extra);
    Ok(())
}

fn phases_of(samples: &[Sample]) -> Vec<&Phases> {
    let phases = samples.iter().map(|one| one.phases.as_ref());
    phases.flatten().collect()
}

fn print(phases: &[&Phases]) {
    for (name, ms) in phases::medians(phases) {
        ours(&format!("… {name}"), "ms", ms, phases.len());
    }
}

fn checkpoint(ctr: &Ctr<'_>, runtime: Runtime, case: Case) -> Result<Sample> {
    const ID: &str = "freeze";
    const IMAGE: &str = "remap.test/checkpoint:freeze";
    let host = ctr.host();
    runtime.prepare(host)?;
    let mib = case.mib.to_string();
    let mut run = ctr
        .run(runtime, image::PYTHON_IMAGE, ID)
        .args(["python3", "-c", WORKLOAD, &mib]);
    if case.shm {
        run = run.bind(SHM, "/dev/shm");
    }
    run.start()?;
    let exists = |path: &str| Ok(ctr.exec(ID, &["test", "-e", path])?.status.success());
    ensure!(
        wait::until(Duration::from_secs(20), || exists("/longest"))?,
        "no gap is noted"
    );
    ctr.exec(ID, &["touch", "/reset"])?.ok()?;
    ensure!(
        wait::until(Duration::from_secs(5), || exists("/fresh"))?,
        "the gap is not reset"
    );
    let mark = phases::mark(host)?;
    let started = Instant::now();
    let command = ctr.command(["task", "checkpoint"]);
    let command = command.timeout(Duration::from_secs(60));
    match case.client {
        Client::Store => drop(command.args([ID, IMAGE]).check()?),
        Client::Directory => drop(command.args(["--image-path", IMAGES, ID]).check()?),
        Client::Shim => Api::connect(host, ID)?.checkpoint(IMAGES, WORK, false)?,
    }
    let total = started.elapsed().as_secs_f64() * 1e3;
    let output = ctr.exec(ID, &["cat", "/longest"])?.ok()?;
    let gap = output.text().parse().context("the gap is no number")?;
    let phases = match runtime.is_ours() {
        true => Some(Phases::since(host, mark)?),
        false => None,
    };
    ctr.remove(ID)?;
    if case.client == Client::Store {
        let images = ctr.images()?;
        let ours = images.iter().filter(|name| name.contains("checkpoint"));
        ctr.command(["image", "rm", "--sync"]).args(ours).check()?;
    }
    host.shell(&format!("rm -rf {IMAGES}"))?;
    Ok(Sample { gap, total, phases })
}
