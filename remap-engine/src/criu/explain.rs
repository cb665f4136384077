//! Why CRIU failed, from its log: the cause, what it failed on, and what to do about it.
//!
//! CRIU prints the cause first and then how each caller failed. A line looks like
//! `(00.012345)     42: Error (criu/file.c:12): subsystem: message`; the number is there on a
//! restore and is the task that CRIU was making, as its pid namespace counts. On a dump, lines
//! before the error say which task and which descriptor it was at (`progress`). What is known
//! of the messages is in `table`.

mod pattern;
mod progress;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use pattern::Found;
use progress::Progress;
use table::{About, Failure, HARMLESS, ONLY_FIRST, failures};

/// Bytes of a log that are looked at: its end.
const LIMIT: usize = 4 << 20;

/// Why CRIU failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What went wrong; the log's own line if nobody knows it.
    pub cause: String,
    /// What it went wrong on.
    pub object: Object,
    /// What to do about it; empty if nobody knows.
    pub remedy: &'static str,
    /// The table's name for the failure, if it is known.
    pub failure: Option<&'static str>,
}

/// What CRIU failed on, as far as its log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// The task: on a dump as CRIU counts, on a restore as the container does.
    pub pid: Option<u32>,
    /// Its command name.
    pub comm: Option<Vec<u8>>,
    /// Its descriptor.
    pub fd: Option<u32>,
    /// The file, in the container.
    pub path: Option<Vec<u8>>,
    /// The mount: its id in `/proc/PID/mountinfo`.
    pub mount: Option<u32>,
    /// What else the message says: a size, a type, an error number's text.
    pub detail: Option<Vec<u8>>,
}

/// Explains the failure that a `dump.log` or `restore.log` tells of. A failure that is not known
/// is explained by the first error in the log, in CRIU's words; `None` if the log has no error.
#[must_use]
pub fn explain(log: &[u8]) -> Option<Explanation> {
    let end = log
        .get(log.len().saturating_sub(LIMIT)..)
        .unwrap_or_default();
    let mut progress = Progress::default();
    let mut first = None;
    let mut lines = end.split(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        progress.follow(line);
        let Some(message) = complaint(line) else {
            continue;
        };
        let known = recognise(failures(), message)
            .or_else(|| recognise(ONLY_FIRST.iter().filter(|_| first.is_none()), message));
        if let Some((failure, found)) = known {
            return Some(explanation(failure, found, &progress, line, lines));
        }
        first.get_or_insert(message);
    }
    first.map(|message| Explanation {
        cause: String::from_utf8_lossy(message).trim().to_owned(),
        object: Object::default(),
        remedy: "",
        failure: None,
    })
}

/// The part of a line from `Error (` on, unless CRIU survives it.
fn complaint(line: &[u8]) -> Option<&[u8]> {
    let message = line.get(pattern::find(line, b"Error (")?..)?;
    let survived = HARMLESS
        .iter()
        .any(|text| pattern::find(message, text.as_bytes()).is_some());
    (!survived).then_some(message)
}

fn recognise(
    mut failures: impl Iterator<Item = &'static Failure>,
    message: &[u8],
) -> Option<(&'static Failure, Found)> {
    failures.find_map(|failure| Some((failure, pattern::take(failure.says, message)?)))
}

fn explanation<'l>(
    failure: &'static Failure,
    found: Found,
    progress: &Progress,
    line: &[u8],
    mut later: impl Iterator<Item = &'l [u8]>,
) -> Explanation {
    let mut object = match failure.about {
        About::Descriptor => progress.descriptor(),
        About::Task => progress.task(),
        About::Image => progress.image(),
        About::Later(says) => later
            .find_map(|line| pattern::take(says, complaint(line)?))
            .map(|found| Object {
                pid: found.pid,
                detail: found.what,
                ..Object::default()
            })
            .unwrap_or_default(),
        About::Whole => Object::default(),
    };
    object.pid = found.pid.or_else(|| progress::speaker(line)).or(object.pid);
    if found.fd.is_some() && found.fd != object.fd {
        // The log has not come to this descriptor's path.
        object.path = None;
    }
    object.fd = found.fd.or(object.fd);
    object.path = found.path.map(absolute).or(object.path);
    object.mount = found.mount;
    object.detail = found.what.or(object.detail);
    Explanation {
        cause: failure.cause.to_owned(),
        object,
        remedy: failure.remedy,
        failure: Some(failure.name),
    }
}

/// CRIU names files from the root of the container, without the slash or with a dot before it.
fn absolute(path: Vec<u8>) -> Vec<u8> {
    let relative = path.strip_prefix(b".").unwrap_or(&path);
    if relative.starts_with(b"/") {
        return relative.to_vec();
    }
    [b"/", path.as_slice()].concat()
}

/// `cause: object; remedy`, in one line.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        let object = self.object.to_string();
        if !object.is_empty() {
            write!(f, ": {object}")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// The parts that are known, with commas.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Vec<u8>| bytes.escape_ascii().to_string();
        let comm = self.comm.as_ref().map(text);
        let parts = [
            self.pid.map(|pid| match comm {
                Some(comm) => format!("task {pid} ({comm})"),
                None => format!("task {pid}"),
            }),
            self.fd.map(|fd| format!("descriptor {fd}")),
            self.path.as_ref().map(text),
            self.mount.map(|mount| format!("mount {mount}")),
            self.detail.as_ref().map(text),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
