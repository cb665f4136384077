//! Tasks that wait for a child of vfork(2).

use std::thread::sleep;
use std::time::Duration;

use super::{Found, Held, Kind};
use crate::process::{Process, ProcessError};

/// The functions of the kernel in which such a task waits (`wait_for_vfork_done`, or that into which
/// compilers put it; proc_pid_wchan(5)). Nothing else waits there: a lock has a function of its own.
const PLACES: [&[u8]; 3] = [b"kernel_clone", b"wait_for_vfork_done", b"_do_fork"];

/// So often, and after so long, a task is looked at again: while tasks run, it mostly takes less
/// than that until a child runs its program.
const LOOKS: usize = 3;
const BETWEEN: Duration = Duration::from_millis(10);

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    for one in held.living() {
        let process = one.process;
        for thread in process.thread_ids()? {
            if stays(process, thread) {
                let about = format!("thread {thread}");
                let about = (thread != process.pid()).then_some(about);
                found.add(Kind::Vfork, process, None, about.unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// Whether the thread waits for a child, and goes on doing so.
fn stays(process: &Process, thread: i32) -> bool {
    (0..LOOKS).all(|look| {
        if look > 0 {
            sleep(BETWEEN);
        }
        is_in_vfork(process, thread)
    })
}

fn is_in_vfork(process: &Process, thread: i32) -> bool {
    let place = process.read(&format!("task/{thread}/wchan"));
    place.is_ok_and(|place| PLACES.contains(&&*place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
    use nix::sys::stat::Mode;
    use std::time::Instant;

    #[test]
    fn only_a_task_that_waits_for_its_child_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let (sender, spawner) = std::sync::mpsc::channel();
        let path = fifo.clone();
        let thread = std::thread::spawn(move || {
            sender.send(nix::unistd::gettid().as_raw()).unwrap();
            let mut actions = PosixSpawnFileActions::init().unwrap();
            let mode = Mode::empty();
            actions.add_open(1, &path, OFlag::O_WRONLY, mode).unwrap();
            let attributes = PosixSpawnAttr::init().unwrap();
            // The child opens the FIFO before it runs the program, and waits for a reader.
            posix_spawn("/bin/true", &actions, &attributes, &[c"true"], &[c""]).unwrap()
        });
        let process = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let spawner = spawner.recv().unwrap();
        let begun = Instant::now();
        while !stays(&process, spawner) {
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(20), "it does not wait");
        }
        let own = nix::unistd::gettid().as_raw();
        assert!(!is_in_vfork(&process, own));
        // A reader lets it go on.
        let reader = std::fs::File::open(&fifo).unwrap();
        let child = thread.join().unwrap();
        drop(reader);
        nix::sys::wait::waitpid(child, None).unwrap();
    }
}
