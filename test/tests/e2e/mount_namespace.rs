//! Mount namespaces within a container.

use anyhow::{Context as _, Result, ensure};
use remap_test::{Ctr, Runtime};

use crate::context::Context;
use crate::obstacles::holder::{self, Container, Holder};
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::ID;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::new("mount_namespace::comes_back", comes_back)
        .runtimes(&[Runtime::Remap, Runtime::DropIn])];

const IMAGE: &str = "remap.test/mount-namespace:1";

/// Large files without names are ghosts there, too, and names that are gone are carried.
fn comes_back(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let dir = context.dir()?;
    let container = Container::start(context, &dir, |run| run.bind(shm.path(), "/dev/shm"))?;
    let holders = container.add(&["namespace-mount-copy", "namespace-mount-own"])?;
    let before = contents(&ctr, &holders)?;
    ensure!(before.lines().count() == 3, "not three files: {before}");
    let names = shm.names()?;
    holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    container.expect(&holders)?;
    let now = contents(&ctr, &holders)?;
    ensure!(
        now == before,
        "there was\n{before}\nand now there is\n{now}"
    );
    shm.expect_names(&names)?;
    let one = holders.first().context("there is none")?;
    let line = format!(
        "stat -L -c %i /proc/{}/fd/* /dev/shm/second | sort | uniq -d",
        one.pid
    );
    let twice = ctr.exec(ID, &["sh", "-c", &line])?.ok()?;
    let inode = ctr
        .exec(ID, &["stat", "-c", "%i", "/dev/shm/second"])?
        .ok()?;
    let is_same = twice.text().lines().any(|line| line == inode.text());
    ensure!(is_same, "the linked file has become another one");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// A line for each deleted file: its name, links, size and checksum.
fn contents(ctr: &Ctr, holders: &[Holder]) -> Result<String> {
    let pids = holders.iter().map(|holder| &*holder.pid);
    let pids = pids.collect::<Vec<_>>().join(" ");
    let line = format!(
        "for p in {pids}; do for f in /proc/$p/fd/*; do n=$(readlink $f); case $n in *deleted*) echo \"$n $(stat -L -c '%h %s' $f) $(sha256sum <$f)\";; esac; done; done"
    );
    let said = ctr.exec(ID, &["sh", "-c", &line])?.ok()?;
    Ok(said.text().into_owned())
}
