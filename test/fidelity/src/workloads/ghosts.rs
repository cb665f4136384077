//! Files without a name.

use std::convert::Infallible;
use std::fs::{self, File};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::mman::MapFlags;
use nix::sys::stat::Mode;

use super::List;
use super::carried::{share, sparse, stays_sparse};
use crate::file::{
    Life, create, keep, open, pattern, set_time, watch_absence, watch_list, watch_name, watch_open,
    watch_relinked,
};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("ghost", ghost),
    ("ghost-sparse", ghost_sparse),
    ("ghost-shared", ghost_shared),
    ("ghost-mapped", ghost_mapped),
    ("ghost-relink", ghost_relink),
    ("o-tmpfile", o_tmpfile),
];

/// `ghost DIRECTORY MIB`: one of this size.
fn ghost(arguments: &[String]) -> Result<Infallible> {
    let [dir, mib] = arguments else {
        anyhow::bail!("which directory, how many MiB?")
    };
    let size = mib.parse::<usize>()? << 20;
    let mut role = Role::lead()?;
    let path = format!("{dir}/ghost");
    let file = create(&path, &pattern("ghost", size))?;
    fs::remove_file(&path)?;
    watch_open(role.watch(), "ghost", file, Life::Still);
    watch_list(role.watch(), dir);
    role.run()
}

/// `ghost-sparse DIRECTORY GIB`: of this size, and nearly all of it holes.
fn ghost_sparse(arguments: &[String]) -> Result<Infallible> {
    let [dir, gib] = arguments else {
        anyhow::bail!("which directory, how many GiB?")
    };
    let mut role = Role::lead()?;
    let path = format!("{dir}/ghost");
    let file = create(&path, &[])?;
    sparse(file, gib.parse::<u64>()? << 30)?;
    fs::remove_file(&path)?;
    watch_open(role.watch(), "ghost", file, Life::Still);
    stays_sparse(&mut role, file);
    role.run()
}

/// shm_open and shm_unlink, mapped by two, open under two names which are both gone.
fn ghost_shared(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/first", &pattern("shared ghost", 3 << 12))?;
    fs::hard_link("/dev/shm/first", "/dev/shm/second")?;
    let second = open("/dev/shm/second")?;
    fs::remove_file("/dev/shm/first")?;
    fs::remove_file("/dev/shm/second")?;
    role.fork("01-peer", |role| share(role, second, 1))?;
    watch_open(role.watch(), "second", second, Life::Live);
    share(role, file, 0)
}

/// Only mapped, shared and private, no descriptor.
fn ghost_mapped(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let path = "/dev/shm/mapped";
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &pattern("mapped", 4 << 12), 0)?;
    let shared = Mapping::shared(&file, 4 << 12)?;
    let read_write = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
    let private = Mapping::of(&file, 0, 4 << 12, read_write, MapFlags::MAP_PRIVATE)?;
    private.fill(b"only mine");
    fs::remove_file(path)?;
    drop(file);
    shared.watch_file(role.watch(), "shared", 0);
    private.watch_file(role.watch(), "private", 0);
    role.run()
}

/// One inode with three names in three directories, and a fourth that is gone: open by all of them, in
/// two processes. It comes back as another inode, and its names are made again.
fn ghost_relink(_: &[String]) -> Result<Infallible> {
    const NAMES: [&str; 3] = ["/dev/shm/one", "/dev/shm/d/two", "/dev/shm/d/e/three"];
    const GONE: &str = "/dev/shm/gone";
    let mut role = Role::lead()?;
    fs::create_dir_all("/dev/shm/d/e")?;
    let file = create(NAMES[0], &pattern("relinked", 70_000))?;
    for name in NAMES[1..].iter().chain([&GONE]) {
        fs::hard_link(NAMES[0], name)?;
    }
    let gone = open(GONE)?;
    fs::remove_file(GONE)?;
    role.fork("01-peer", |mut role| {
        for name in &NAMES[1..] {
            watch_relinked(role.watch(), name, open(name)?);
        }
        role.run()
    })?;
    Mapping::shared(file, 70_000)?.watch_file(role.watch(), "one", 0);
    watch_relinked(role.watch(), "one", file);
    watch_relinked(role.watch(), "gone", gone);
    for name in NAMES {
        watch_name(role.watch(), name, Life::Still);
    }
    watch_absence(role.watch(), GONE);
    watch_list(role.watch(), "/dev/shm");
    role.run()
}

/// A file of O_TMPFILE, which never had a name.
fn o_tmpfile(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR;
    let fd = nix::fcntl::open("/dev/shm", flags, Mode::from_bits_truncate(0o600))
        .context("O_TMPFILE")?;
    let file: &'static File = keep(File::from(fd));
    std::os::unix::fs::FileExt::write_all_at(file, &pattern("tmpfile", 6000), 0)?;
    set_time(file)?;
    watch_open(role.watch(), "tmpfile", file, Life::Still);
    role.run()
}
