//! Timers that are no files.

use std::convert::Infallible;

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::List;
use crate::role::Role;

pub(super) const LIST: List = &[("timers", timers)];

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
