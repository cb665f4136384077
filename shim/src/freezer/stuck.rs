//! Tasks that do not freeze, and what keeps them.

use std::fmt;

/// Where the kernel keeps a frozen task: cgroup v1 and the unified hierarchy
/// (`kernel/freezer.c`, `kernel/signal.c`). Compilers may put the last into the function before, which
/// waits nowhere else, but for a task that is stopped.
const FROZEN: [&str; 3] = ["__refrigerator", "do_freezer_trap", "get_signal"];

/// Where cgroup v1 freezes a task without waking it (`TASK_FREEZABLE`): it stays there, and looks
/// as if it slept uninterruptibly (`fs/proc/array.c`).
const FROZEN_IN_SLEEP: [&str; 16] = [
    "futex_do_wait",
    "futex_wait_queue",
    "do_nanosleep",
    "hrtimer_nanosleep",
    "common_nsleep",
    "ep_poll",
    "do_epoll_wait",
    "poll_schedule_timeout",
    "do_sys_poll",
    "do_select",
    "do_sigtimedwait",
    "unix_stream_data_wait",
    "unix_stream_read_generic",
    "kernel_clone",
    "do_signal_stop",
    "ptrace_stop",
];

/// A task that does not freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StuckTask {
    /// The thread, in the shim's pid namespace.
    pub(super) pid: i32,
    /// Its command name.
    command: String,
    /// The kernel's function in which it waits (proc_pid_wchan(5)); empty or `0` if it runs.
    place: String,
}

/// What is known of the thread `pid`; `None` if it is frozen or has ended.
pub(super) fn look_at(pid: i32) -> Option<StuckTask> {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
    let state = state(&read("stat")?)?;
    let place = text(read("wchan")?);
    let command = text(read("comm")?);
    let place_is = |known: &[&str]| known.contains(&place.as_str());
    let ended = matches!(state, b'Z' | b'X');
    // One that is stopped or traced is as good as frozen, in either hierarchy.
    let stopped = matches!(state, b'T' | b't');
    let frozen = stopped || place_is(&FROZEN) || (state == b'D' && place_is(&FROZEN_IN_SLEEP));
    (!ended && !frozen).then_some(StuckTask {
        pid,
        command,
        place,
    })
}

/// Where a task waits for a child of vfork(2): `wait_for_vfork_done`, or the function into which
/// compilers put it. Nothing else waits there.
const IN_VFORK: [&[u8]; 3] = [b"kernel_clone", b"wait_for_vfork_done", b"_do_fork"];

/// Whether the thread `pid` waits for such a child.
pub(super) fn is_in_vfork(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/wchan")).is_ok_and(|place| IN_VFORK.contains(&&*place))
}

/// The state letter: it follows the command name, which is in parentheses and may hold any byte
/// (proc_pid_stat(5)).
fn state(stat: &[u8]) -> Option<u8> {
    let rest = stat.rsplit(|byte| *byte == b')').next()?;
    rest.trim_ascii_start().first().copied()
}

/// Tasks that do not freeze, for a message.
#[derive(Debug)]
pub(crate) struct Stuck(pub(super) Vec<StuckTask>);

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, task) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{task}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StuckTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            command,
            place,
        } = self;
        let command = command.escape_debug();
        match place.as_str() {
            "" | "0" => write!(f, "task {pid} ({command}), which runs in the kernel"),
            place => write!(
                f,
                "task {pid} ({command}), which waits in {place}{}",
                waits_for(place)
            ),
        }
    }
}

/// What a task waits for in a function of the kernel, as far as its name says.
fn waits_for(place: &str) -> &'static str {
    let is_of = |words: &[&str]| words.iter().any(|word| place.contains(word));
    if is_of(&["fuse", "request_wait_answer"]) {
        " for a FUSE server that does not answer (is it frozen itself?)"
    } else if is_of(&["nfs", "rpc_"]) {
        " for an NFS server that does not answer"
    } else if is_of(&[
        "folio",
        "io_schedule",
        "bio",
        "jbd2",
        "ext4",
        "xfs",
        "btrfs",
    ]) {
        " for a disk"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: i32, place: &str) -> StuckTask {
        StuckTask {
            pid,
            command: "a b".into(),
            place: place.into(),
        }
    }

    #[test]
    fn the_message_says_what_is_waited_for() {
        let stuck = Stuck(vec![task(2, "request_wait_answer"), task(3, "x")]);
        assert_eq!(
            stuck.to_string(),
            "task 2 (a b), which waits in request_wait_answer for a FUSE server that does not \
             answer (is it frozen itself?), task 3 (a b), which waits in x"
        );
    }

    #[test]
    fn the_state_follows_any_command_name() {
        assert_eq!(state(b"7 (a) R (x)) D 1 2"), Some(b'D'));
        assert_eq!(state(b""), None);
        assert_eq!(state(b"7 (a)"), None);
    }

    #[test]
    fn a_stopped_task_is_in_nobodys_way() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        assert!(look_at(pid.as_raw()).is_some());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGSTOP).unwrap();
        let stopped = nix::sys::wait::WaitPidFlag::WUNTRACED;
        nix::sys::wait::waitpid(pid, Some(stopped)).unwrap();
        assert_eq!(look_at(pid.as_raw()), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_task_that_runs_is_not_frozen_and_one_that_is_gone_is_none() {
        let own = look_at(nix::unistd::gettid().as_raw()).unwrap();
        assert!(own.to_string().contains("runs in the kernel"), "{own}");
        assert_eq!(look_at(i32::MAX), None);
    }
}
