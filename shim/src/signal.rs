//! Signal numbers, real-time ones included, which the usual enums leave out.

use std::{fmt, io};

/// The highest signal number of Linux (signal(7): SIGRTMAX).
const MAX: u32 = 64;

/// A number that signal(7) knows, 1 to 64, or 0, with which kill(2) only looks for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// SIGKILL.
    pub(crate) const KILL: Self = Self(libc::SIGKILL);
    /// SIGTERM.
    pub(crate) const TERM: Self = Self(libc::SIGTERM);

    /// `None` for a number that is no signal.
    pub(crate) fn new(number: u32) -> Option<Self> {
        let number = Some(number).filter(|number| *number <= MAX)?;
        i32::try_from(number).ok().map(Self)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// kill(2) on one process. The caller answers for `pid` being the process that is meant.
///
/// # Errors
/// What kill(2) says; EINVAL for a pid that would mean a process group.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: kill takes two integers and touches no memory of this process.
    if unsafe { libc::kill(pid, signal.0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signals_are_signals() {
        assert_eq!(Signal::new(0).unwrap().to_string(), "0");
        assert!(Signal::new(65).is_none());
        assert!(Signal::new(u32::MAX).is_none());
        assert_eq!(Signal::new(9), Some(Signal::KILL));
        assert_eq!(Signal::new(34).unwrap().to_string(), "34");
    }

    #[test]
    fn a_process_group_is_never_meant() {
        assert!(send(0, Signal::TERM).is_err());
        assert!(send(u32::MAX, Signal::TERM).is_err());
    }
}
