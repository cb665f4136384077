//! Processes and threads: their relations, their states, and what /proc says of dead ones.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpgid, getpid, setpgid, setsid};

use super::List;
use super::locks::{is_locked, lock_whole};
use crate::channel::wait_for;
use crate::file::{Life, create, keep, open, pattern, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("dead-pid", dead_pid),
    ("threads", threads),
    ("zombie", zombie),
    ("sessions", sessions),
    ("signals", signals),
    ("anonymous-shared", anonymous_shared),
];

/// A child that does what it is told until it is killed.
fn child(body: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            if let Err(error) = body() {
                crate::channel::note_error(&format!("{error:#}"));
            }
            std::process::exit(1)
        }
    }
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// A file of /proc of a process that has ended since.
fn dead_pid(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let victim = child(|| sleep_for_ever())?;
    let file = File::open(format!("/proc/{victim}/status"))?;
    kill(victim, Signal::SIGKILL)?;
    waitpid(victim, None)?;
    let file: &'static File = keep(file);
    role.watch().fact("a dead process's file", move || {
        let mut text = String::new();
        let mut reader = file;
        reader.seek(SeekFrom::Start(0))?;
        let said = reader.read_to_string(&mut text);
        Ok(said.map_or_else(|error| error.to_string(), |bytes| format!("{bytes} bytes")))
    });
    role.run()
}

/// Ten threads which count, with names and masks of their own.
fn threads(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let mut counters = Vec::new();
    for number in 0..10 {
        let counter = Arc::new(AtomicU64::new(0));
        counters.push(Arc::clone(&counter));
        let body = move || {
            loop {
                counter.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        std::thread::Builder::new()
            .name(format!("counter {number}"))
            .spawn(body)?;
    }
    // A thread gives itself its name before it counts.
    for counter in &counters {
        while counter.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    role.watch().fact("the threads", || {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let dir = entry?.path();
            let name = fs::read_to_string(dir.join("comm"))?;
            found.push(format!("{:?} {}", dir.file_name(), name.trim_end()));
        }
        found.sort();
        Ok(found.join(", "))
    });
    role.check("the counters", move |_| {
        for (number, counter) in counters.iter().enumerate() {
            let before = counter.load(Ordering::SeqCst);
            let mut tries = 0;
            while counter.load(Ordering::SeqCst) == before {
                tries += 1;
                ensure!(tries < 1000, "number {number} stands still");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    });
    role.run()
}

/// A child that has ended and is not waited for.
fn zombie(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let pid = child(|| std::process::exit(77))?;
    role.watch().fact("the zombie", move || {
        // SAFETY: a place for the answer, of the kind that the call expects.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WNOWAIT;
        let id = u32::try_from(pid.as_raw())?;
        // SAFETY: as above.
        let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) };
        nix::errno::Errno::result(result)?;
        // SAFETY: waitid has filled in the part of a child.
        let status = unsafe { info.si_status() };
        Ok(format!("{pid} ended with {status}"))
    });
    role.run()
}

/// Process groups, sessions, a daemon whose session has lost its leader, with a lock on its pid file.
fn sessions(_: &[String]) -> Result<Infallible> {
    const IN_PLACE: &str = "/var/tmp/in-place";
    const PID_FILE: &str = "/var/tmp/pid";
    const LOCKED: &str = "/var/tmp/locked";
    let mut role = Role::lead()?;
    child(|| {
        setsid()?;
        let group = child(|| {
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            sleep_for_ever()
        })?;
        child(move || {
            // It may come before the group's leader has made the group.
            while getpgid(Some(group))? != group {
                std::thread::sleep(Duration::from_millis(5));
            }
            setpgid(Pid::from_raw(0), group)?;
            fs::write(IN_PLACE, "")?;
            sleep_for_ever()
        })?;
        sleep_for_ever()
    })?;
    wait_for(IN_PLACE.as_ref())?;
    // An orphan has init, which is this process, as its parent when its own one is waited for.
    let parent = child(|| {
        setsid()?;
        child(|| {
            lock_whole(create(PID_FILE, b"1")?)?;
            fs::write(LOCKED, "")?;
            sleep_for_ever()
        })?;
        std::process::exit(0)
    })?;
    waitpid(parent, None)?;
    wait_for(LOCKED.as_ref())?;
    let pid_file = open(PID_FILE)?;
    role.check("the daemon's lock", move |_| is_locked(pid_file, 0));
    role.watch().fact("the processes", look);
    role.run()
}

fn processes() -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Ok(pid) = entry?.file_name().to_string_lossy().parse() {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids.into_iter().map(Pid::from_raw).collect())
}

/// pid, state, parent, group and session of all processes of this session's program.
fn look() -> Result<String> {
    let mut found = Vec::new();
    for pid in processes()? {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let rest = stat.rsplit_once(") ").context("no name")?.1;
        let fields: Vec<&str> = rest.split(' ').take(4).collect();
        // Whether a process runs or sleeps is chance, and who asks is none of them.
        let (state, relations) = fields.split_first().context("no state")?;
        let state = if "RSD".contains(state) { "S" } else { state };
        let name = fs::read(format!("/proc/{pid}/cmdline"))?;
        if !String::from_utf8_lossy(&name).contains("ask") {
            found.push(format!("{pid} {state} {}", relations.join(" ")));
        }
    }
    Ok(found.join(", "))
}

/// Pending and blocked signals, one of them queued with a value.
fn signals(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let mut blocked = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is emptied before it is used. It is filled by the C library, since nix knows
    // no real-time signals.
    unsafe {
        libc::sigemptyset(blocked.as_mut_ptr());
        for signal in [
            libc::SIGUSR2,
            libc::SIGTERM,
            libc::SIGWINCH,
            libc::SIGRTMIN() + 3,
        ] {
            libc::sigaddset(blocked.as_mut_ptr(), signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, blocked.as_ptr(), std::ptr::null_mut());
    }
    kill(getpid(), Signal::SIGUSR2)?;
    for value in 1..=3_usize {
        let value = libc::sigval {
            sival_ptr: std::ptr::without_provenance_mut(value),
        };
        // SAFETY: it only sends a signal to this process, which blocks it.
        let sent = unsafe { libc::sigqueue(libc::getpid(), libc::SIGRTMIN() + 3, value) };
        nix::errno::Errno::result(sent)?;
    }
    role.watch().fact("signals", || {
        let status = fs::read_to_string("/proc/self/status")?;
        let wanted = |line: &&str| {
            ["ShdPnd", "SigPnd", "SigBlk", "SigIgn", "SigCgt"]
                .iter()
                .any(|name| line.starts_with(name))
        };
        Ok(status.lines().filter(wanted).collect::<Vec<_>>().join(" "))
    });
    role.run()
}

/// Anonymous memory that parent and child share, and a private copy of a file beside it.
fn anonymous_shared(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let shared = Mapping::anonymous(1 << 16, nix::sys::mman::MapFlags::MAP_SHARED)?;
    shared.fill(&pattern("anonymous", 1 << 16));
    let file = create("/dev/shm/file", b"beside")?;
    watch_open(role.watch(), "file", file, Life::Still);
    let play = move |mut role: Role, own: usize| {
        role.act(move |round| {
            shared.word(own).store(round, Ordering::SeqCst);
            Ok(())
        });
        role.check("the other's word", move |round| {
            let value = shared.word(1 - own).load(Ordering::SeqCst);
            if value != round {
                bail!("it is {value}, not {round}");
            }
            Ok(())
        });
        shared.watch(role.watch(), "shared", 16);
        role.run()
    };
    role.fork("01-peer", move |role| play(role, 1))?;
    play(role, 0)
}
