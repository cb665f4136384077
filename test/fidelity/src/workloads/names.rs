//! Names that are allowed and seldom seen, and inodes that are no files.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;

use super::List;
use crate::file::{
    Life, create, open_as, pattern, watch_absence, watch_list, watch_name, watch_open,
};
use crate::role::Role;

pub(super) const LIST: List = &[
    ("odd-names", odd_names),
    ("deleted-suffix", deleted_suffix),
    ("fifo", fifo),
    ("fifo-deleted", fifo_deleted),
    ("symlinks", symlinks),
    ("devices", devices),
    ("nested", nested),
];

const SHM: &str = "/dev/shm";

fn in_shm(name: &[u8]) -> PathBuf {
    Path::new(SHM).join(OsStr::from_bytes(name))
}

/// Each is open under its name.
fn odd_names(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let longest = [b'n'; 255];
    let names: [&[u8]; 9] = [
        b"with space",
        b"new\nline",
        b"bytes \xff\xfe\x80",
        br"back\040slash",
        b" leading",
        b"trailing ",
        "\u{1f980}".as_bytes(),
        b"-rf",
        &longest,
    ];
    for (index, name) in names.into_iter().enumerate() {
        let path = in_shm(name);
        let file = create(&path, &pattern(&index.to_string(), 5000))?;
        watch_open(role.watch(), &format!("number {index}"), file, Life::Still);
        watch_name(role.watch(), path, Life::Still);
    }
    watch_list(role.watch(), SHM);
    role.run()
}

/// Names that end as the kernel writes a deleted one: alive, gone, and one beside the other.
fn deleted_suffix(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let alive = create("/dev/shm/alive (deleted)", &pattern("alive", 5000))?;
    let gone = create("/dev/shm/gone (deleted)", &pattern("gone", 5000))?;
    fs::remove_file("/dev/shm/gone (deleted)")?;
    // What the kernel shows for the first is the name of the second.
    let first = create("/dev/shm/twin", &pattern("first", 5000))?;
    fs::remove_file("/dev/shm/twin")?;
    let second = create("/dev/shm/twin (deleted)", &pattern("second", 5000))?;
    for (label, file) in [
        ("alive", alive),
        ("gone", gone),
        ("first", first),
        ("second", second),
    ] {
        watch_open(role.watch(), label, file, Life::Still);
    }
    for name in ["alive (deleted)", "twin (deleted)"] {
        watch_name(role.watch(), in_shm(name.as_bytes()), Life::Still);
    }
    watch_list(role.watch(), SHM);
    role.run()
}

/// With data in it, open for both directions, and one that nobody has open.
fn fifo(_: &[String]) -> Result<Infallible> {
    hold_fifo(false)
}

/// The same without a name.
fn fifo_deleted(_: &[String]) -> Result<Infallible> {
    hold_fifo(true)
}

fn hold_fifo(is_deleted: bool) -> Result<Infallible> {
    let mut role = Role::lead()?;
    mkfifo("/dev/shm/idle", Mode::from_bits_truncate(0o622))?;
    watch_name(role.watch(), "/dev/shm/idle", Life::Still);
    mkfifo("/dev/shm/fifo", Mode::from_bits_truncate(0o600))?;
    let fifo = open_as("/dev/shm/fifo", OFlag::O_RDWR | OFlag::O_NONBLOCK)?;
    nix::unistd::write(fifo, b"before")?;
    if is_deleted {
        fs::remove_file("/dev/shm/fifo")?;
        watch_absence(role.watch(), "/dev/shm/fifo");
    } else {
        watch_name(role.watch(), "/dev/shm/fifo", Life::Live);
    }
    watch_open(role.watch(), "fifo", fifo, Life::Live);
    role.check("what is in the pipe", move |_| {
        let mut bytes = [0; 100];
        let read = nix::unistd::read(fifo, &mut bytes)?;
        let read = bytes.get(..read).unwrap_or_default();
        ensure!(read == b"before", "it has {read:?}");
        nix::unistd::write(fifo, b"before")?;
        Ok(())
    });
    role.run()
}

/// That lead somewhere, nowhere, to themselves, and out of the mount.
fn symlinks(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    create("/dev/shm/file", b"target")?;
    for (name, target) in [
        ("to-file", b"file".as_slice()),
        ("nowhere", b"nothing \xff"),
        ("self", b"self"),
        ("out", b"/etc/passwd"),
        ("up", b"../../etc"),
        ("long", &[b'l'; 4000]),
    ] {
        let path = in_shm(name.as_bytes());
        symlink(OsStr::from_bytes(target), &path)?;
        watch_name(role.watch(), path, Life::Still);
    }
    role.run()
}

/// Nodes of devices among the files, and open ones that CRIU knows.
fn devices(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let mode = Mode::from_bits_truncate(0o640);
    for (name, kind, (major, minor)) in [
        ("null", SFlag::S_IFCHR, (1, 3)),
        ("disk", SFlag::S_IFBLK, (7, 200)),
    ] {
        let path = in_shm(name.as_bytes());
        mknod(&path, kind, mode, nix::sys::stat::makedev(major, minor))
            .with_context(|| format!("mknod {name}"))?;
        watch_name(role.watch(), path, Life::Still);
    }
    for name in ["/dev/null", "/dev/zero", "/dev/urandom"] {
        let device = open_as(name, OFlag::O_RDONLY)?;
        watch_open(role.watch(), name, device, Life::Live);
    }
    role.run()
}

/// Files on a mount and on the two that lie on it.
fn nested(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    for dir in [SHM, "/dev/shm/inner", "/dev/shm/own"] {
        let path = format!("{dir}/file");
        let file = create(&path, &pattern(dir, 5000))?;
        // CRIU saves its own tmpfs with whole seconds.
        let life = if dir.ends_with("own") {
            Life::Live
        } else {
            Life::Still
        };
        watch_open(role.watch(), &path, file, life);
        watch_name(role.watch(), path, life);
        watch_list(role.watch(), dir);
    }
    role.run()
}
