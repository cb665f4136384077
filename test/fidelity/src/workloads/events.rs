//! What a process waits for by a descriptor: events, timers, signals, watches.

use std::convert::Infallible;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::getpid;

use super::List;
use crate::file::create;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("events", events),
    ("inotify", inotify),
    ("inotify-linked", inotify_linked),
];

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
        let events = [AddWatchFlags::IN_ATTRIB, AddWatchFlags::IN_CREATE];
        must_see(&inotify, &events, || {
            file.set_permissions(Permissions::from_mode(0o600))?;
            let new = format!("/dev/shm/d/new-{round}");
            File::create(&new)?;
            fs::remove_file(&new)?;
            Ok(())
        })
    });
    role.run()
}

/// A watch on a file by a name that is gone, while another one lives.
fn inotify_linked(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/first", b"watched")?;
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK)?;
    inotify.add_watch("/dev/shm/first", AddWatchFlags::IN_ATTRIB)?;
    fs::hard_link("/dev/shm/first", "/dev/shm/second")?;
    fs::remove_file("/dev/shm/first")?;
    role.check("the watch", move |_| {
        must_see(&inotify, &[AddWatchFlags::IN_ATTRIB], || {
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(())
        })
    });
    role.run()
}

/// `act` must cause all of these events.
fn must_see(
    inotify: &Inotify,
    expected: &[AddWatchFlags],
    act: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // What is there already, as of a restore, is none of what is to be seen.
    while inotify.read_events().is_ok() {}
    act()?;
    let events = inotify.read_events()?;
    let masks: Vec<_> = events.iter().map(|event| event.mask).collect();
    let all = expected.iter().all(|mask| masks.contains(mask));
    ensure!(all, "only {masks:?} is seen");
    Ok(())
}
