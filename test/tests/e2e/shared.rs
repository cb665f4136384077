//! A tmpfs that others use as well, as that of a pod: a container takes its own files along, and
//! leaves theirs alone.

use anyhow::{Result, ensure};
use remap_test::{Background, Ctr, Host, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("shared::semaphores", |context| {
        beside_others(context, "sem-creator-first")
    })
    .runtimes(REMAP),
    Scenario::new("shared::hard_links", |context| {
        beside_others(context, "hard-links")
    })
    .runtimes(REMAP),
    Scenario::new("shared::unlinked", |context| {
        beside_others(context, "unlinked-only")
    })
    .runtimes(REMAP),
    Scenario::new("shared::pod", pod).runtimes(REMAP),
    Scenario::new("shared::rollback", rollback).runtimes(REMAP),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

/// The other container of a pod.
const SECOND: &str = "second";

/// There and back, beside a process of the host's on either host.
fn beside_others(context: &Context, name: &'static str) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let neighbours = [
        Neighbour::start(context.a(), &a_shm)?,
        Neighbour::start(context.b(), &b_shm)?,
    ];
    let workload = Workload::start(context, &a_shm, name)?;
    let before = workload.probe(&a)?;

    move_container(context, &dir, ID, &a, &b)?;
    workload.expect_same(&b, &before)?;
    b_shm.expect_no_leftovers()?;
    // What is left of the container there, its user has to remove.
    a_shm.clear_but("neighbour")?;
    move_container(context, &dir, ID, &b, &a)?;
    workload.expect_same(&a, &before)?;
    a_shm.expect_no_leftovers()?;
    a.remove(ID)?;
    neighbours.into_iter().try_for_each(Neighbour::expect_same)
}

/// On the host of the checkpoint, where the container has left its files and changed them.
fn rollback(context: &Context) -> Result<()> {
    const IMAGE: &str = "remap.test/rolled-back:1";
    let (a, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    let neighbour = Neighbour::start(context.a(), &shm)?;
    let workload = Workload::start(context, &shm, "hard-links")?;
    let before = workload.probe(&a)?;
    let names = shm.names()?;
    a.checkpoint(ID, IMAGE)?;
    a.remove(ID)?;
    context
        .a()
        .shell(&format!("cd {} && echo changed >>link-a", shm.path()))?;
    a.restore(ID, IMAGE)?;
    workload.expect_same(&a, &before)?;
    shm.expect_names(&names)?;
    a.remove(ID)?;
    a.remove_image(IMAGE)?;
    neighbour.expect_same()
}

/// Two containers with one tmpfs, each with a file that has lost the name by which it is open: CRIU
/// gives both the same new one. They move one after the other.
fn pod(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let workload = Workload::start(context, &a_shm, "sem-creator-first")?;
    let count = "cd /dev/shm && exec 3<>count && ln count also-count && rm count && cd / && \
                 while :; do echo x >&3; echo x >>/seen; [ /proc/self/fd/3 -ef /dev/shm/also-count ] || exit; \
                 sleep 0.1; done";
    a.run(context.runtime(), context.python()?, SECOND)
        .bind(a_shm.path(), "/dev/shm")
        .args(["sh", "-c", count])
        .start()?;
    let lines = |ctr: &Ctr| {
        let output = ctr
            .exec(SECOND, &["wc", "-l", "/dev/shm/also-count"])?
            .ok()?;
        let text = output.text();
        let lines = text.split_whitespace().next().unwrap_or_default();
        Ok(lines.parse::<u64>()?)
    };
    let counts = |ctr: &Ctr, from: u64| {
        let more = wait::until(LIMIT, || Ok(lines(ctr).is_ok_and(|now| now > from)))?;
        ensure!(more, "{SECOND} does not count on from {from}");
        lines(ctr)
    };
    let seen = counts(&a, 0)?;
    // Its own names, without those of the other container.
    let before = workload.probe(&a)?;

    move_container(context, &dir, ID, &a, &b)?;
    let seen = counts(&a, seen)?;
    // What is left of the first, of which nobody knows whose it is.
    a_shm.clear_but("also-count")?;
    move_container(context, &dir, SECOND, &a, &b)?;
    counts(&b, seen)?;
    let both = b_shm.names()?;
    ensure!(both.contains("also-count"), "there is only {both}");
    // The size of the other's file has changed, and nothing else.
    let now = workload.probe(&b)?;
    let (old, new) = (before.uses(), now.uses());
    ensure!(old == new, "it had {old} and has {new}");
    b_shm.expect_no_leftovers()?;
    b.remove(ID)?;
    b.remove(SECOND)
}

/// Moves the container `id`, and leaves what it had on the tmpfs.
fn move_container(context: &Context, dir: &str, id: &str, from: &Ctr, to: &Ctr) -> Result<()> {
    const IMAGE: &str = "remap.test/shared:1";
    let archive = format!("{dir}/checkpoint.tar");
    from.checkpoint(id, IMAGE)?;
    from.remove(id)?;
    from.export_checkpoint(IMAGE, &archive)?;
    from.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(from.host(), &archive, to.host(), &archive)?;
    to.import_checkpoint(&archive)?;
    to.restore(id, IMAGE)?;
    to.remove_image(IMAGE)
}

/// A process of a host that has a file on the tmpfs open.
struct Neighbour<'s, 'h> {
    shm: &'s Shm<'h>,
    process: Background,
    identity: String,
}

impl<'s, 'h> Neighbour<'s, 'h> {
    fn start(host: &'h Host, shm: &'s Shm<'h>) -> Result<Self> {
        let path = shm.file("neighbour");
        let line = format!("exec 9>{path} && echo theirs >&9 && exec sleep 600");
        let process = host.command("sh").args(["-c", &line]).spawn()?;
        let written = || Ok(host.read_file(&path).is_ok_and(|text| text == b"theirs\n"));
        ensure!(wait::until(LIMIT, written)?, "the neighbour does not come");
        Ok(Self {
            identity: identity(shm)?,
            shm,
            process,
        })
    }

    fn expect_same(self) -> Result<()> {
        ensure!(self.process.is_running()?, "the neighbour has ended");
        let now = identity(self.shm)?;
        ensure!(now == self.identity, "{} became {now}", self.identity);
        self.process.kill()?;
        Ok(())
    }
}

/// The neighbour's file: its inode, size and contents.
fn identity(shm: &Shm) -> Result<String> {
    let path = shm.file("neighbour");
    let line = format!("stat -c '%i %s %Y' {path} && cat {path}");
    Ok(shm.host().shell(&line)?.text().into_owned())
}
