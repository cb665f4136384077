//! A container that cannot be frozen: it goes on, and the error says which task is in the way.

use anyhow::{Context as _, Result, ensure};
use remap_test::{Background, Host, Runtime, wait};

use crate::context::Context;
use crate::fuse;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::stock::expect_in_log;
use crate::workload::{ID, LIMIT, Workload, wait_until_ready};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("freeze::fuse", fuse).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("freeze::vfork", vfork),
    Scenario::new("freeze::spawns", spawns).runtimes(&[Runtime::Remap]),
];

const IMAGE: &str = "remap.test/freeze:1";

/// The annotation that limits the time.
const SECONDS: &str = "io.remap.freeze-timeout-seconds";

/// Where the container has the file system.
const MOUNT: &str = "/fuse";

/// Makes a child that opens a FIFO before it runs a program, which it then can when somebody reads.
const SPAWN: &str = "\
import os, time
os.mkfifo('/fifo')
os.makedirs('/workload-state')
open('/workload-state/ready', 'w').close()
actions = [(os.POSIX_SPAWN_OPEN, 1, '/fifo', os.O_WRONLY, 0)]
os.posix_spawn('/bin/true', ['true'], {}, file_actions=actions)
open('/spawned', 'w').close()
while True:
    time.sleep(1)
";

/// A task that waits in vfork(2) freezes, but CRIU cannot stop it: with the stock shim its own time
/// limit ends that, with ours it is refused at once.
fn vfork(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.args(["python3", "-c", SPAWN]).start()?;
    wait_until_ready(&ctr)?;
    let line = "ps -eo stat,args | grep -q '^D.*python3'";
    let waits = || {
        Ok(context
            .a()
            .command("sh")
            .args(["-c", line])
            .run()?
            .exit_code()
            == 0)
    };
    ensure!(wait::until(LIMIT, waits)?, "it does not wait for its child");
    let error = ctr.checkpoint(ID, IMAGE).err();
    let error = error.context("CRIU can stop the task")?.to_string();
    if context.runtime().is_ours() {
        for part in ["phase plan", "waits for a child", "(python3)"] {
            ensure!(error.contains(part), "no {part:?} in {error}");
        }
    } else {
        expect_in_log(&ctr, "criu-dump.log", &["Timeout reached"])?;
    }
    ctr.exec(ID, &["cat", "/fifo"])?.ok()?;
    let on = || Ok(ctr.exec(ID, &["test", "-e", "/spawned"])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, on)?, "it does not go on");
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Runs programs again and again, some at a time.
const SPAWNS: &str = "\
import os, threading
def spawn():
    while True:
        os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
threads = [threading.Thread(target=spawn) for _ in range(4)]
for thread in threads:
    thread.start()
os.makedirs('/workload-state')
open('/workload-state/ready', 'w').close()
";

/// With a program that makes children all the time each checkpoint works: it is frozen between two.
fn spawns(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.args(["python3", "-c", SPAWNS]).start()?;
    wait_until_ready(&ctr)?;
    for attempt in 1..=8 {
        ctr.clone()
            .without_plan("a plan made while it runs may see a child that is not there any more")
            .checkpoint(ID, IMAGE)
            .with_context(|| format!("attempt {attempt}"))?;
        ctr.remove_image(IMAGE)?;
    }
    ctr.remove(ID)
}

/// A task waits for a FUSE server that does not answer: the kernel cannot freeze it
/// (`request_wait_answer`).
fn fuse(context: &Context) -> Result<()> {
    let (ctr, dir) = (context.ctr(), context.dir()?);
    let server = Server::start(context.a(), &dir)?;
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start_by(context, &shm, "sem-creator-first", |run| {
        run.annotation(SECONDS, "2").bind(&server.mount, MOUNT)
    })?;
    let line = format!("setsid cat {MOUNT}/file </dev/null >/dev/null 2>&1 &");
    ctr.exec(ID, &["sh", "-c", &line])?.ok()?;
    server.wait_for_reader()?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;

    let error = ctr
        .clone()
        .without_plan("a task that cannot be frozen")
        .checkpoint(ID, IMAGE)
        .err()
        .context("it can be frozen")?
        .to_string();
    for part in ["within 2 s", "(cat)", "FUSE", SECONDS] {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    // Where cgroup v2 has those that are frozen.
    ensure!(
        !error.contains("get_signal"),
        "frozen tasks are named: {error}"
    );
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;

    server.answer()?;
    let gone = || Ok(!String::from_utf8_lossy(&ctr_ps(context)?).contains("cat /fuse"));
    ensure!(wait::until(LIMIT, gone)?, "the reader does not end");
    ctr.checkpoint(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)?;
    server.stop()
}

/// What runs on host a.
fn ctr_ps(context: &Context) -> Result<Vec<u8>> {
    Ok(context
        .a()
        .command("ps")
        .args(["-eo", "args"])
        .check()?
        .stdout)
}

/// A FUSE server on a host.
struct Server<'h> {
    host: &'h Host,
    dir: String,
    mount: String,
    process: Background,
}

impl<'h> Server<'h> {
    fn start(host: &'h Host, dir: &str) -> Result<Self> {
        let script = fuse::install(host, dir, "fuse_server.py")?;
        let mount = format!("{dir}/mount");
        host.command("mkdir").arg(&mount).check()?;
        let command = host.command("python3").args([&script, &mount, dir]);
        let server = Self {
            host,
            dir: dir.to_owned(),
            process: command.spawn()?,
            mount,
        };
        let mounted = || {
            let found = host
                .command("mountpoint")
                .args(["-q", &server.mount])
                .run()?;
            Ok(found.status.success())
        };
        ensure!(
            wait::until(LIMIT, mounted)?,
            "the FUSE server does not mount"
        );
        Ok(server)
    }

    fn wait_for_reader(&self) -> Result<()> {
        let reading = self.host.path(format!("{}/reading", self.dir));
        ensure!(
            wait::until(LIMIT, || Ok(reading.exists()))?,
            "nobody reads the file"
        );
        Ok(())
    }

    fn answer(&self) -> Result<()> {
        self.host.write_file(&format!("{}/answer", self.dir), "")
    }

    fn stop(self) -> Result<()> {
        self.host.command("umount").arg(&self.mount).check()?;
        self.process.finish(LIMIT)?.ok()?;
        Ok(())
    }
}
