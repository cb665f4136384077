//! Many containers in one shim: at once, and one after the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use remap_test::wait;

use super::footprint::{Footprint, MORE_KIB, expect_no_files};
use super::is_full;
use super::served::Served;
use crate::context::Context;
use crate::parity::events::What;
use crate::workload::LIMIT;

/// Ends by SIGTERM, with a code of its own.
const LINE: &str = "id=$ID; trap 'exit ${id#c}' TERM; sleep 600 & wait";

/// SIGTERM.
const TERM: u32 = 15;

/// So many requests are made at once.
const CLIENTS: usize = 8;

/// Most states are to be told within this time; the machine may have more to do than this.
const PROMPT: Duration = Duration::from_millis(100);

/// 200 containers in one pod (in a default run fewer) run at once, each takes an exec, and each ends
/// with a code of its own; meanwhile the shim says at once how one of them is.
pub(super) fn crowd(context: &Context) -> Result<()> {
    let count = if is_full() { 200 } else { 24 };
    let served = Served::start(context, LINE)?;
    let host = context.a();
    let ids: Vec<String> = (0..=count).map(|number| format!("c{number}")).collect();
    served.bundles(&ids)?;
    let (first, others) = ids.split_first().context("no containers")?;
    served.join(first)?;
    served.run(first)?;
    ensure!(served.exec(first, "exit 5")? == 5, "exec");
    let pid = served.pid()?;
    let before = Footprint::of(host, &pid)?;

    let is_over = AtomicBool::new(false);
    let (answers, worked) = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(&served, first, &is_over));
        let worked = each(others, |id| {
            served.join(id)?;
            served.run(id)?;
            let code = number(id)? % 100 + 1;
            let line = format!("exit {code}");
            ensure!(served.exec(id, &line)? == code, "exec in {id}");
            Ok(())
        })
        .and_then(|()| {
            each(others, |id| {
                served.kill(id, TERM)?;
                let code = number(id)?;
                ensure!(served.wait(id, "")? == code, "the end of {id}");
                ensure!(served.delete(id, "")? == code, "the deletion of {id}");
                Ok(())
            })
        });
        is_over.store(true, Ordering::SeqCst);
        (asker.join(), worked)
    });
    worked.with_context(|| format!("its log: {}", served.shim.log()))?;
    let mut answers = answers.map_err(|_| anyhow!("the asking thread panicked"))??;
    answers.sort();
    let longest = answers.last().context("no answer")?;
    let median = answers.get(answers.len() / 2).context("no answer")?;
    ensure!(
        *median < PROMPT,
        "of {} answers half took {median:?} or more",
        answers.len()
    );
    let now = before.expect_again(host, &pid, MORE_KIB)?;
    println!(
        "{count} containers: {before}; afterwards {now}; a state took {median:?}, at most {longest:?}"
    );

    served.kill(first, 9)?;
    ensure!(served.wait(first, "")? == 137, "the first one's end");
    served.delete(first, "")?;
    expect_events(&served, count + 1)?;
    served.end()
}

fn number(id: &str) -> Result<u32> {
    Ok(id.trim_start_matches('c').parse()?)
}

/// Does something with each, several at once; the first error counts.
fn each(ids: &[String], work: impl Fn(&str) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<()> {
        while let Some(id) = ids.get(next.fetch_add(1, Ordering::SeqCst)) {
            work(id)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// Asks for a state again and again; returns how long each answer took.
fn ask(served: &Served, id: &str, is_over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut answers = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let asked = Instant::now();
        served.state(id)?;
        answers.push(asked.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(answers)
}

/// Each container and each exec has ended once, and each container was deleted once.
fn expect_events(served: &Served, count: usize) -> Result<()> {
    let counts = || {
        let (mut inits, mut execs, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
        for event in served.shim.events().so_far() {
            match event.what {
                What::Exit(it) if it.id == it.container_id => inits.push(it.id),
                What::Exit(it) => execs.push(it.container_id),
                What::Delete(it) => deletions.push(it.container_id),
                _ => {}
            }
        }
        [inits, execs, deletions]
    };
    let are_all = || Ok(counts().iter().all(|all| all.len() >= count));
    wait::until(LIMIT, are_all)?;
    for mut all in counts() {
        let told = all.len();
        all.sort();
        all.dedup();
        ensure!(
            told == count && all.len() == count,
            "of {count} containers {} were told of, {told} times",
            all.len()
        );
    }
    Ok(())
}

/// Containers come and go while the shim stays: what it takes of the host does not grow.
pub(super) fn cycles(context: &Context) -> Result<()> {
    /// The allocator and the pools are filled by then.
    const WARM: u32 = 10;
    let count = if is_full() { 1000 } else { 60 };
    let served = Served::start(context, "sleep 600")?;
    let host = context.a();
    let ids = ["keeper", "c"].map(str::to_owned);
    served.bundles(&ids)?;
    served.join("keeper")?;
    served.run("keeper")?;
    let pid = served.pid()?;
    let mut before = None;
    for number in 0..WARM + count {
        if number == WARM {
            before = Some(Footprint::of(host, &pid)?);
        }
        served.join("c")?;
        served.run("c")?;
        let code = number % 256;
        let line = format!("exit {code}");
        ensure!(served.exec("c", &line)? == code, "exec {number}");
        served.kill("c", 9)?;
        ensure!(served.wait("c", "")? == 137, "the end of {number}");
        served.delete("c", "")?;
    }
    let before = before.context("no footprint")?;
    let now = before.expect_again(host, &pid, MORE_KIB)?;
    println!("{count} cycles: {before}; afterwards {now}");
    for name in ["runc-*", "exec-*", "console-*"] {
        expect_no_files(host, served.shim.dir(), name)?;
    }
    served.kill("keeper", 9)?;
    served.wait("keeper", "")?;
    served.delete("keeper", "")?;
    let deletions = usize::try_from(WARM + count + 1)?;
    let are_told = || Ok(served.shim.events().deletions() == deletions);
    ensure!(wait::until(LIMIT, are_told)?, "deletions are not told");
    served.end()
}
