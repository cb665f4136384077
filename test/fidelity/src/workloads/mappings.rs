//! Mappings of files on a tmpfs that goes along.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, ProtFlags};

use super::List;
use crate::file::{Life, create, pattern, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("private-mapping", private_mapping),
    ("growing", growing),
    ("locked-memory", locked_memory),
    ("protections", protections),
];

/// Copy on write: what was written stays private, what was not shows the file.
fn private_mapping(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/file", &pattern("private", 4 << 12))?;
    let read_write = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let private = Mapping::of(file, 0, 4 << 12, read_write, MapFlags::MAP_PRIVATE)?;
    private.fill(&pattern("written", 1 << 12));
    let read_only = Mapping::of(
        file,
        1 << 12,
        2 << 12,
        ProtFlags::PROT_READ,
        MapFlags::MAP_PRIVATE,
    )?;
    watch_open(role.watch(), "file", file, Life::Still);
    private.watch_file(role.watch(), "private", 0);
    read_only.watch_file(role.watch(), "read only", 0);
    role.run()
}

/// A file that grows in each round, beyond the end of its first mapping.
fn growing(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/file", &pattern("growing", 1 << 12))?;
    // Mapped farther than the file reaches.
    let mapping = Mapping::shared(file, 64 << 12)?;
    role.act(move |round| {
        file.set_len((round + 1) << 12)?;
        let last = usize::try_from(round << 9)?;
        mapping.word(last).store(round, Ordering::SeqCst);
        Ok(())
    });
    role.check("all that has grown", move |round| {
        ensure!(file.metadata()?.len() == (round + 1) << 12, "its size");
        for page in 1..=round {
            let mut word = [0; 8];
            file.read_exact_at(&mut word, page << 12)?;
            let value = u64::from_le_bytes(word);
            ensure!(value == page, "page {page} has {value}");
        }
        Ok(())
    });
    role.run()
}

/// mlock(2) of a file's mapping.
fn locked_memory(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/file", &pattern("locked", 4 << 12))?;
    let mapping = Mapping::shared(file, 4 << 12)?;
    mapping.lock()?;
    mapping.watch_file(role.watch(), "locked", 0);
    role.watch().fact("locked memory", move || {
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find(|line| line.starts_with("VmLck:"));
        Ok(line.context("no VmLck")?.to_owned())
    });
    role.run()
}

/// Mappings of a file and of none with each protection, holes between them, and growing down.
fn protections(_: &[String]) -> Result<Infallible> {
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
