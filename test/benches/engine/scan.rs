//! Looking at a container, and deciding.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use remap_engine::bundle::Bundle;
use remap_engine::ownership::Bystanders;
use remap_engine::plan::plan;
use remap_engine::scan::scan;
use serde_json::json;

use crate::{least, memory, ms};

const ROUNDS: u32 = 5;

/// Files of one process, each of which is open and mapped, and processes: 1,000 uses, 10,000, the
/// 20,000 for which there is an aim, and 100,000. (More than 65530 mappings no process may have,
/// `vm.max_map_count`.)
const SIZES: [(usize, usize); 4] = [(500, 1), (5_000, 1), (10_000, 1), (10_000, 5)];

/// A container whose processes have each many files of a carried tmpfs open, and mapped. What a use
/// costs is told in time of the processors, which others on the machine disturb the least.
pub(crate) fn bench() -> Result<()> {
    println!("\nscan and plan; aims: 60 ms for 20,000 uses, linear growth, 400 bytes a use");
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>12} {:>8} {:>12} {:>12}",
        "uses",
        "wall, ms",
        "cpu, ms",
        "scan, ms",
        "us a use",
        "growth",
        "bytes a use",
        "kept a use"
    );
    let mut first = None;
    for (files, processes) in SIZES {
        let dir = tempfile::tempdir()?;
        let mut container = Container::start(dir.path(), files, processes)?;
        let bundle = bundle(dir.path(), &container.mount)?;
        let pid = i32::try_from(container.child.id())?;
        let look = || -> Result<_> {
            let scan = scan(&bundle, pid, &Bystanders::default())?;
            let plan = plan(&scan);
            Ok((scan, plan))
        };
        let (result, peak) = memory::peak(look);
        let (found, planned) = result?;
        let uses = found.uses.len();
        ensure!(uses > 2 * files * processes, "only {uses} uses");
        ensure!(
            planned.files.len() >= files * processes,
            "files are missing"
        );
        drop((found, planned));
        let (kept, _) = memory::kept(look);
        let scanned = least(ROUNDS, || {
            scan(&bundle, pid, &Bystanders::default())
                .map(drop)
                .map_err(Into::into)
        })?;
        let whole = least(ROUNDS, || look().map(drop))?;
        let each = ms(whole.cpu) * 1e3 / uses as f64;
        println!(
            "{uses:>9} {:>10.1} {:>10.1} {:>10.1} {each:>12.2} {:>8.2} {:>12} {:>12}",
            ms(whole.wall),
            ms(whole.cpu),
            ms(scanned.wall),
            each / *first.get_or_insert(each),
            peak / uses,
            kept / uses
        );
        container.end()?;
    }
    Ok(())
}

/// A bundle that binds the tmpfs at `mount`.
fn bundle(dir: &Path, mount: &str) -> Result<Bundle> {
    let bind = json!({
        "destination": mount, "type": "bind", "source": "/run/bench", "options": ["rbind", "rw"],
    });
    let config = json!({"ociVersion": "1.0.2", "mounts": [bind]});
    fs::write(dir.join("config.json"), config.to_string())?;
    Ok(Bundle::load(dir)?)
}

/// Processes that hold files, the first of which has the others as children.
struct Container {
    child: Child,
    mount: String,
}

impl Container {
    fn start(dir: &Path, files: usize, processes: usize) -> Result<Self> {
        let mount = dir.join("mount");
        fs::create_dir(&mount)?;
        let mount = mount.to_str().context("an odd directory")?.to_owned();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["hold", &mount, &files.to_string(), &processes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(said).lines();
        for _ in 0..processes {
            lines.next().context("it has not begun to hold")??;
        }
        Ok(Self { child, mount })
    }

    fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait()?.success(), "it has failed");
        Ok(())
    }
}

/// What a process of the container does until its input ends.
pub(crate) fn hold(dir: &str, count: usize, processes: usize) -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let dir = Path::new(dir);
    if processes > 0 {
        // The first one: a tmpfs that only the container sees.
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(
            Some("bench"),
            dir,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=64m,nr_inodes=0"),
        )?;
    }
    let own = dir.join(std::process::id().to_string());
    fs::create_dir(&own)?;
    let mut files = Vec::with_capacity(count);
    for number in 0..count {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(own.join(format!("a-file-with-a-name-{number}")))?;
        file.set_len(4096)?;
        let length = 4096.try_into()?;
        // SAFETY: a new mapping, which nobody ever looks at.
        unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                &file,
                0,
            )
        }?;
        files.push(file);
    }
    let mut children = Vec::new();
    for _ in 1..processes {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "hold",
            dir.to_str().context("an odd directory")?,
            &count.to_string(),
            "0",
        ]);
        children.push(command.stdin(Stdio::piped()).spawn()?);
    }
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for mut child in children {
        drop(child.stdin.take());
        ensure!(child.wait()?.success(), "a child has failed");
    }
    Ok(())
}
