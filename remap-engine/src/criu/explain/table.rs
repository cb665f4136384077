//! The failures that are known.
//!
//! The comment on each names the function of CRIU 4.2 that says it. Those marked "source" were
//! read there; each of the others is shown by a log of a real run in `testdata/criu-logs`.

mod descriptors;
mod files;
mod tasks;

/// One failure that is known.
#[derive(Debug)]
pub(super) struct Failure {
    /// Its name here, and that of its log in `testdata/criu-logs`.
    pub(super) name: &'static str,
    /// How the line is recognised, see [`super::pattern`].
    pub(super) says: &'static str,
    /// What earlier lines add to the object.
    pub(super) about: About,
    /// What went wrong.
    pub(super) cause: &'static str,
    /// What to do about it.
    pub(super) remedy: &'static str,
}

/// Which of the things that CRIU was at belongs to a failure.
#[derive(Debug, Clone, Copy)]
pub(super) enum About {
    /// The task and the descriptor or mapped file.
    Descriptor,
    /// The task.
    Task,
    /// The image that was last found missing.
    Image,
    /// The task, and the detail, of the first line behind it that is recognised by this.
    Later(&'static str),
    /// None: the failure comes when all tasks are dumped, or on a restore.
    Whole,
}

/// Complaints that CRIU survives: without CAP_SYS_RESOURCE it cannot raise its own limit of open
/// files, says so at the start of every run, and goes on (`rlimit_unlimit_nofile`).
pub(super) const HARMLESS: &[&str] = &["Can't setup RLIMIT_NOFILE"];

/// All of them. Within a part, the first that a line fits counts.
pub(super) fn failures() -> impl Iterator<Item = &'static Failure> {
    [files::FAILURES, descriptors::FAILURES, tasks::FAILURES]
        .into_iter()
        .flatten()
}

/// Those that also follow other failures, and explain nothing unless they come first.
pub(super) const ONLY_FIRST: &[Failure] = &[
    // compel_resume_task_sig
    Failure {
        name: "not_seized",
        says: "Unable to detach from {pid}: No such process",
        about: About::Whole,
        cause: "a task could not be stopped: it is gone, dead, or another program traces it",
        remedy: "end strace, gdb or the like; see whether the task lives",
    },
];
