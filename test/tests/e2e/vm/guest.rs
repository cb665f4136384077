//! The machine: what it needs of this one, and how it runs this program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use remap_test::{Flavour, Tree, Vm, cache, fidelity, shim, wait};

use super::ASKED_FOR_VARIABLE;
use super::report::{self, Outcome};
use super::voice::Voice;
use crate::stage;

/// All scenarios together; they take a few minutes on a machine that does nothing else.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Everything else is done in a moment.
const SHORT_LIMIT: Duration = Duration::from_secs(300);

/// The directory of the programs in the machine, which has room for hosts as well, and its parts.
const PROGRAMS: &str = "/programs";
const PROGRAM: &str = "e2e";
const SHIM: &str = "containerd-shim-remap-v2";
const FIDELITY: &str = "remap-fidelity";
const SOURCES: &str = "sources";
const WORKLOADS: &str = "workloads";
const CACHE: &str = "/programs/cache";

/// The test of the machine itself, which is no scenario of the program there.
pub(super) const COMMANDS: &str = "commands";

/// Makes the machine ready. `$1` is the name of the hosts' tree, `$2` where the tests' sources are on
/// the machine that built them.
///
/// `nsdelegate`, which systemd sets, keeps processes out of a namespace's cgroups that are not in them
/// already (admin-guide/cgroup-v2.rst), as are the commands for a host. forky's pivot_root(8) is in no
/// package that is installed.
const PREPARE: &str = r#"set -e
mkdir -p /programs && mount /dev/vdb /programs
mkdir -p "/programs/cache/trees/$1" && mount -o ro /dev/vdc "/programs/cache/trees/$1"
mkdir -p "$(dirname "$2")" && ln -s /programs/sources "$2"
mount -t cgroup2 -o remount,memory_recursiveprot cgroup2 /sys/fs/cgroup
command -v pivot_root >/dev/null || ln -s /bin/busybox /usr/local/sbin/pivot_root
cat /sys/fs/cgroup/cgroup.controllers
"#;

/// Runs the scenarios in a machine of `flavour`; returns what came of those that have ended.
pub(super) fn perform(flavour: Flavour, names: &[String]) -> Result<BTreeMap<String, Outcome>> {
    let tree = Tree::prepare(flavour)?;
    let programs = programs()?;
    let machine = Tree::of_machine(flavour)?;
    let disks = [programs.path(), tree.root()];
    let mut vm = Vm::start(&machine, &flavour.to_string(), &disks)?;
    let name = tree.root().file_name().and_then(|name| name.to_str());
    let name = name.context("a tree without a name")?;
    let sources = env!("CARGO_MANIFEST_DIR");
    let prepare = ["sh", "-c", PREPARE, "sh", name, sources];
    let output = vm.run(&prepare, &[], SHORT_LIMIT)?.ok()?;
    let controllers = output.text();
    ensure!(
        ["memory", "pids", "cpu"]
            .iter()
            .all(|one| controllers.contains(one)),
        "cgroup v2 has no controllers but {controllers:?}"
    );

    let commands = format!("{flavour}::{COMMANDS}");
    let mut outcomes = BTreeMap::new();
    if names.contains(&commands) {
        let outcome = match commands_work(&mut vm) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        outcomes.insert(commands, outcome);
    }

    let path = |name: &str| format!("{PROGRAMS}/{name}");
    let mut voice = Voice::new(flavour);
    let output = vm.run_heard(
        &[&path(PROGRAM), "--test-threads=1"],
        &[
            (ASKED_FOR_VARIABLE, &names.join(" ")),
            ("REMAP_TEST_FULL", "1"),
            (cache::CACHE_VARIABLE, CACHE),
            (wait::PATIENCE_VARIABLE, "10"),
            (shim::BINARY_VARIABLE, &path(SHIM)),
            (fidelity::BINARY_VARIABLE, &path(FIDELITY)),
        ],
        LIMIT,
        &mut |text| voice.say(text),
    )?;
    let took = (output.elapsed.as_secs(), vm.processor_time()?.as_secs());
    let (seconds, of_processor) = took;
    eprintln!("{flavour} machine: {seconds} s; with its start {of_processor} s of processor time");
    outcomes.extend(report::read(&output.text()));
    for name in names {
        outcomes.entry(name.clone()).or_insert_with(|| {
            let told = (output.exit_code(), output.timed_out, output.error_text());
            Outcome::Failed(format!("it did not come to an end: {told:?}"))
        });
    }
    if !output.status.success() {
        let logs = save_logs(&mut vm, flavour)?;
        for outcome in outcomes.values_mut() {
            if let Outcome::Failed(why) = outcome {
                let logs = logs.display();
                *why += &format!("(what is said to be in {CACHE}/logs is now in {logs})");
            }
        }
    }
    Ok(outcomes)
}

/// What a command says and how it ends comes back as it is, whatever it is.
fn commands_work(vm: &mut Vm) -> Result<()> {
    let mut run = |args: &[&str], limit| vm.run(args, &[("GREETING", "a  'b' \"c\"\n")], limit);
    let line = r#"printf %s "$GREETING$1"; printf '\377\000' >&2; exit 3"#;
    let output = run(&["sh", "-c", line, "sh", " $(d) *"], SHORT_LIMIT)?;
    ensure!(
        output.stdout == b"a  'b' \"c\"\n $(d) *" && output.stderr == [0xff, 0],
        "{output:?}"
    );
    ensure!(output.exit_code() == 3, "{output:?}");
    let output = run(&["sh", "-c", "kill -TERM $$"], SHORT_LIMIT)?;
    ensure!(output.exit_code() == 143, "{output:?}");
    let line = "echo begun; sleep 600 & sleep 600";
    let output = run(&["sh", "-c", line], Duration::from_secs(2))?;
    ensure!(output.timed_out && output.text() == "begun", "{output:?}");
    let error = run(&["no-such-program"], SHORT_LIMIT).err();
    let error = error.context("there is such a program")?;
    ensure!(
        format!("{error:#}").contains("no-such-program"),
        "{error:#}"
    );
    let output = run(&["echo", "still there"], SHORT_LIMIT)?;
    ensure!(output.text() == "still there", "{output:?}");
    Ok(())
}

/// What goes onto the first disk.
fn programs() -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
    let shim = stage::shim_binary()?;
    let own = env::current_exe().context("this program has no path")?;
    let tool = shim.with_file_name(shim::TOOL);
    for (name, from) in [
        (PROGRAM, &own),
        (SHIM, &shim),
        (shim::TOOL, &tool),
        (FIDELITY, &fidelity::program()?),
    ] {
        strip(from, &dir.path().join(name))?;
    }
    let sources = dir.path().join(SOURCES);
    fs::create_dir(&sources).context("cannot make a directory")?;
    let workloads = Path::new(env!("CARGO_MANIFEST_DIR")).join(WORKLOADS);
    let copy = Command::new("cp")
        .arg("-r")
        .arg(&workloads)
        .arg(&sources)
        .status();
    let status = copy.context("cannot run cp")?;
    ensure!(status.success(), "cannot copy {}", workloads.display());
    Ok(dir)
}

/// Copies a program without what is only for debuggers, nine tenths of it, which the machine would have
/// to copy again for each host.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let strip = Command::new("strip").arg("-o").arg(to).arg(from).output();
    let output =
        strip.context("cannot run strip, which comes with a compiler: install binutils")?;
    ensure!(
        output.status.success(),
        "strip cannot copy {}: {}",
        from.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Brings the logs of failures to this machine; returns their directory.
fn save_logs(vm: &mut Vm, flavour: Flavour) -> Result<PathBuf> {
    let pack = ["tar", "-C", CACHE, "-cf", "-", "logs"];
    let archive = vm.run(&pack, &[], SHORT_LIMIT)?;
    let logs = cache::dir().join("logs");
    let dir = tempfile::Builder::new()
        .prefix(&format!("{flavour}-vm-"))
        .tempdir_in(&logs)
        .with_context(|| format!("cannot make a directory in {}", logs.display()))?
        .keep();
    tar::Archive::new(archive.stdout.as_slice())
        .unpack(&dir)
        .context("cannot unpack the logs")?;
    Ok(dir)
}
