//! Two containers that share a tmpfs, and work together by what is on it: shared memory, and
//! semaphores, for one of which a thread of the second is asleep most of the time.

use std::convert::Infallible;
use std::fs;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::List;
use super::semaphores::{self, Named};
use crate::channel;
use crate::file::{Life, create, open, watch_list, watch_name, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[("pod-creator", creator), ("pod-user", user)];

const MEMORY: &str = "/dev/shm/pod";
/// Posted by the creator.
const PING: &str = "pod-ping";
/// Posted by the user, as an answer.
const PONG: &str = "pod-pong";

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What both see of it all.
fn watch(role: &mut Role) -> Result<Mapping> {
    let file = open(MEMORY)?;
    let mapping = Mapping::shared(file, 4096)?;
    watch_open(role.watch(), "memory", file, Life::Live);
    mapping.watch_file(role.watch(), "memory", 4096);
    for path in [
        MEMORY.into(),
        semaphores::path(PING),
        semaphores::path(PONG),
    ] {
        watch_name(role.watch(), path, Life::Live);
    }
    watch_list(role.watch(), "/dev/shm");
    Ok(mapping)
}

/// Makes everything. In each round it posts, and must be answered, with the number of the round.
fn creator(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    create("/dev/shm/pod.new", &[0; 4096])?;
    fs::rename("/dev/shm/pod.new", MEMORY)?;
    let ping = Named::create(PING)?;
    let pong = Named::create(PONG)?;
    let mapping = watch(&mut role)?;
    role.check("the other container", move |round| {
        ping.post()?;
        let end = Instant::now() + PATIENCE;
        while !pong.try_wait()? {
            ensure!(Instant::now() < end, "it does not answer");
            sleep(Duration::from_millis(5));
        }
        let count = mapping.word(0).load(Ordering::SeqCst);
        ensure!(count == round, "it has counted {count} in round {round}");
        Ok(())
    });
    role.run()
}

/// Answers to each post.
fn user(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    // The last that the creator makes.
    Named::open(PONG)?;
    let mapping = watch(&mut role)?;
    std::thread::spawn(move || {
        let Err(error) = answer(mapping);
        channel::note_error(&format!("cannot answer: {error:#}"));
    });
    role.run()
}

fn answer(mapping: Mapping) -> Result<Infallible> {
    let ping = Named::open(PING)?;
    let pong = Named::open(PONG)?;
    loop {
        ping.wait()?;
        mapping.word(0).fetch_add(1, Ordering::SeqCst);
        pong.post()?;
    }
}
