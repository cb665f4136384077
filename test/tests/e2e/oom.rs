//! What containerd is told when a container has no memory left, and its figures.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Background, Ctr, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("oom::of_init", of_init),
    Scenario::new("oom::after_restore", after_restore),
];

const LIMIT: Duration = Duration::from_secs(30);

const CHECKPOINT: &str = "remap.test/oom:1";

/// Doubles a variable until it is killed.
pub(crate) const HOG: &str = "x=0123456789abcdef; while :; do x=$x$x; done";

/// The topics of the events so far that name the container.
fn topics(events: &Background, id: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&events.stdout_so_far()).into_owned();
    let named = text.lines().filter(|line| line.contains(id));
    named
        .filter_map(|line| {
            line.split_whitespace()
                .find(|word| word.starts_with("/tasks/"))
        })
        .map(str::to_owned)
        .collect()
}

/// Waits for as many events of that topic.
pub(crate) fn expect(events: &Background, id: &str, topic: &str, count: usize) -> Result<()> {
    let found = || {
        topics(events, id)
            .iter()
            .filter(|one| *one == topic)
            .count()
    };
    let came = wait::until(LIMIT, || Ok(found() >= count))?;
    ensure!(came, "no {topic} among {:?}", topics(events, id));
    Ok(())
}

/// Follows the events of containerd; some time passes until it does.
pub(crate) fn follow(ctr: &Ctr) -> Result<Background> {
    let events = ctr.command(["events"]).spawn()?;
    let begun = wait::until(LIMIT, || {
        ctr.command(["namespaces", "label", "default", "remap.test/probe=1"])
            .check()?;
        Ok(!events.stdout_so_far().is_empty())
    })?;
    ensure!(begun, "ctr events shows nothing");
    Ok(events)
}

fn of_init(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let events = follow(&ctr)?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, "hog")
        .flag(["--memory-limit", "33554432"])
        .shell(HOG)
        .start()?;
    ctr.wait_for("hog", &Status::Stopped, LIMIT)?;
    expect(&events, "hog", "/tasks/oom", 1)?;
    expect(&events, "hog", "/tasks/exit", 1)?;
    ensure!(ctr.delete_task("hog")? == 137, "it was not killed");
    events.kill()?;
    ctr.delete_container("hog")
}

/// A restored container is still watched and measured.
fn after_restore(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let events = follow(&ctr)?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, "restored")
        .flag(["--memory-limit", "33554432"])
        .shell("while :; do sleep 0.1; done")
        .start()?;
    ctr.checkpoint("restored", CHECKPOINT)?;
    ctr.remove("restored")?;
    ctr.restore("restored", CHECKPOINT)?;
    let metrics = ctr.command(["task", "metrics", "restored"]).check()?;
    // Of cgroup v1, or of v2.
    let limit = ["memory.limit_in_bytes", "memory.usage_limit"];
    ensure!(
        limit.iter().any(|figure| metrics.text().contains(figure)),
        "{metrics:?}"
    );
    let before = topics(&events, "restored")
        .iter()
        .filter(|one| *one == "/tasks/oom")
        .count();
    ensure!(before == 0, "an event before there was a reason");
    let hog = ctr.exec("restored", &["sh", "-c", HOG])?;
    ensure!(hog.exit_code() != 0, "{hog:?}");
    // The kernel may end the init as well, if the hog's memory is not free at once.
    expect(&events, "restored", "/tasks/oom", 1)?;
    events.kill()?;
    ctr.remove("restored")?;
    ctr.remove_image(CHECKPOINT)
}
