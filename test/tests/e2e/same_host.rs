//! A restore on the host of the checkpoint, over the files that are still there.

use anyhow::{Result, ensure};
use remap_test::{Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("same_host::old_files", old_files).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("same_host::failed_restore", failed_restore).runtimes(&[Runtime::Remap]),
    Scenario::new("same_host::renamed_sockets", renamed_sockets)
        .runtimes(&[Runtime::Remap])
        .full(),
];

const IMAGE: &str = "remap.test/same-host:1";

/// Listens in two directories on sockets that it has renamed, and counts who comes.
const LISTEN: &str = "
import os, select, socket
listeners = []
for directory in ['/dev/shm', '/data']:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(directory + '/s.tmp')
    listener.listen()
    os.rename(directory + '/s.tmp', directory + '/s')
    listeners.append(listener)
open('/ready', 'w').close()
count = 0
while True:
    for listener in select.select(listeners, [], [])[0]:
        client, _ = listener.accept()
        count += 1
        client.send(b'%d %s' % (count, listener.getsockname().encode()))
        client.close()
";

/// Connects to both, and says what they say.
const CONNECT: &str = "
import socket
for directory in ['/dev/shm', '/data']:
    client = socket.socket(socket.AF_UNIX)
    client.connect(directory + '/s')
    print(client.recv(100).decode())
";

/// Changed, removed and added meanwhile: all is as it was when checkpointed.
fn old_files(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "hard-links")?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    disturb(context, &shm)?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Without the container's read-write layer CRIU misses a file, which it notices
/// when the tmpfs has been filled already. That is taken back.
fn failed_restore(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "counter")?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    context.a().shell(&format!(
        "cd {} && ln counter link-a && mkdir folder && mkfifo folder/fifo",
        shm.path()
    ))?;
    disturb(context, &shm)?;

    let contents = shm.contents()?;
    let restore = ctr
        .command(["container", "restore", "--live", ID, IMAGE])
        .run()?;
    let said = restore.error_text();
    ensure!(restore.exit_code() != 0, "the restore succeeds");
    for part in ["phase restore", "counter.log"] {
        ensure!(said.contains(part), "no {part:?} in {said:?}");
    }
    let now = shm.contents()?;
    ensure!(
        now == contents,
        "there was\n{contents}\nand there is\n{now}"
    );
    ctr.remove(ID)?;

    ctr.restore(ID, IMAGE)?;
    let now = workload.expect_same(&ctr, &before)?;
    ensure!(
        now.check("writer", "jumps") == 0,
        "the files are not of the same instant as the process"
    );
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Their names are still there, and lead nowhere; a file has the old one of one of them.
fn renamed_sockets(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let data = format!("{}/data", context.dir()?);
    context.a().shell(&format!("mkdir {data}"))?;
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.bind(shm.path(), "/dev/shm")
        .bind(&data, "/data")
        .args(["python3", "-c", LISTEN])
        .start()?;
    let is_ready = || Ok(ctr.exec(ID, &["test", "-e", "/ready"])?.status.success());
    ensure!(wait::until(LIMIT, is_ready)?, "it does not get ready");
    let answers = || {
        let answer = ctr.exec(ID, &["python3", "-c", CONNECT])?.ok()?;
        anyhow::Ok(answer.text().into_owned())
    };
    let before = answers()?;
    ensure!(
        before == "1 /dev/shm/s.tmp\n2 /data/s.tmp",
        "it says {before:?}"
    );
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    let left = format!("test -S {}/s -a -S {data}/s", shm.path());
    context.a().shell(&left)?;
    context.a().shell(&format!("echo kept >{data}/s.tmp"))?;
    ctr.restore(ID, IMAGE)?;
    let after = answers()?;
    ensure!(
        after == "3 /dev/shm/s\n4 /data/s",
        "after the restore it says {after:?}"
    );
    let kept = context.a().shell(&format!("cat {data}/s.tmp"))?;
    ensure!(kept.text() == "kept", "the file is {:?}", kept.text());
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Changes what is there: contents, names and directories.
fn disturb(context: &Context, shm: &Shm) -> Result<()> {
    context.a().shell(&format!(
        "cd {} && echo changed >>link-a && ln link-a extra-link && \
         echo new >extra && chmod 640 extra && mkdir extra-folder && \
         mv folder extra-folder && ln -s nowhere extra-symlink",
        shm.path()
    ))?;
    Ok(())
}
