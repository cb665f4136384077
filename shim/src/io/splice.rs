//! From one pipe to another without a copy: splice(2).

use std::{io, os::fd::AsFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{SpliceFlags, splice},
};
use tokio::{net::unix::pipe, task::coop};

/// More bytes than a pipe holds, unless somebody has made it larger (pipe(7)).
const MOST: usize = 1 << 20;

/// Moves all that comes out of `from` into `to`, until the last writer of `from` is gone.
///
/// # Errors
/// What splice(2) says; EPIPE when nobody reads from `to`.
pub(super) async fn splice_all(from: pipe::Receiver, to: pipe::Sender) -> io::Result<()> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    loop {
        from.readable().await?;
        to.writable().await?;
        match splice(&from, None, &to, None, MOST, flags) {
            Ok(0) => return Ok(()),
            // Other tasks have their turn now and then.
            Ok(_) => coop::consume_budget().await,
            Err(Errno::INTR) => {}
            // That does not say which of them it is.
            Err(Errno::AGAIN) => {
                wait_if(from.try_io(|| ready(&from, PollFlags::IN)))?;
                wait_if(to.try_io(|| ready(&to, PollFlags::OUT)))?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// [`io::ErrorKind::WouldBlock`] if there is nothing for `fd`, as the methods `try_io` want it: they
/// then wait for the next change since they were called.
fn ready(fd: impl AsFd, events: PollFlags) -> io::Result<()> {
    let mut fds = [PollFd::new(&fd, events)];
    match poll(&mut fds, Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

/// That there is nothing has been noted, and is no error.
fn wait_if(ready: io::Result<()>) -> io::Result<()> {
    match ready {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
        os::fd::OwnedFd,
        thread,
    };

    use super::*;

    /// Both ends for the relay, and the ends of those beyond.
    fn pipes() -> (pipe::Receiver, pipe::Sender, File, File) {
        let (from, writer) = io::pipe().unwrap();
        let (reader, to) = io::pipe().unwrap();
        (
            pipe::Receiver::from_owned_fd(from.into()).unwrap(),
            pipe::Sender::from_owned_fd(to.into()).unwrap(),
            File::from(OwnedFd::from(writer)),
            File::from(OwnedFd::from(reader)),
        )
    }

    /// Bytes that do not repeat within a pipe.
    fn pattern(length: u32) -> Vec<u8> {
        (0..length).flat_map(u32::to_le_bytes).collect()
    }

    #[tokio::test]
    async fn all_of_it_arrives_however_slow_the_ends_are() {
        for (chunk, pause) in [(65536, 0), (7, 0), (100_003, 1)] {
            let (from, to, mut writer, mut reader) = pipes();
            let sent = pattern(if chunk == 7 { 20_000 } else { 500_000 });
            let expected = sent.clone();
            let wait = move || thread::sleep(std::time::Duration::from_millis(pause));
            let writing = thread::spawn(move || {
                for part in sent.chunks(chunk) {
                    writer.write_all(part).unwrap();
                    wait();
                }
            });
            let reading = thread::spawn(move || {
                let mut received = Vec::new();
                let mut part = vec![0; 30_011];
                loop {
                    let read = reader.read(&mut part).unwrap();
                    if read == 0 {
                        return received;
                    }
                    received.extend_from_slice(&part[..read]);
                    wait();
                }
            });
            splice_all(from, to).await.unwrap();
            writing.join().unwrap();
            assert!(reading.join().unwrap() == expected, "chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn nobody_reads() {
        let (from, to, mut writer, reader) = pipes();
        writer.write_all(b"lost").unwrap();
        drop(reader);
        let error = splice_all(from, to).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
