//! Holds CRIU in its `post-dump` stage, and in its `setup-namespaces`, `post-restore` and `pre-resume`
//! stages.
//!
//! CRIU's configuration names an action script, which CRIU runs when all images are written, all
//! tasks are frozen, the network is locked and the `link_remap.N` names exist (`cr_dump_finish`).
//! The script asks here and waits for the verdict; with exit code 0 CRIU goes on (it kills the
//! tasks, or lets them run), with another one it undoes the dump. A restore is held in the same way,
//! if there is something to do, when the first task has its namespaces, when all tasks are there and do
//! not run yet (`restore_root_task`), and once more just before it lets them go, when it cares for no
//! exit code any more.
//!
//! The script is a symbolic link, in a directory made for this dump, to the executable that waits
//! here, so that the two are of one build even after an upgrade. It finds the socket beside itself.
//! CRIU before 4.2 runs each script twice: the second call gets the first one's verdict. The script
//! says five bytes, a letter for the stage and the number of the first task, and gets one.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::private;

/// Name of the script; an executable that is called by it acts as the script.
pub const SCRIPT_NAME: &str = "remap-hook";

/// The variables in which CRIU tells the script the stage and the first task (`run_shell_scripts`).
const STAGE_VARIABLE: &str = "CRTOOLS_SCRIPT_ACTION";
const INIT_VARIABLE: &str = "CRTOOLS_INIT_PID";

const SOCKET_NAME: &str = "hold.sock";

/// A stage in which CRIU is held (CRIU `action-scripts.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Of a dump: all images are written.
    PostDump,
    /// Of a restore: the namespaces of the first task are there.
    SetupNamespaces,
    /// Of a restore: all tasks are there, within CRIU's own code.
    PostRestore,
    /// Of a restore: the tasks have left that code, and are traced.
    PreResume,
}

impl Stage {
    const ALL: [Self; 4] = [
        Self::PostDump,
        Self::SetupNamespaces,
        Self::PostRestore,
        Self::PreResume,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PostDump => "post-dump",
            Self::SetupNamespaces => "setup-namespaces",
            Self::PostRestore => "post-restore",
            Self::PreResume => "pre-resume",
        }
    }

    fn letter(self) -> u8 {
        match self {
            Self::PostDump => b'd',
            Self::SetupNamespaces => b'n',
            Self::PostRestore => b'r',
            Self::PreResume => b's',
        }
    }
}

/// What the script says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Where CRIU is.
    pub stage: Stage,
    /// The first of the tasks, as CRIU sees it; 0 if it does not say.
    pub init: i32,
}

impl Call {
    /// The call that CRIU has made this process for; `None` in another stage.
    fn of_environment() -> Option<Self> {
        let stage = std::env::var_os(STAGE_VARIABLE)?;
        let stage = Stage::ALL.into_iter().find(|one| stage == one.name())?;
        let init = std::env::var(INIT_VARIABLE).ok();
        let init = init.and_then(|init| init.parse().ok()).unwrap_or(0);
        Some(Self { stage, init })
    }

    /// As the script sends it.
    pub(crate) fn bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.init.to_le_bytes();
        [self.stage.letter(), a, b, c, d]
    }

    fn receive(mut stream: &UnixStream) -> io::Result<Self> {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        let [letter, init @ ..] = bytes;
        let mut stages = Stage::ALL.into_iter();
        let stage = stages.find(|stage| stage.letter() == letter);
        let stage = stage.ok_or(io::ErrorKind::InvalidData)?;
        let init = i32::from_le_bytes(init);
        Ok(Self { stage, init })
    }
}

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
    /// `held` is called once for each stage, when CRIU is held there for the first time, and decides.
    /// Returns the last verdict, or `None` if no script has got one: CRIU ended before a stage was
    /// reached, or the script was killed while it waited.
    ///
    /// # Errors
    /// The socket fails; CRIU then gets no answer, which is a veto.
    pub fn serve(
        &self,
        ended: BorrowedFd<'_>,
        mut held: impl FnMut(Call) -> Verdict,
    ) -> io::Result<Option<Verdict>> {
        let mut decided = Vec::new();
        let mut verdict = None;
        loop {
            let [asked, done] = wait([self.listener.as_fd(), ended])?;
            if asked {
                let (stream, _) = self.listener.accept()?;
                let [speaks, _] = wait([stream.as_fd(), ended])?;
                if !speaks {
                    // It was stopped before it had said anything, and CRIU has ended.
                    continue;
                }
                let answered = Call::receive(&stream).and_then(|call| {
                    let earlier = decided.iter().find(|(stage, _)| *stage == call.stage);
                    let now = earlier.map_or_else(|| held(call), |(_, verdict)| *verdict);
                    decided.push((call.stage, now));
                    answer(stream, now).map(|()| now)
                });
                match answered {
                    Ok(now) => verdict = Some(now),
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

/// Waits until something comes, or somebody hangs up; says where.
fn wait(fds: [BorrowedFd<'_>; 2]) -> io::Result<[bool; 2]> {
    let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    loop {
        match nix::poll::poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => return Ok(fds.map(|fd| fd.any().unwrap_or(false))),
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
    let Some(call) = Call::of_environment() else {
        return Ok(Verdict::Release);
    };
    let dir = std::fs::File::open(called_as.parent().unwrap_or(Path::new(".")))?;
    let socket = format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd());
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&call.bytes())?;
    let mut verdict = [0];
    stream.read_exact(&mut verdict)?;
    if verdict == [Verdict::Release.byte()] {
        Ok(Verdict::Release)
    } else {
        Ok(Verdict::Veto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(dir: &Path, stage: Stage) -> UnixStream {
        let dir = std::fs::File::open(dir).unwrap();
        let socket = format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd());
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(&Call { stage, init: 7 }.bytes()).unwrap();
        stream
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
        let mut calls = Vec::new();
        let served = std::thread::scope(|scope| {
            scope.spawn(|| {
                script(&dir);
                drop(end);
            });
            hold.serve(ended.as_fd(), |call| {
                calls.push(call.stage);
                assert_eq!(call.init, 7);
                // Time for a script to go away.
                std::thread::sleep(std::time::Duration::from_millis(50));
                verdict
            })
        });
        drop(hold);
        assert!(!dir.exists());
        let called = calls.len();
        calls.dedup();
        assert_eq!(calls.len(), called);
        served.unwrap()
    }

    #[test]
    fn a_second_call_gets_the_verdict_of_the_first() {
        for verdict in [Verdict::Release, Verdict::Veto] {
            let served = serve(verdict, |dir| {
                for stage in [Stage::PostRestore, Stage::PostRestore, Stage::PreResume] {
                    assert_eq!(verdict_of(connect(dir, stage)), verdict.byte());
                }
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
        let served = serve(Verdict::Release, |dir| drop(connect(dir, Stage::PostDump)));
        assert_eq!(served, None);
    }

    #[test]
    fn a_script_that_says_nothing_is_not_waited_for() {
        let mut silent = None;
        let served = serve(Verdict::Release, |dir| {
            let dir = std::fs::File::open(dir).unwrap();
            let socket = format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd());
            silent = Some(UnixStream::connect(socket).unwrap());
        });
        assert!(served.is_none() && silent.is_some());
    }

    #[test]
    fn without_anyone_to_ask_the_script_fails_only_in_its_stage() {
        assert_eq!(
            ask(Path::new("/nonexistent/remap-hook")).unwrap(),
            Verdict::Release
        );
    }
}
