//! How far CRIU had come: the task, the descriptor and the image that it was at, from what it
//! prints on its way at log level 3 and above (`dump_one_task`, `fill_fd_params`,
//! `dump_one_reg_file`, `flush_eventpoll_dinfo_queue` and `do_open_image`).

use super::{
    Object,
    pattern::{after, find, number, take},
};

/// Where the log is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pid: Option<u32>,
    comm: Option<Vec<u8>>,
    fd: Option<u32>,
    path: Option<Vec<u8>>,
    image: Option<Vec<u8>>,
}

impl Progress {
    /// Takes a line of the log into account.
    pub(super) fn follow(&mut self, line: &[u8]) {
        if let Some(found) = take("Dumping task (pid: {pid} comm: {what})", line) {
            *self = Self {
                pid: found.pid,
                comm: found.what,
                ..Self::default()
            };
        } else if find(line, b"Dumping pstree (pid: ").is_some() {
            // All tasks are behind.
            *self = Self::default();
        } else if let Some(found) = take(") {pid} fdinfo {fd}: ", line) {
            self.fd = found.fd;
            self.path = None;
        } else if let Some(found) = take("kid_lookup_epoll: no match pid {} efd {fd} tfd ", line) {
            // Only when all its descriptors are behind, CRIU looks for what an epoll watches.
            self.fd = found.fd;
            self.path = None;
        } else if let Some(rest) = after(line, b"Dumping path for ") {
            // A mapped file and a directory of the task have a negative number.
            self.fd = find(rest, b" ")
                .and_then(|end| rest.get(..end))
                .and_then(number);
            self.path = after(rest, b" [")
                .and_then(|path| path.strip_suffix(b"]"))
                .map(<[u8]>::to_vec);
        } else if let Some(found) = take(" No {what}.img image", line) {
            self.image = found.what.map(|name| [&name, ".img".as_bytes()].concat());
        }
    }

    /// The image that was not there; many may be missing, so this one counts only for a failure
    /// that comes of it.
    pub(super) fn image(&self) -> Object {
        Object {
            detail: self.image.clone(),
            ..Object::default()
        }
    }

    /// The task that CRIU was at.
    pub(super) fn task(&self) -> Object {
        Object {
            pid: self.pid,
            comm: self.comm.clone(),
            ..Object::default()
        }
    }

    /// The task, and the file or descriptor of it.
    pub(super) fn descriptor(&self) -> Object {
        Object {
            fd: self.fd,
            path: self.path.clone(),
            ..self.task()
        }
    }
}

/// The task whose part of CRIU says this: the number before the level of the message, behind the
/// time or behind `pie:` (`print_on_level`, and the restorer's `std_log_set_cpid`).
pub(super) fn speaker(line: &[u8]) -> Option<u32> {
    let timed = after(line, b")").filter(|_| line.starts_with(b"("));
    let start = timed.unwrap_or(line).trim_ascii_start();
    let start = start.strip_prefix(b"pie:").unwrap_or(start);
    start
        .get(..find(start, b":")?)
        .filter(|digits| digits.len() <= 12)
        .and_then(number)
}
