//! Whether tasks have run since they were looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::group::FreezeGroup;
use crate::ownership::all_pids;
use crate::process::Process;

/// For each thread when it began, and how often it has left a processor (proc_pid_status(5)): one
/// that has run since has left it once more, unless it runs now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stillness(BTreeMap<String, (u64, u64)>);

impl Stillness {
    /// That of all tasks of a control group; `None` if there are none.
    pub(super) fn of(group: &FreezeGroup) -> Option<Self> {
        let mut threads = BTreeMap::new();
        for pid in all_pids().ok()? {
            let Ok(process) = Process::pin(pid) else {
                continue;
            };
            if !group.has(&process) {
                continue;
            }
            for thread in process.list("task").ok()? {
                let thread = thread.to_string_lossy();
                let read = |file: &str| process.read(&format!("task/{thread}/{file}"));
                let began = began(&read("stat").ok()?)?;
                let switches = switches(&read("status").ok()?);
                threads.insert(thread.into_owned(), (began, switches));
            }
        }
        (!threads.is_empty()).then_some(Self(threads))
    }
}

/// Field 22 of `stat`, the start time. The command name before it may hold any byte.
fn began(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The sum of both kinds of context switches.
fn switches(status: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(status);
    let counts = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_count = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"].contains(&name);
        value.trim().parse::<u64>().ok().filter(|_| is_count)
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_once_more_has_run() {
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let thread = format!("task/{}", nix::unistd::gettid());
        let look = || {
            let stat = own.read(&format!("{thread}/stat")).unwrap();
            let status = own.read(&format!("{thread}/status")).unwrap();
            (began(&stat).unwrap(), switches(&status))
        };
        let (began, before) = look();
        std::thread::sleep(std::time::Duration::from_millis(1));
        let (still, after) = look();
        assert_eq!(began, still);
        assert!(after > before, "{before} {after}");
    }

    #[test]
    fn a_command_named_like_fields_is_none() {
        let fields: Vec<String> = (3..30).map(|field: u32| field.to_string()).collect();
        let stat = format!("7 (a) 1 2 (b) {}", fields.join(" "));
        assert_eq!(began(stat.as_bytes()), Some(22));
        assert_eq!(began(b"7 (a"), None);
    }
}
