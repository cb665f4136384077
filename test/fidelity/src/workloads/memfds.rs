//! memfd_create(2), and files whose names look as if they were of it.

use std::convert::Infallible;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Result, ensure};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags};

use super::List;
use super::carried::share;
use crate::file::{Life, create, keep, pattern, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("memfd-sealed", sealed),
    ("memfd-shared", shared),
    ("memfd-private", private),
    ("memfd-same-name", same_name),
    ("memfd-look-alike", look_alike),
];

fn make(name: &str, contents: &[u8]) -> Result<&'static File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all_at(contents, 0)?;
    Ok(keep(file))
}

fn watch(role: &mut Role, label: &str, file: &'static File) {
    // CRIU keeps no time of a memfd.
    watch_open(role.watch(), label, file, Life::Live);
    role.watch()
        .fact(&format!("the seals of {label}"), move || {
            let seals = fcntl(file, FcntlArg::F_GET_SEALS)?;
            Ok(format!("{:?}", SealFlag::from_bits_retain(seals)))
        });
}

/// Each kind of seal.
fn sealed(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    for (label, seals) in [
        ("write", SealFlag::F_SEAL_WRITE),
        ("grow", SealFlag::F_SEAL_GROW),
        ("shrink", SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL),
        (
            "future",
            SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE),
        ),
    ] {
        let file = make(label, &pattern(label, 3 << 12))?;
        fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
        watch(&mut role, label, file);
    }
    role.run()
}

/// Mapped by two processes.
fn shared(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = make("shared", &pattern("shared", 3 << 12))?;
    role.fork("01-peer", |role| share(role, file, 1))?;
    share(role, file, 0)
}

/// Written to on a private mapping.
fn private(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = make("private", &pattern("private", 3 << 12))?;
    let read_write = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let mapping = Mapping::of(file, 0, 3 << 12, read_write, MapFlags::MAP_PRIVATE)?;
    mapping.fill(b"only mine");
    watch(&mut role, "private", file);
    mapping.watch_file(role.watch(), "private", 0);
    role.run()
}

/// Three of one name are three files.
fn same_name(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    for label in ["one", "two", "three"] {
        let file = make("same", &pattern(label, 2 << 12))?;
        watch(&mut role, label, file);
        Mapping::shared(file, 2 << 12)?.watch_file(role.watch(), label, 0);
    }
    role.run()
}

/// Files at `/memfd:…`, one of them deleted, beside a memfd of that name.
fn look_alike(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let memfd = make("x", &pattern("memfd", 5000))?;
    let named = create("/memfd:x", &pattern("named", 5000))?;
    let deleted = create("/memfd:y", &pattern("deleted", 5000))?;
    fs::remove_file("/memfd:y")?;
    let suffix = create("/memfd:x (deleted)", &pattern("suffix", 5000))?;
    watch(&mut role, "the memfd", memfd);
    watch_open(role.watch(), "deleted", deleted, Life::Still);
    // The layer that containerd makes of a root file system has whole seconds.
    for (label, file) in [("named", named), ("suffix", suffix)] {
        watch_open(role.watch(), label, file, Life::Live);
    }
    role.check("three files and a memfd", move |_| {
        let seals = fcntl(memfd, FcntlArg::F_GET_SEALS).is_ok();
        ensure!(seals, "the memfd is none any more");
        Ok(())
    });
    role.run()
}
