//! A container with a terminal (`ctr run -t`).

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use remap_test::exec::Background;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Host, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::stock::expect_in_log;
use crate::workload::{ID, LIMIT};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("terminal::moves", |context| moves(context, &[])),
    Scenario::new("terminal::shell_job", |context| {
        moves(context, &["--annotation", "io.remap.shell-job=true"])
    })
    .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("terminal::of_session", of_session),
    Scenario::new("terminal::of_host", of_host),
];

const IMAGE: &str = "remap.test/terminal:1";

/// Runs `argv[2:]` in a terminal, and writes to the file `argv[1]` what comes out of it. What is
/// written to the file with `.in` after its name goes in. The terminal gets the size that is in the
/// one with `.size`: lines and columns.
const IN_TERMINAL: &str = "\
import fcntl, os, pty, select, struct, sys, termios
name = sys.argv[1]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
with open(name, 'wb', buffering=0) as output:
    while True:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                output.write(os.read(terminal, 4096))
            except OSError:
                break
        if os.path.exists(name + '.in'):
            with open(name + '.in', 'rb') as text:
                os.write(terminal, text.read())
            os.unlink(name + '.in')
        if os.path.exists(name + '.size'):
            with open(name + '.size') as text:
                size = [int(number) for number in text.read().split()]
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', *size, 0, 0))
            os.unlink(name + '.size')
";

/// Counts, and says what it reads.
const WORKLOAD: &str =
    "i=0; while :; do i=$((i+1)); echo $i; read -t 1 line && echo \"said $line\"; done";

/// A client and its terminal, on a host.
struct Terminal<'h> {
    host: &'h Host,
    process: Background,
    output: String,
}

impl<'h> Terminal<'h> {
    fn start(host: &'h Host, output: String, ctr: &[&str]) -> Result<Self> {
        let command = host.command("python3").args(["-c", IN_TERMINAL, &output]);
        let process = command.arg("ctr").args(ctr).spawn()?;
        Ok(Self {
            host,
            process,
            output,
        })
    }

    fn path(&self) -> PathBuf {
        self.host.path(&self.output)
    }

    fn text(&self) -> String {
        let bytes = std::fs::read(self.path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last number in whole lines.
    fn count(&self) -> u64 {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut numbers = whole
            .lines()
            .rev()
            .filter_map(|line| line.trim().parse().ok());
        numbers.next().unwrap_or(0)
    }

    /// It counts on, and answers.
    fn expect_answer(&self, word: &str) -> Result<u64> {
        let first = self.count();
        let on = wait::until(LIMIT, || Ok(self.count() > first + 1))?;
        ensure!(on, "nothing comes after {first}: {}", self.text());
        self.host
            .write_file(&format!("{}.in", self.output), format!("{word}\n"))?;
        let answer = format!("said {word}");
        let heard = wait::until(LIMIT, || Ok(self.text().contains(&answer)))?;
        ensure!(heard, "no answer to {word}: {}", self.text());
        Ok(self.count())
    }
}

/// A container whose terminal has the size of its client's, also after that has changed.
fn expect_size(ctr: &Ctr, terminal: &Terminal, size: &str) -> Result<()> {
    let path = format!("{}.size", terminal.output);
    // Renamed: it is read as soon as it is there.
    terminal.host.write_file(&format!("{path}.new"), size)?;
    terminal
        .host
        .command("mv")
        .args([format!("{path}.new"), path])
        .check()?;
    let mut seen = String::new();
    let fits = wait::until(LIMIT, || {
        let output = ctr.exec(ID, &["sh", "-c", "stty size </proc/1/fd/0"])?;
        seen = output.text().into_owned();
        Ok(seen == size)
    })?;
    ensure!(fits, "the terminal has {seen}, not {size}");
    Ok(())
}

/// It goes on counting in its terminal after a checkpoint, and in another one after a restore, on
/// another host. That of the restore is the client's again, so that nothing else is to be allowed.
pub(crate) fn moves(context: &Context, flags: &[&str]) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (archive, output) = (format!("{dir}/checkpoint.tar"), format!("{dir}/output"));
    let run = ["run", "--runtime", context.runtime().name(), "-t"];
    let workload = [BUSYBOX_IMAGE, ID, "sh", "-c", WORKLOAD];
    let run = run.iter().chain(flags).chain(&workload).copied();
    let terminal = Terminal::start(a.host(), output.clone(), &run.collect::<Vec<_>>())?;
    let last = terminal.expect_answer("one")?;
    expect_size(&a, &terminal, "33 77")?;
    a.checkpoint(ID, IMAGE)?;
    ensure!(terminal.expect_answer("two")? > last, "it has not gone on");
    a.kill(ID, "KILL")?;
    // The client deletes the task when it ends.
    terminal.process.finish(LIMIT)?;
    a.remove(ID)?;

    a.export_checkpoint(IMAGE, &archive)?;
    a.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    b.import_checkpoint(&archive)?;
    let restore = ["container", "restore", "--rw", "--live", ID, IMAGE];
    let terminal = Terminal::start(b.host(), output, &restore)?;
    let now = terminal.expect_answer("three").context("restored")?;
    ensure!(now > last, "it begins again: {now}");
    expect_size(&b, &terminal, "44 88").context("restored")?;
    let there = b.exec(ID, &["sh", "-c", "[ -t 0 ] </proc/1/fd/0"])?;
    ensure!(there.exit_code() == 0, "it has no terminal");
    b.kill(ID, "KILL")?;
    terminal.process.finish(LIMIT)?;
    b.remove(ID)?;
    b.remove_image(IMAGE)
}

/// A child has opened its session's terminal as `/dev/tty`. CRIU fails in the middle; refused.
fn of_session(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let output = format!("{}/output", context.dir()?);
    let line = format!("sleep 1000 3</dev/tty & {WORKLOAD}");
    let run = ["run", "--runtime", context.runtime().name(), "-t"];
    let run = [&run[..], &[BUSYBOX_IMAGE, ID, "sh", "-c", &line]].concat();
    let terminal = Terminal::start(ctr.host(), output, &run)?;
    terminal.expect_answer("one")?;
    let error = ctr.checkpoint(ID, IMAGE).err();
    let error = error.context("it is dumped")?.to_string();
    if context.runtime().is_ours() {
        for part in ["phase plan", "/dev/tty", "(sleep) by fd 3"] {
            ensure!(error.contains(part), "no {part:?} in {error}");
        }
    } else {
        expect_in_log(&ctr, "criu-dump.log", &["ctty inheritance detected"])?;
    }
    terminal.expect_answer("two")?;
    ctr.kill(ID, "KILL")?;
    terminal.process.finish(LIMIT)?;
    ctr.remove(ID)
}

/// Holds a terminal, and writes its name to the file `argv[1]`.
const HOLDER: &str = "\
import os, signal, sys
master, slave = os.openpty()
with open(sys.argv[1] + '.new', 'w') as file:
    file.write(os.ttyname(slave))
os.rename(sys.argv[1] + '.new', sys.argv[1])
signal.pause()
";

/// One that a process of the host has the other end of: CRIU dumps it, and no restore works. Refused,
/// whatever is allowed, and fine when it is closed.
fn of_host(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let name = format!("{}/name", context.dir()?);
    let holder = ctr.host().command("python3");
    let holder = holder.args(["-c", HOLDER, &name]).spawn()?;
    let path = ctr.host().path(&name);
    ensure!(wait::until(LIMIT, || Ok(path.exists()))?, "no terminal");
    let terminal = std::fs::read_to_string(path)?;
    let mount = format!("type=bind,src={terminal},dst=/terminal,options=bind:rw");
    let line = "exec 5<>/terminal; touch /ready; while [ ! -e /close ]; do sleep 0.1; done; \
                exec 5>&-; touch /closed; while :; do sleep 0.1; done";
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, ID).mount(&mount);
    let run = run.annotation("io.remap.shell-job", "true");
    run.shell(line).start()?;
    let wait_for = |file: &str| -> Result<()> {
        let there = || Ok(ctr.exec(ID, &["test", "-e", file])?.exit_code() == 0);
        ensure!(wait::until(LIMIT, there)?, "there is no {file}");
        Ok(())
    };
    wait_for("/ready")?;
    let checkpoint = ctr.checkpoint(ID, IMAGE);
    if context.runtime().is_ours() {
        let error = checkpoint.err().context("it is dumped")?.to_string();
        for part in ["phase plan", "a terminal of the host's", "by fd 5"] {
            ensure!(error.contains(part), "no {part:?} in {error}");
        }
        ctr.exec(ID, &["touch", "/close"])?.ok()?;
        wait_for("/closed")?;
        ctr.checkpoint(ID, IMAGE)?;
    } else {
        checkpoint?;
        ctr.remove(ID)?;
        ensure!(ctr.restore(ID, IMAGE).is_err(), "it is restored");
        expect_in_log(&ctr, "work/restore.log", &["Can't open ptmx"])?;
    }
    ctr.remove(ID)?;
    holder.kill()?;
    ctr.remove_image(IMAGE)
}
