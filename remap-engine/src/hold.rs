//! Holds CRIU in its `post-dump` stage, and in its `post-restore` stage.
//!
//! CRIU's configuration names an action script, which CRIU runs when all images are written, all
//! tasks are frozen, the network is locked and the `link_remap.N` names exist (`cr_dump_finish`).
//! The script asks here and waits for the verdict; with exit code 0 CRIU goes on (it kills the
//! tasks, or lets them run), with another one it undoes the dump. A restore is held in the same way
//! when all tasks are there and do not run yet (`restore_root_task`), if there is something to do.
//!
//! The script is a symbolic link, in a directory made for this dump, to the executable that waits
//! here, so that the two are of one build even after an upgrade. It finds the socket beside itself.
//! CRIU before 4.2 runs each script twice: the second call gets the first one's verdict.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::private;

/// Name of the script; an executable that is called by it acts as the script.
pub const SCRIPT_NAME: &str = "remap-hook";

/// The stages in which CRIU is held (CRIU `action-scripts.c`): a dump reaches the first of them, a
/// restore the other.
const STAGES: [&str; 2] = ["post-dump", "post-restore"];

/// The variable in which CRIU names the stage to the script.
const STAGE_VARIABLE: &str = "CRTOOLS_SCRIPT_ACTION";

const SOCKET_NAME: &str = "hold.sock";

/// What the script tells CRIU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Release,
    /// Undo the dump, or the restore.
    Veto,
}

impl Verdict {
    fn byte(self) -> u8 {
        match self {
            Self::Release => b'r',
            Self::Veto => b'v',
        }
    }
}

/// The meeting point of one dump or restore. Dropping it removes the directory; a script that still asks gets
/// no answer, which is a veto.
#[derive(Debug)]
pub struct Hold {
    dir: PathBuf,
    listener: UnixListener,
}

impl Hold {
    /// Makes the directory `dir` with the script (a link to `executable`) and the socket.
    ///
    /// # Errors
    /// They cannot be made; nothing of them stays.
    pub fn prepare(dir: &Path, executable: &Path) -> io::Result<Self> {
        clear(dir)?;
        private::create_dir(dir)?;
        let listener = std::os::unix::fs::symlink(executable, dir.join(SCRIPT_NAME))
            .and_then(|()| listen(dir))
            .inspect_err(|_| drop(clear(dir)))?;
        Ok(Self {
            dir: dir.to_owned(),
            listener,
        })
    }

    /// The path of the script, for CRIU's configuration.
    #[must_use]
    pub fn script(&self) -> PathBuf {
        self.dir.join(SCRIPT_NAME)
    }

    /// Serves the scripts until `ended` reports hang-up (its other end was closed).
    ///
    /// `held` is called once, when CRIU is held for the first time, and decides. Returns its
    /// verdict, or `None` if no script has got one: CRIU ended before the stage was reached, or
    /// the script was killed while it waited.
    ///
    /// # Errors
    /// The socket fails; CRIU then gets no answer, which is a veto.
    pub fn serve(
        &self,
        ended: BorrowedFd<'_>,
        held: impl FnOnce() -> Verdict,
    ) -> io::Result<Option<Verdict>> {
        let mut held = Some(held);
        let mut decided = Verdict::Veto;
        let mut verdict = None;
        loop {
            let mut fds = [
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
                PollFd::new(ended, PollFlags::POLLIN),
            ];
            match nix::poll::poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                result => result?,
            };
            let [asked, done] = fds.map(|fd| fd.any().unwrap_or(false));
            if asked {
                let (stream, _) = self.listener.accept()?;
                if let Some(held) = held.take() {
                    decided = held();
                }
                match answer(stream, decided) {
                    Ok(()) => verdict = Some(decided),
                    Err(error) => tracing::warn!(%error, "the action script went away"),
                }
            } else if done {
                return Ok(verdict);
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot remove the directory of a dump");
        }
    }
}

fn answer(mut stream: UnixStream, verdict: Verdict) -> io::Result<()> {
    stream.write_all(&[verdict.byte()])
}

fn clear(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Binds the socket by way of the directory's descriptor: a socket's path has at most 107 bytes
/// (unix(7)), which the bundle of a Kubernetes container exceeds.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    let dir = std::fs::File::open(dir)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd()))
}

/// What the script does: in the stages in question it asks for the verdict and waits; in every
/// other stage it lets CRIU go on. `called_as` is the path by which CRIU called it.
///
/// # Errors
/// Nobody answers: the caller must exit with a code other than 0.
pub fn ask(called_as: &Path) -> io::Result<Verdict> {
    let stage = std::env::var_os(STAGE_VARIABLE);
    if stage.is_none_or(|stage| STAGES.iter().all(|one| stage != *one)) {
        return Ok(Verdict::Release);
    }
    let dir = std::fs::File::open(called_as.parent().unwrap_or(Path::new(".")))?;
    let socket = format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd());
    let mut verdict = [0];
    UnixStream::connect(socket)?.read_exact(&mut verdict)?;
    if verdict == [Verdict::Release.byte()] {
        Ok(Verdict::Release)
    } else {
        Ok(Verdict::Veto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(dir: &Path) -> UnixStream {
        let dir = std::fs::File::open(dir).unwrap();
        UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd())).unwrap()
    }

    fn verdict_of(mut stream: UnixStream) -> u8 {
        let mut verdict = [0];
        stream.read_exact(&mut verdict).unwrap();
        verdict[0]
    }

    /// Serves while `script` runs, as CRIU would; then the dump ends.
    fn serve(verdict: Verdict, script: impl FnOnce(&Path) + Send) -> Option<Verdict> {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x".repeat(150)).join("hold");
        let hold = Hold::prepare(&dir, Path::new("/bin/true")).unwrap();
        assert!(hold.script().exists());
        let (ended, end) = nix::unistd::pipe().unwrap();
        let mut calls = 0;
        let served = std::thread::scope(|scope| {
            scope.spawn(|| {
                script(&dir);
                drop(end);
            });
            hold.serve(ended.as_fd(), || {
                calls += 1;
                // Time for a script to go away.
                std::thread::sleep(std::time::Duration::from_millis(50));
                verdict
            })
        });
        drop(hold);
        assert!(!dir.exists());
        assert!(calls <= 1);
        served.unwrap()
    }

    #[test]
    fn a_second_call_gets_the_verdict_of_the_first() {
        for verdict in [Verdict::Release, Verdict::Veto] {
            let served = serve(verdict, |dir| {
                assert_eq!(verdict_of(connect(dir)), verdict.byte());
                assert_eq!(verdict_of(connect(dir)), verdict.byte());
            });
            assert_eq!(served, Some(verdict));
        }
    }

    #[test]
    fn a_dump_that_ends_early_was_never_held() {
        assert_eq!(serve(Verdict::Release, |_| ()), None);
    }

    #[test]
    fn a_script_that_goes_away_has_no_verdict() {
        let served = serve(Verdict::Release, |dir| drop(connect(dir)));
        assert_eq!(served, None);
    }

    #[test]
    fn without_anyone_to_ask_the_script_fails_only_in_its_stage() {
        assert_eq!(
            ask(Path::new("/nonexistent/remap-hook")).unwrap(),
            Verdict::Release
        );
    }
}
