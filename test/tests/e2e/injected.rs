//! Somebody is killed or stopped at a random moment of a checkpoint or a restore; all
//! is as before.
//!
//! Each injection comes from a seed, which is printed. `REMAP_TEST_SEED=MASTER` has
//! the injections of a whole run again, `REMAP_TEST_SEED=MASTER.INDEX` a single one
//! (whose moment is as exact as the machine).

mod draw;
mod dump;
mod log;
mod proc;
mod restore;
mod running;
pub(crate) mod seed;
mod strike;

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use remap_test::{Runtime, wait};

use self::draw::{Blow, Injection, Operation};
use self::dump::Dumps;
use self::restore::Restores;
use self::seed::Seed;
use self::strike::Done;
use crate::context::Context;
use crate::interrupted::ground::{Ground, bundle};
use crate::interrupted::processes::{HELPERS, pids};
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("injected::random", random).runtimes(&[Runtime::DropIn]),
    Scenario::new("injected::phases", phases).runtimes(&[Runtime::DropIn]),
];

/// How many injections each flavour gets, and in a full run.
const COUNT: u32 = 15;
const FULL_COUNT: u32 = 125;

/// An operation of which somebody was hit ends within this time.
const PATIENCE: Duration = Duration::from_secs(60);

fn random(context: &Context) -> Result<()> {
    let full = env::var_os("REMAP_TEST_FULL").is_some_and(|value| value == "1");
    let seeds = Seed::series(context.flavour(), if full { FULL_COUNT } else { COUNT })?;
    let titled = |seed: Seed| (format!("{}={seed}", seed::VARIABLE), Injection::draw(seed));
    perform_all(context, seeds.into_iter().map(titled).collect())
}

/// At the beginning of each phase whoever takes part in it is killed, as far as the
/// phase lasts long enough to be met: what is late hits the next one.
fn phases(context: &Context) -> Result<()> {
    let titled = |injection| ("phases".to_owned(), injection);
    perform_all(context, draw::of_all_phases().map(titled).collect())
}

/// Performs injections, each with its title.
fn perform_all(context: &Context, mut injections: Vec<(String, Injection)>) -> Result<()> {
    // Those that need the same container follow each other.
    injections.sort_by_key(|(_, one)| {
        let restore = one.operation == Operation::Restore;
        (restore, one.strike.blow == Blow::Stop)
    });
    let middle = injections.partition_point(|(_, one)| one.operation != Operation::Restore);
    let (dumps, restores) = injections.split_at(middle);
    let mut hits = 0;
    if !dumps.is_empty() {
        let mut ground = Dumps::new(context)?;
        hits += perform(context, dumps, |one| ground.inject(one))?;
        ground.end()?;
    }
    if !restores.is_empty() {
        let mut ground = Restores::new(context)?;
        hits += perform(context, restores, |one| ground.inject(one))?;
        ground.end()?;
    }
    println!(
        "injected {}: somebody was hit in {hits} of {}",
        context.flavour(),
        injections.len()
    );
    Ok(())
}

/// Performs each, and says so; returns in how many somebody was hit.
fn perform(
    context: &Context,
    injections: &[(String, Injection)],
    mut inject: impl FnMut(&Injection) -> Result<Done>,
) -> Result<u32> {
    let mut hits = 0;
    for (title, one) in injections {
        let begun = Instant::now();
        let title = format!("{} {title}: {one}", context.flavour());
        let done = inject(one).with_context(|| title.clone())?;
        hits += u32::from(done.hit.is_some());
        println!("injected {title}: {done}; {:.1?}", begun.elapsed());
    }
    Ok(hits)
}

/// A time limit that nothing reaches that is not stopped, on a machine on which an
/// operation usually takes so long.
fn seconds_for(usual: Duration) -> u64 {
    (usual * 5).as_secs().saturating_add(1).max(4)
}

/// Waits until nothing goes on any more that nobody waits for.
fn settle(ground: &Ground) -> Result<()> {
    const QUIET: Duration = Duration::from_secs(1);
    let host = ground.ctr.host();
    let bundle = host.path(bundle());
    let mut since = None;
    let quiet = wait::until(PATIENCE, || {
        let mut busy = ["checkpoint.json", "restore.json", "stash"]
            .iter()
            .any(|name| bundle.join("remap").join(name).exists());
        for name in HELPERS {
            busy = busy || !pids(host, name)?.is_empty();
        }
        if busy {
            since = None;
        }
        Ok(!busy && since.get_or_insert_with(Instant::now).elapsed() >= QUIET)
    })?;
    ensure!(quiet, "what nobody waits for does not end");
    Ok(())
}
