//! The tasks themselves: their namespaces, sessions, tracers, file tables, and who is stopped.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::{Found, Held, Holding, Kind, namespace_of_own};
use crate::process::{Process, ProcessError, Status, UseKind, mappings};
use crate::sys;

/// The namespaces of which a task cannot have one of its own inside the container
/// (`generate_ns_id`: all but those of mounts and network).
const NOT_NESTED: [&str; 6] = ["pid", "ipc", "uts", "user", "time", "cgroup"];

/// The function of the kernel in which a task that is stopped waits (proc_pid_wchan(5)).
const STOPPED_IN: &[u8] = b"do_signal_stop";

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let namespaces = NOT_NESTED.map(|name| {
        let fine = [held.namespace_of_init(name), namespace_of_own(name)];
        (name, fine)
    });
    let has_v1_freezer = held
        .all
        .first()
        .is_some_and(|one| has_v1_freezer(one.process));
    for one in &held.all {
        let process = one.process;
        let status = Status::parse(&process.read("status")?);
        if status.session == Some(0) {
            found.add(Kind::ForeignSession, process, None, String::new());
        }
        if one.has_ended {
            continue;
        }
        // CRIU has the credentials of this process, so that it learns what this one learns.
        let limits = sys::ask_for_limit(process.pid());
        if limits.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)) {
            let user = status
                .user
                .map_or_else(String::new, |user| format!("of user {user}"));
            found.add(Kind::UntoldLimits, process, None, user);
        }
        if has_v1_freezer && is_stopped(process, status) {
            found.add(Kind::Stopped, process, None, String::new());
        }
        for namespace in nested(process, &namespaces) {
            let namespace = namespace.to_owned();
            found.add(Kind::Namespace { namespace }, process, None, String::new());
        }
        threads(process, status, found)?;
    }
    system_v(held, found)
}

/// Whether its control group is frozen by the freezer of cgroup v1 (cgroups(7)).
fn has_v1_freezer(process: &Process) -> bool {
    let groups = process.read("cgroup").unwrap_or_default();
    let controllers = groups.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        fields.next()
    });
    let mut all = controllers.flat_map(|line| line.split(|byte| *byte == b','));
    all.any(|controller| controller == b"freezer")
}

/// Whether a signal has stopped it, also if it was frozen afterwards.
fn is_stopped(process: &Process, status: Status) -> bool {
    status.may_be_stopped && process.read("wchan").is_ok_and(|name| name == STOPPED_IN)
}

/// A namespace, and which of its kind are no obstacle: init's, and CRIU's own.
type Fine = (&'static str, [Option<OsString>; 2]);

/// The namespaces of its own.
fn nested(process: &Process, namespaces: &[Fine]) -> Vec<&'static str> {
    let is_nested = |(name, fine): &&Fine| {
        let own = process.link(&format!("ns/{name}")).ok();
        own.is_some() && !fine.contains(&own)
    };
    let nested = namespaces.iter().filter(is_nested);
    let mut nested: Vec<&str> = nested.map(|(name, _)| *name).collect();
    // Its children would be in another than it is itself (`dump_task_ns_ids`).
    let for_children = process.link("ns/time_for_children").ok();
    if for_children.is_some() && for_children != process.link("ns/time").ok() {
        nested.push("time_for_children");
    }
    nested
}

/// Who traces it, and whether its threads have one file table.
fn threads(process: &Process, status: Status, found: &mut Found) -> Result<(), ProcessError> {
    let first = process.pid();
    for thread in process.thread_ids()? {
        let status = if thread == first {
            Some(status)
        } else {
            status_of(process, thread)?
        };
        let Some(status) = status else {
            continue;
        };
        if status.has_ended {
            continue;
        }
        let about = if thread == first {
            String::new()
        } else {
            format!("thread {thread}")
        };
        if status.tracer != 0 {
            let about = format!("{about} traced by pid {}", status.tracer);
            found.add(Kind::Traced, process, None, about.trim_start().to_owned());
        }
        if thread != first && has_own_files(process, thread) {
            found.add(Kind::FileTable, process, None, about);
        }
    }
    Ok(())
}

/// Whether a thread has a file table of its own with anything in it: one that is about to end has
/// none.
fn has_own_files(process: &Process, thread: i32) -> bool {
    matches!(sys::share_file_table(process.pid(), thread), Ok(false))
        && process
            .list(&format!("task/{thread}/fd"))
            .is_ok_and(|files| !files.is_empty())
}

/// `None` if the thread has gone.
fn status_of(process: &Process, thread: i32) -> Result<Option<Status>, ProcessError> {
    match process.read(&format!("task/{thread}/status")) {
        Ok(text) => Ok(Some(Status::parse(&text))),
        // Either the thread alone is gone, or the process, which then answers no more.
        Err(_) => process.read("status").map(|_| None),
    }
}

/// Segments of System V, if they are not the container's own.
fn system_v(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    if held.namespace_of_init("ipc") != namespace_of_own("ipc") {
        return Ok(());
    }
    // One that is mapped is in the list, also if it is to go (`shm_destroy` comes with the last
    // detach): mostly there is none, and nobody's maps need be read.
    let segments = std::fs::read("/proc/sysvipc/shm");
    if segments.is_ok_and(|list| list.trim_ascii_end().split(|byte| *byte == b'\n').count() == 1) {
        return Ok(());
    }
    for Holding { process, .. } in held.living() {
        for mapping in mappings(&process.read("maps")?) {
            let is_segment =
                mapping.device == held.memfd_device && mapping.name.starts_with(b"/SYSV");
            if is_segment {
                let by = UseKind::Mapping(mapping.range.0, mapping.range.1);
                let name = OsString::from_vec(mapping.name);
                let name = crate::text::escape(&name);
                found.add(Kind::SystemVMemory, process, Some(by), name);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use nix::unistd::Pid;

    #[test]
    fn who_is_stopped_is_told_from_who_is_not() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let process = Process::pin(pid.as_raw()).unwrap();
        let stopped = || {
            let status = Status::parse(&process.read("status").unwrap());
            is_stopped(&process, status)
        };
        assert!(!stopped());
        kill(pid, Signal::SIGSTOP).unwrap();
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(stopped());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
