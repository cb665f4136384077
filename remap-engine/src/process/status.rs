//! `/proc/PID/status`, parsed as bytes.

/// What is of interest in it (proc_pid_status(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The task that traces this one, in the reader's pid namespace; 0 if there is none, or if it
    /// cannot be seen from there.
    pub(crate) tracer: i32,
    /// It has ended, and waits to be reaped.
    pub(crate) has_ended: bool,
    /// It is stopped by a signal, or cannot be interrupted, as one that is stopped and then frozen by
    /// a freezer of cgroup v1.
    pub(crate) may_be_stopped: bool,
    /// The session in the task's own pid namespace; 0 if its leader is not in there.
    pub(crate) session: Option<i32>,
    /// The task's number in its own pid namespace.
    pub(crate) number: Option<i32>,
    /// The user as whom it acts (its effective user id), in the reader's user namespace.
    pub(crate) user: Option<u32>,
}

impl Status {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut status = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some((name, value)) = std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.split_once(':'))
            else {
                continue;
            };
            let mut numbers = value.split_ascii_whitespace().map(str::parse::<i32>);
            match name {
                "State" => {
                    let state = value.trim_start();
                    status.has_ended = state.starts_with(['Z', 'X']);
                    status.may_be_stopped = state.starts_with(['T', 'D']);
                }
                "TracerPid" => {
                    status.tracer = numbers.next().and_then(Result::ok).unwrap_or_default();
                }
                "NSsid" => status.session = numbers.next_back().and_then(Result::ok),
                "Uid" => {
                    let user = value.split_ascii_whitespace().nth(1);
                    status.user = user.and_then(|user| user.parse().ok());
                }
                "NSpid" => status.number = numbers.next_back().and_then(Result::ok),
                _ => {}
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_innermost_numbers_count() {
        let text =
            b"Name:\ta\xff:b\nState:\tZ (zombie)\nTracerPid:\t7\nUid:\t1\t2\t3\t4\nNSpid:\t31\t5\nNSsid:\t20\t0\n";
        let expected = Status {
            tracer: 7,
            has_ended: true,
            may_be_stopped: false,
            session: Some(0),
            number: Some(5),
            user: Some(2),
        };
        assert_eq!(Status::parse(text), expected);
        assert!(Status::parse(b"State:\tT (stopped)\n").may_be_stopped);
        assert!(Status::parse(b"State:\tD (disk sleep)\n").may_be_stopped);
        let own = std::fs::read("/proc/self/status").unwrap();
        let own = Status::parse(&own);
        assert!(own.tracer == 0 && !own.has_ended);
        assert!(own.session.is_some());
    }

    #[test]
    fn a_command_named_like_a_field_is_none() {
        // The kernel escapes newlines in names.
        let status = Status::parse(b"Name:\tTracerPid:\t9\n");
        assert_eq!(status, Status::default());
    }

    proptest! {
        #[test]
        fn odd_bytes_do_no_harm(text in prop::collection::vec(any::<u8>(), 0..200)) {
            Status::parse(&text);
        }
    }
}
