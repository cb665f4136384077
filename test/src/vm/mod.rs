//! Virtual machines, for what the kernel here does not have: an emulated machine with Debian's
//! kernel, systemd, and nothing but cgroup v2.
//!
//! QEMU emulates the processor too, so it works without KVM, and is ten to thirty times slower than
//! this machine: for what is right, not for figures.

mod channel;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use self::channel::Channel;
use crate::exec::{Output, PATH};
use crate::tree::Tree;
use crate::{cache, wait};

/// What makes a machine, keeps it and removes it; it is run by bash.
const SCRIPT: &str = include_str!("vm.sh");

/// What takes the orders in it.
const AGENT: &str = include_str!("agent.py");

/// Where the agent takes them. QEMU's name for it is in the script.
pub(crate) const PORT: &str = "/dev/virtio-ports/remap";

/// From the start of QEMU until the machine takes orders: half a minute if nothing else runs.
const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// The agent needs this long, at most, to say that a command is over.
const GRACE: Duration = Duration::from_secs(120);

const STOP_LIMIT: Duration = Duration::from_secs(60);

/// So many bytes of a log are in a message.
const SHOWN: usize = 3000;

/// A running machine. It ends, and everything made for it is removed, when this is dropped and also
/// when this process dies in whatever way.
#[derive(Debug)]
pub struct Vm {
    name: String,
    dir: PathBuf,
    /// The pid of QEMU.
    emulator: u32,
    keeper: Child,
    /// The machine lives as long as this is open.
    lifeline: Option<ChildStdin>,
    channel: Channel,
}

impl Vm {
    /// Starts a machine with a copy of `tree` as its root, which must be one of [`Tree::of_machine`],
    /// and with a disk for each directory of `disks`, from `/dev/vdb` on: an ext4 file system with a
    /// copy of the directory, and room. Returns when the machine takes orders.
    ///
    /// # Errors
    /// A program is missing (the message says which package has it), a disk cannot be made, or the
    /// machine does not start; the message ends with what its kernel said. Nothing is left of it.
    pub fn start(tree: &Tree, name: &str, disks: &[&Path]) -> Result<Self> {
        let emulator = Tree::of_qemu()?;
        let mut log = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut keeper = Command::new("bash")
            .args(["-c", SCRIPT, "vm.sh"])
            .arg(cache::dir().join("machines"))
            .arg(name)
            .arg(emulator.root())
            .arg(tree.root())
            .args(disks)
            .env("AGENT", AGENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().context("cannot share a temporary file")?)
            // Ctrl-C in the terminal ends this process; the script then clears up.
            .process_group(0)
            .spawn()
            .context("cannot run bash")?;
        let lifeline = keeper.stdin.take();
        let stdout = keeper.stdout.take().context("the script has no output")?;
        let mut said = String::new();
        BufReader::new(stdout)
            .read_line(&mut said)
            .context("cannot read from the machine's script")?;
        // Nothing, if the script has failed: it says why, and no port is there.
        let (emulator, dir) = said.trim_end().split_once(' ').unwrap_or_default();
        let (emulator, dir) = (emulator.parse().unwrap_or_default(), PathBuf::from(dir));

        let open = || {
            let log = File::create(dir.join("output.log")).context("no log")?;
            Channel::open(&dir.join("port"), log, BOOT_LIMIT)
        };
        let opened = open().map_err(|error| {
            let mut said = String::new();
            // What can be had: the error itself is more important.
            let _ = log.seek(SeekFrom::Start(0));
            let _ = log.read_to_string(&mut said);
            said + &format!("; {error:#}; console: {}", console(&dir))
        });
        match opened {
            Ok(channel) => Ok(Self {
                name: name.to_owned(),
                dir,
                emulator,
                keeper,
                lifeline,
                channel,
            }),
            Err(said) => {
                drop(lifeline);
                end(&mut keeper)?;
                Err(anyhow!("machine {name} does not start: {said}"))
            }
        }
    }

    /// The processor time that the emulator has had, which on a busy machine says more than the clock.
    ///
    /// # Errors
    /// It has ended.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.emulator))?;
        // proc_pid_stat(5): utime and stime are the fields 14 and 15; the second has a closing bracket.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        // USER_HZ is 100 on x86.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Runs a command in the machine as root, with these variables beside `PATH`, `HOME` and `LANG`,
    /// no standard input, and for `limit` (in whole seconds) at most.
    ///
    /// # Errors
    /// There is no such program, or the machine does not answer. The command's own failure is no
    /// error here.
    pub fn run(&mut self, args: &[&str], env: &[(&str, &str)], limit: Duration) -> Result<Output> {
        self.run_heard(args, env, limit, &mut |_| {})
    }

    /// As [`Self::run`]; `hear` is given what the command writes to its standard output and error,
    /// as it comes.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn run_heard(
        &mut self,
        args: &[&str],
        env: &[(&str, &str)],
        limit: Duration,
        hear: &mut dyn FnMut(&[u8]),
    ) -> Result<Output> {
        let usual = [("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")];
        let variables: BTreeMap<&str, &str> = usual.iter().chain(env).copied().collect();
        let command = args.join(" ");
        let started = Instant::now();
        let answer = self
            .channel
            .run(args, &json!(variables), (limit, GRACE), hear)
            .with_context(|| {
                let console = console(&self.dir);
                format!(
                    "machine {} fails at `{command}`; console: {console}",
                    self.name
                )
            })?;
        // wait(2): the exit code is in the second byte.
        let status = match answer.status {
            code @ 0.. => code << 8,
            signal => -signal,
        };
        Ok(Output {
            host: self.name.clone(),
            command,
            status: ExitStatus::from_raw(status),
            stdout: answer.stdout,
            stderr: answer.stderr,
            elapsed: started.elapsed(),
            timed_out: answer.killed,
        })
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Err(error) = end(&mut self.keeper) {
            eprintln!("machine {}: {error:#}", self.name);
        }
    }
}

/// Waits for the script that keeps a machine, which has nothing to wait for any more.
fn end(keeper: &mut Child) -> Result<()> {
    if !wait::for_child(keeper, STOP_LIMIT)? {
        keeper.kill().context("cannot kill the machine's script")?;
    }
    keeper
        .wait()
        .map(drop)
        .context("cannot wait for the machine's script")
}

/// The end of what the kernel and systemd said.
fn console(dir: &Path) -> String {
    let said = fs::read(dir.join("console.log")).unwrap_or_default();
    let tail = said.len().saturating_sub(SHOWN);
    String::from_utf8_lossy(said.get(tail..).unwrap_or_default()).into_owned()
}
