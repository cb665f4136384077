//! Directories: open, deep, removed, and where processes work.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use nix::fcntl::OFlag;

use super::List;
use crate::file::{Life, create, open_as, watch_absence, watch_list, watch_name, watch_open};
use crate::role::Role;

pub(super) const LIST: List = &[
    ("directories", directories),
    ("directories-deleted", directories_deleted),
    ("directory-taken", directory_taken),
    ("cwd", cwd),
    ("cwd-deleted", cwd_deleted),
];

const SHM: &str = "/dev/shm";

/// Open, empty, deep, and unreadable ones.
fn directories(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let mut deep = PathBuf::from(SHM);
    for level in 0..40 {
        deep.push(format!("level-{level}"));
    }
    fs::create_dir_all(&deep)?;
    let file = create(deep.join("file"), b"deep")?;
    for name in ["empty", "closed", "open"] {
        fs::create_dir(format!("{SHM}/{name}"))?;
    }
    create("/dev/shm/closed/file", b"closed")?;
    fs::set_permissions(
        "/dev/shm/closed",
        std::os::unix::fs::PermissionsExt::from_mode(0o0),
    )?;
    let open = open_as("/dev/shm/open", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    watch_open(role.watch(), "deep", file, Life::Still);
    watch_open(role.watch(), "open", open, Life::Still);
    for name in ["empty", "closed", "open", "closed/file"] {
        watch_name(role.watch(), format!("{SHM}/{name}"), Life::Still);
    }
    watch_list(role.watch(), SHM);
    role.run()
}

/// Open ones that have been removed: two of one parent, and one of the root file system.
fn directories_deleted(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    fs::create_dir("/dev/shm/kept")?;
    for path in ["/dev/shm/kept/one", "/dev/shm/kept/two", "/removed"] {
        fs::create_dir(path)?;
        let open = open_as(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        fs::remove_dir(path)?;
        // CRIU makes it anew, and keeps no time of it.
        watch_open(role.watch(), path, open, Life::Live);
        watch_absence(role.watch(), path);
    }
    watch_list(role.watch(), "/dev/shm/kept");
    role.run()
}

/// One that has been removed, and whose name another one has now.
fn directory_taken(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    fs::create_dir("/taken")?;
    let removed = open_as("/taken", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    fs::remove_dir("/taken")?;
    fs::create_dir("/taken")?;
    watch_open(role.watch(), "removed", removed, Life::Live);
    watch_name(role.watch(), "/taken", Life::Live);
    role.run()
}

/// Those in which two processes work.
fn cwd(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    fs::create_dir_all("/dev/shm/d/e")?;
    create("/dev/shm/d/e/file", b"relative")?;
    role.fork("01-above", |mut role| {
        std::env::set_current_dir("/dev/shm/d")?;
        watch_name(role.watch(), "e/file", Life::Still);
        role.run()
    })?;
    std::env::set_current_dir("/dev/shm/d/e")?;
    watch_name(role.watch(), "file", Life::Still);
    watch_cwd(&mut role);
    role.run()
}

/// A working directory that has been removed.
fn cwd_deleted(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    fs::create_dir_all("/dev/shm/d/e")?;
    std::env::set_current_dir("/dev/shm/d/e")?;
    fs::remove_dir("/dev/shm/d/e")?;
    watch_cwd(&mut role);
    watch_list(role.watch(), SHM);
    role.run()
}

fn watch_cwd(role: &mut Role) {
    role.watch().fact("the working directory", || {
        let link = fs::read_link("/proc/self/cwd")?;
        let links =
            fs::metadata(".").map(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata));
        Ok(format!("{link:?} {links:?}"))
    });
}
