//! The containerd that runs here.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::lookup;

/// What the kernel adds to the name of a program that was replaced while it runs.
const DELETED: &[u8] = b" (deleted)";

/// Where containerd makes temporary directories, if its environment does not say (Go's `os.TempDir`).
const TEMPORARY: &str = "/tmp";

/// The unit of times in `/proc` (`USER_HZ` of Linux, on the architectures that this is built for).
const TICKS_PER_SECOND: u64 = 100;

/// A containerd, as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Containerd {
    /// Its process.
    pub(crate) pid: u32,
    /// Its program; what is there now may be another.
    pub(crate) program: PathBuf,
    /// The program was replaced since it began.
    pub(crate) replaced: bool,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// Its `PATH`: where it looks for shims, and they for runc and CRIU.
    pub(crate) path: Option<OsString>,
    /// Where it makes temporary directories.
    pub(crate) temporary: PathBuf,
    /// The configuration file that its command line names.
    pub(crate) config: Option<PathBuf>,
    /// When it began, to the second.
    pub(crate) started: SystemTime,
}

/// Why there is not one containerd to be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Choice {
    /// None runs.
    #[error(
        "containerd does not run, so that nobody knows where it finds its programs: systemctl start containerd"
    )]
    None,
    /// Several run.
    #[error("several containerds run: processes {}; choose one with --containerd", list(.0))]
    Several(Vec<u32>),
    /// The one that is named is none.
    #[error("process {0} is no containerd, or has another root directory")]
    Other(u32),
    /// There is no `/proc`.
    #[error("/proc cannot be read: {0}")]
    Proc(io::Error),
}

fn list(pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    pids.join(", ")
}

/// The one that runs, or of several `wanted`.
///
/// # Errors
/// There is not exactly one.
pub(crate) fn choose(wanted: Option<u32>) -> Result<Containerd, Choice> {
    if let Some(pid) = wanted {
        return read(pid).ok().flatten().ok_or(Choice::Other(pid));
    }
    let all = find().map_err(Choice::Proc)?;
    match &all[..] {
        [] => Err(Choice::None),
        [one] => Ok(one.clone()),
        all => Err(Choice::Several(all.iter().map(|one| one.pid).collect())),
    }
}

/// All that run in this process's view, the one with the lowest number first. What cannot be read is
/// left out: without root that is all of another user.
///
/// # Errors
/// There is no `/proc`.
pub(crate) fn find() -> io::Result<Vec<Containerd>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name();
        let pid = pid.to_str().and_then(|name| name.parse().ok());
        all.extend(pid.and_then(|pid| read(pid).ok().flatten()));
    }
    all.sort_by_key(|one| one.pid);
    Ok(all)
}

/// The process `pid`; `None` if it is no containerd, or one of another root, as in a container: what is
/// found here says nothing of what that one finds.
///
/// # Errors
/// It is gone, or may not be asked.
pub(crate) fn read(pid: u32) -> io::Result<Option<Containerd>> {
    let proc = Path::new("/proc").join(pid.to_string());
    let link = fs::read_link(proc.join("exe"))?.into_os_string().into_vec();
    let (program, replaced) = match link.strip_suffix(DELETED) {
        Some(program) => (program, true),
        None => (&link[..], false),
    };
    let program = PathBuf::from(OsStr::from_bytes(program));
    if program.file_name() != Some(OsStr::new("containerd")) {
        return Ok(None);
    }
    if !lookup::is_same(&proc.join("root"), Path::new("/")) {
        return Ok(None);
    }
    let environment = fs::read(proc.join("environ"))?;
    let arguments = fs::read(proc.join("cmdline"))?;
    let temporary = variable(&environment, b"TMPDIR=").filter(|dir| !dir.is_empty());
    Ok(Some(Containerd {
        pid,
        program,
        replaced,
        directory: fs::read_link(proc.join("cwd"))?,
        path: variable(&environment, b"PATH="),
        temporary: temporary.map_or_else(|| TEMPORARY.into(), PathBuf::from),
        config: config(&arguments),
        started: started(&fs::read(proc.join("stat"))?, &fs::read("/proc/stat")?),
    }))
}

/// The last value of a variable, as Go's `os.Getenv` takes the first: there is one only.
fn variable(environment: &[u8], name: &[u8]) -> Option<OsString> {
    let mut all = environment.split(|&byte| byte == 0);
    let value = all.find_map(|one| one.strip_prefix(name))?;
    Some(OsString::from_vec(value.to_vec()))
}

/// `-c FILE`, `--config FILE`, and both with `=`.
fn config(arguments: &[u8]) -> Option<PathBuf> {
    let mut arguments = arguments.split(|&byte| byte == 0).skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.strip_prefix(b"-")?;
        let name = name.strip_prefix(b"-").unwrap_or(name);
        let mut parts = name.splitn(2, |&byte| byte == b'=');
        if !matches!(parts.next(), Some(b"c" | b"config")) {
            continue;
        }
        let value = parts.next().or_else(|| arguments.next())?;
        return Some(OsStr::from_bytes(value).into());
    }
    None
}

/// The 22nd field of `/proc/PID/stat`, in ticks since the boot, of which `btime` in `/proc/stat` has the
/// time (proc_pid_stat(5)). The epoch if that cannot be read: then all is newer.
fn started(stat: &[u8], system: &[u8]) -> SystemTime {
    let after_name = stat.rsplit(|&byte| byte == b')').next().unwrap_or_default();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let ticks = std::str::from_utf8(after_name).unwrap_or_default();
    let ticks = number(ticks.split_ascii_whitespace().nth(19)).unwrap_or_default();
    let boot = String::from_utf8_lossy(system);
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "));
    let boot = number(boot).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(boot + ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_a_configuration_or_none() {
        let of = |line: &str| config(line.replace(' ', "\0").as_bytes());
        let expected = Some(PathBuf::from("/x.toml"));
        for line in [
            "containerd -c /x.toml",
            "containerd --config /x.toml",
            "containerd --log-level=debug --config=/x.toml",
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
        assert_eq!(of("containerd"), None);
        assert_eq!(of("containerd --config"), None);
        assert_eq!(of("containerd config dump"), None);
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = b"XPATH=/no\0PATH=/a:/b\0TMPDIR=\0";
        assert_eq!(variable(environment, b"PATH="), Some("/a:/b".into()));
        assert_eq!(variable(environment, b"HOME="), None);
    }

    #[test]
    fn this_process_is_no_containerd_and_its_start_is_past() {
        assert_eq!(read(std::process::id()).unwrap(), None);
        let stat = fs::read("/proc/self/stat").unwrap();
        let started = started(&stat, &fs::read("/proc/stat").unwrap());
        let age = SystemTime::now().duration_since(started).unwrap();
        assert!(age < Duration::from_secs(600), "{age:?}");
    }
}
