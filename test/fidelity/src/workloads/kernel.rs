//! What a process has of the kernel that is no file system's: pipes, sockets, events, timers,
//! watches, locks, System V objects.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::getpid;

use super::List;
use crate::file::{Life, create, keep, open, pattern, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("pipes", pipes),
    ("unix-sockets", unix_sockets),
    ("events", events),
    ("inotify", inotify),
    ("locks", locks),
    ("timers", timers),
    ("sysv", sysv),
    ("protections", protections),
];

/// A pipe with data in it between two processes, and one at its largest.
fn pipes(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let (reader, writer) = std::io::pipe()?;
    let (reader, writer) = (keep(reader), keep(writer));
    let large: &'static [u8] = keep(pattern("pipe", 40_000));
    { writer }.write_all(large)?;
    role.fork("01-reader", move |mut role| {
        role.check("what is in the pipe", move |_| {
            let mut found = vec![0; large.len()];
            { reader }.read_exact(&mut found)?;
            ensure!(found == large, "other bytes");
            { writer }.write_all(large)?;
            Ok(())
        });
        role.run()
    })?;
    role.watch().fact("its size", move || {
        // SAFETY: it takes no argument.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        Ok(size.to_string())
    });
    role.run()
}

/// Pairs, a bound listener with a connection, messages on their way, a descriptor among them.
fn unix_sockets(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let (one, other) = UnixStream::pair()?;
    { &one }.write_all(b"on its way")?;
    let (first, second) = UnixDatagram::pair()?;
    first.send(b"datagram 1")?;
    first.send(b"datagram 2")?;
    let listener = UnixListener::bind("/socket")?;
    let client = UnixStream::connect("/socket")?;
    let (server, _) = listener.accept()?;
    { &client }.write_all(b"request")?;
    role.check("the pair", move |_| {
        let mut bytes = [0; 10];
        { &other }.read_exact(&mut bytes)?;
        ensure!(&bytes == b"on its way", "{bytes:?}");
        { &one }.write_all(b"on its way")?;
        Ok(())
    });
    role.check("the datagrams", move |_| {
        for expected in [b"datagram 1", b"datagram 2"] {
            let mut bytes = [0; 100];
            let length = second.recv(&mut bytes)?;
            ensure!(bytes.get(..length) == Some(expected), "{bytes:?}");
            first.send(expected)?;
        }
        Ok(())
    });
    role.check("the connection", move |_| {
        let mut bytes = [0; 7];
        { &server }.read_exact(&mut bytes)?;
        ensure!(&bytes == b"request", "{bytes:?}");
        { &client }.write_all(b"request")?;
        Ok(())
    });
    role.check("the listener", move |_| {
        let client = UnixStream::connect("/socket")?;
        listener.accept()?;
        drop(client);
        Ok(())
    });
    role.run()
}

/// eventfd, epoll on it, timerfd, signalfd.
fn events(_: &[String]) -> Result<Infallible> {
    const TOKEN: u64 = 0xfeed_beef_0123;
    let mut role = Role::lead()?;
    let event = EventFd::from_value_and_flags(41, EfdFlags::EFD_NONBLOCK)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&event, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN))?;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
    let in_a_day = Expiration::IntervalDelayed(
        Duration::from_secs(86_400).into(),
        Duration::from_secs(7).into(),
    );
    timer.set(in_a_day, TimerSetTimeFlags::empty())?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR2);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None)?;
    let signal = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK)?;
    kill(getpid(), Signal::SIGUSR2)?;

    role.check("the event", move |_| {
        let mut found = [EpollEvent::empty(); 4];
        let ready = epoll.wait(&mut found, EpollTimeout::ZERO)?;
        let tokens: Vec<u64> = found.iter().take(ready).map(EpollEvent::data).collect();
        ensure!(tokens == [TOKEN], "epoll says {tokens:x?}");
        let value = event.read()?;
        ensure!(value == 41, "the counter is {value}");
        event.write(41)?;
        Ok(())
    });
    role.check("the timer", move |_| {
        let Some(Expiration::IntervalDelayed(left, every)) = timer.get()? else {
            anyhow::bail!("it is not set as it was")
        };
        let (left, every) = (left.tv_sec(), every.tv_sec());
        ensure!(every == 7, "its interval is {every} s");
        ensure!((80_000..=86_400).contains(&left), "{left} s are left");
        Ok(())
    });
    role.check("the signal", move |_| {
        let found = signal.read_signal()?.context("there is none")?;
        ensure!(
            found.ssi_signo == libc::SIGUSR2.cast_unsigned(),
            "another one"
        );
        kill(getpid(), Signal::SIGUSR2)?;
        Ok(())
    });
    role.run()
}

/// Watches on a carried file and its directory.
fn inotify(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    fs::create_dir("/dev/shm/d")?;
    let file = create("/dev/shm/d/file", b"watched")?;
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK)?;
    inotify.add_watch("/dev/shm/d/file", AddWatchFlags::IN_ATTRIB)?;
    inotify.add_watch("/dev/shm/d", AddWatchFlags::IN_CREATE)?;
    role.check("the watches", move |round| {
        // What is there already, as of a restore, is none of what is to be seen.
        while inotify.read_events().is_ok() {}
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let new = format!("/dev/shm/d/new-{round}");
        File::create(&new)?;
        fs::remove_file(&new)?;
        let events = inotify.read_events()?;
        let masks: Vec<_> = events.iter().map(|event| event.mask).collect();
        ensure!(
            masks.contains(&AddWatchFlags::IN_ATTRIB) && masks.contains(&AddWatchFlags::IN_CREATE),
            "only {masks:?} is seen"
        );
        Ok(())
    });
    role.run()
}

/// flock(2), POSIX locks, and those of open file descriptions, held and waited for in vain.
fn locks(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let names = ["/dev/shm/flock", "/dev/shm/posix", "/dev/shm/ofd"];
    for name in names {
        let file = create(name, &[0; 1000])?;
        // It is not looked into: to close any descriptor of a file gives up its POSIX locks.
        match name {
            "/dev/shm/flock" => file.lock()?,
            "/dev/shm/posix" => {
                ensure!(lock(file, libc::F_SETLK, 100, 50)?, "it is taken");
            }
            _ => {
                ensure!(lock(file, libc::F_OFD_SETLK, 100, 50)?, "it is taken");
            }
        }
    }
    role.fork("01-other", move |mut role| {
        let [flock, posix, ofd] = [open(names[0])?, open(names[1])?, open(names[2])?];
        role.check("the other's locks", move |_| {
            ensure!(flock.try_lock().is_err(), "flock is lost");
            ensure!(!lock(posix, libc::F_SETLK, 149, 1)?, "POSIX is lost");
            ensure!(!lock(ofd, libc::F_OFD_SETLK, 100, 1)?, "OFD is lost");
            // Beside them there is room.
            for (file, command) in [(posix, libc::F_SETLK), (ofd, libc::F_OFD_SETLK)] {
                ensure!(lock(file, command, 150, 1)?, "they have grown");
                unlock(file, command, 150, 1)?;
            }
            Ok(())
        });
        role.run()
    })?;
    role.run()
}

/// Whether the bytes could be locked.
fn lock(file: &File, command: i32, start: i64, length: i64) -> Result<bool> {
    change_lock(file, command, libc::F_WRLCK, start, length)
}

fn unlock(file: &File, command: i32, start: i64, length: i64) -> Result<()> {
    change_lock(file, command, libc::F_UNLCK, start, length)?;
    Ok(())
}

fn change_lock(file: &File, command: i32, kind: i32, start: i64, length: i64) -> Result<bool> {
    let lock = libc::flock {
        l_type: i16::try_from(kind)?,
        l_whence: 0,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    // SAFETY: these commands read such a structure.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) };
    match Errno::result(result) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// setitimer(2) and timer_create(2), far in the future.
fn timers(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let interval = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 11,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: 90_000,
            tv_usec: 0,
        },
    };
    // SAFETY: it reads the value.
    let set =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const interval, std::ptr::null_mut()) };
    Errno::result(set)?;
    let mut timer: libc::timer_t = std::ptr::null_mut();
    // SAFETY: all zeros are an event without a meaning, and what counts is set below.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_NONE;
    // SAFETY: it reads the event and writes the timer.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    Errno::result(made)?;
    let value = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 13,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: 80_000,
            tv_nsec: 0,
        },
    };
    // SAFETY: the timer was made above, and is never deleted.
    Errno::result(unsafe {
        libc::timer_settime(timer, 0, &raw const value, std::ptr::null_mut())
    })?;
    let timer = timer.expose_provenance();
    role.check("the timers", move |_| {
        let mut now = interval;
        // SAFETY: it writes the value.
        Errno::result(unsafe { libc::getitimer(libc::ITIMER_REAL, &raw mut now) })?;
        ensure!(
            now.it_interval.tv_sec == 11,
            "the interval timer's interval"
        );
        ensure!(
            (85_000..=90_000).contains(&now.it_value.tv_sec),
            "the interval timer's value"
        );
        let mut now = value;
        let timer = std::ptr::with_exposed_provenance_mut(timer);
        // SAFETY: the timer lives as long as the process, and it writes the value.
        Errno::result(unsafe { libc::timer_gettime(timer, &raw mut now) })?;
        ensure!(now.it_interval.tv_sec == 13, "the POSIX timer's interval");
        ensure!(
            (75_000..=80_000).contains(&now.it_value.tv_sec),
            "the POSIX timer's value"
        );
        Ok(())
    });
    role.run()
}

/// Shared memory with and without a user, semaphores, a queue with messages, of System V.
fn sysv(_: &[String]) -> Result<Infallible> {
    #[repr(C)]
    struct Message {
        kind: libc::c_long,
        text: [u8; 16],
    }
    let mut role = Role::lead()?;
    // SAFETY: calls that take numbers only; what shmat returns is used within its size, below.
    let (segment, set, queue) = unsafe {
        let segment = Errno::result(libc::shmget(0xfeed, 8192, libc::IPC_CREAT | 0o600))?;
        let set = Errno::result(libc::semget(0xfeee, 3, libc::IPC_CREAT | 0o640))?;
        let queue = Errno::result(libc::msgget(0xfeef, libc::IPC_CREAT | 0o600))?;
        for number in 0..3 {
            Errno::result(libc::semctl(set, number, libc::SETVAL, number + 5))?;
        }
        (segment, set, queue)
    };
    // SAFETY: the kernel chooses the place.
    let attached = unsafe { libc::shmat(segment, std::ptr::null(), 0) };
    ensure!(attached.addr() != usize::MAX, "shmat: {}", Errno::last());
    let memory = attached.cast::<u64>();
    for word in 0..1024_u64 {
        // SAFETY: within the 8192 bytes.
        unsafe { memory.add(usize::try_from(word)?).write_volatile(word * 3) };
    }
    let send = move |kind: libc::c_long| {
        let message = Message {
            kind,
            text: [u8::try_from(kind)?; 16],
        };
        // SAFETY: a message and the size of its text.
        Errno::result(unsafe { libc::msgsnd(queue, (&raw const message).cast(), 16, 0) })?;
        Ok::<_, anyhow::Error>(())
    };
    send(7)?;
    send(3)?;
    let memory = memory.expose_provenance();
    role.check("the segment", move |_| {
        let memory = std::ptr::with_exposed_provenance::<u64>(memory);
        for word in 0..1024_u64 {
            // SAFETY: as above.
            let value = unsafe { memory.add(usize::try_from(word)?).read_volatile() };
            ensure!(value == word * 3, "word {word} is {value}");
        }
        // SAFETY: numbers only.
        let found = Errno::result(unsafe { libc::shmget(0xfeed, 0, 0) })?;
        ensure!(found == segment, "its id is {found}, not {segment}");
        Ok(())
    });
    role.check("the semaphores", move |_| {
        for number in 0..3 {
            // SAFETY: numbers only.
            let value = Errno::result(unsafe { libc::semctl(set, number, libc::GETVAL) })?;
            ensure!(value == number + 5, "number {number} is {value}");
        }
        Ok(())
    });
    role.check("the messages", move |_| {
        for kind in [7, 3] {
            let mut message = Message {
                kind: 0,
                text: [0; 16],
            };
            // SAFETY: room for a message of that size.
            let read =
                unsafe { libc::msgrcv(queue, (&raw mut message).cast(), 16, 0, libc::IPC_NOWAIT) };
            ensure!(read == 16, "there is none: {}", Errno::last());
            ensure!(message.kind == kind, "it is of kind {}", message.kind);
            ensure!(message.text == [u8::try_from(kind)?; 16], "other bytes");
            send(kind)?;
        }
        Ok(())
    });
    role.run()
}

/// Mappings of a file and of none with each protection, holes between them, and growing down.
fn protections(_: &[String]) -> Result<Infallible> {
    use nix::sys::mman::{MapFlags, ProtFlags};

    let mut role = Role::lead()?;
    let file = create("/dev/shm/file", &pattern("protections", 8 << 12))?;
    for (label, protection, flags) in [
        ("rs", ProtFlags::PROT_READ, MapFlags::MAP_SHARED),
        (
            "rxp",
            ProtFlags::PROT_READ | ProtFlags::PROT_EXEC,
            MapFlags::MAP_PRIVATE,
        ),
        (
            "rp",
            ProtFlags::PROT_READ,
            MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
        ),
    ] {
        let mapping = Mapping::of(file, 2 << 12, 3 << 12, protection, flags)?;
        mapping.watch_file(role.watch(), label, 0);
    }
    let huge = Mapping::anonymous(4 << 20, MapFlags::MAP_PRIVATE)?;
    huge.fill(&pattern("huge", 1 << 20));
    huge.watch(role.watch(), "of memory", 0);
    watch_open(role.watch(), "file", file, Life::Still);
    role.run()
}
