//! Files with names on a tmpfs that goes along, and what processes have of them.

use std::convert::Infallible;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::sync::atomic::Ordering;

use anyhow::{Result, ensure};
use nix::fcntl::OFlag;
use rustix::fs::{SeekFrom, XattrFlags, seek};

use super::List;
use crate::channel::wait_for;
use crate::file::{
    Life, allocated, create, keep, open, open_as, pattern, set_time, set_times, watch_absence,
    watch_list, watch_name, watch_open,
};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("closed-files", closed_files),
    ("shm-named", shm_named),
    ("shm-sparse", shm_sparse),
    ("hard-links", hard_links),
    ("linked-deleted", linked_deleted),
    ("positions", positions),
    ("attributes", attributes),
    ("o-path", o_path),
    ("renamed", renamed),
];

const SHM: &str = "/dev/shm";

/// Nobody has them open.
fn closed_files(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    for (name, size) in [
        ("empty", 0),
        ("small", 100),
        ("pages", 3 << 12),
        ("large", 5 << 20),
    ] {
        let path = format!("{SHM}/{name}");
        // Closed at once: nothing but the names is left.
        let mut file = File::create_new(&path)?;
        file.write_all(&pattern(name, size))?;
        file.set_permissions(Permissions::from_mode(0o604))?;
        set_time(&file)?;
        watch_name(role.watch(), path, Life::Still);
    }
    let path = format!("{SHM}/owned");
    chown_new(&path, 1234, 4321)?;
    watch_name(role.watch(), path, Life::Still);
    watch_list(role.watch(), SHM);
    role.run()
}

fn chown_new(path: &str, uid: u32, gid: u32) -> Result<()> {
    let file = File::create_new(path)?;
    chown(path, Some(uid), Some(gid))?;
    // After the change of its owner, which takes these bits away.
    file.set_permissions(Permissions::from_mode(0o6751))?;
    set_time(&file)
}

/// shm_open(3), mapped by two; each counts in a word of its own, and sees the other's.
fn shm_named(_: &[String]) -> Result<Infallible> {
    const PATH: &str = "/dev/shm/named";
    let mut role = Role::lead()?;
    role.fork("01-peer", |role| {
        wait_for(PATH.as_ref())?;
        let file = open(PATH)?;
        share(role, file, 1)
    })?;
    let file = create("/dev/shm/named.new", &[0; 3 << 12])?;
    file.write_all_at(&pattern("named", 2 << 12), 1 << 12)?;
    fs::rename("/dev/shm/named.new", PATH)?;
    share(role, file, 0)
}

/// Counts in word `own` of two, and looks at both.
pub(super) fn share(mut role: Role, file: &'static File, own: usize) -> Result<Infallible> {
    let size = usize::try_from(file.metadata()?.len())?;
    let mapping = Mapping::shared(file, size)?;
    watch_open(role.watch(), "shared", file, Life::Live);
    mapping.watch_file(role.watch(), "shared", 1 << 12);
    role.act(move |round| {
        mapping.word(own).store(round, Ordering::SeqCst);
        Ok(())
    });
    role.check("the shared words", move |round| {
        for word in 0..2 {
            let value = mapping.word(word).load(Ordering::SeqCst);
            ensure!(value == round, "word {word} is {value}, not {round}");
        }
        Ok(())
    });
    role.run()
}

/// 1 GiB with five pages.
fn shm_sparse(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/sparse", &[])?;
    sparse(file, 1 << 30)?;
    let mapping = Mapping::shared(file, 1 << 30)?;
    watch_open(role.watch(), "sparse", file, Life::Still);
    watch_name(role.watch(), "/dev/shm/sparse", Life::Still);
    role.watch().inode("its mapping", move || mapping.inode());
    stays_sparse(&mut role, file);
    role.run()
}

/// Makes a file of `size` bytes with a few pages, the last one at its end.
pub(super) fn sparse(file: &File, size: u64) -> Result<()> {
    file.set_len(size)?;
    for part in 0..5 {
        let at = (size - 4096) / 4 * part / 4096 * 4096;
        file.write_all_at(&pattern("sparse", 4096), at)?;
    }
    set_time(file)
}

/// Its holes must not be filled.
pub(super) fn stays_sparse(role: &mut Role, file: &'static File) {
    role.check("holes", move |_| {
        let bytes = allocated(file)?;
        ensure!(bytes <= 1 << 20, "it takes {bytes} bytes");
        Ok(())
    });
}

/// One inode with names in several directories, open by three of them in two processes.
fn hard_links(_: &[String]) -> Result<Infallible> {
    const NAMES: [&str; 4] = [
        "/dev/shm/one",
        "/dev/shm/d/two",
        "/dev/shm/d/e/three",
        "/dev/shm/f/four",
    ];
    let mut role = Role::lead()?;
    role.fork("01-peer", |mut role| {
        wait_for("/dev/shm/done".as_ref())?;
        for name in [NAMES[3], NAMES[1]] {
            watch_open(role.watch(), name, open(name)?, Life::Still);
        }
        role.run()
    })?;
    fs::create_dir_all("/dev/shm/d/e")?;
    fs::create_dir("/dev/shm/f")?;
    let file = create(NAMES[0], &pattern("links", 70_000))?;
    for name in &NAMES[1..] {
        fs::hard_link(NAMES[0], name)?;
    }
    create("/dev/shm/done", &[])?;
    watch_open(role.watch(), "one", file, Life::Still);
    watch_open(role.watch(), "three", open(NAMES[2])?, Life::Still);
    for name in NAMES {
        watch_name(role.watch(), name, Life::Still);
    }
    role.run()
}

/// `linked-deleted DIRECTORY`: the opened name is gone, another one lives: by descriptor, by
/// mapping, and both twice.
fn linked_deleted(arguments: &[String]) -> Result<Infallible> {
    let [dir] = arguments else {
        anyhow::bail!("which directory?")
    };
    let at = |name: &str| format!("{dir}/{name}");
    let mut role = Role::lead()?;
    let file = create(at("temporary"), &pattern("linked", 9000))?;
    // The layer that containerd makes of a root file system has whole seconds.
    set_times(file, (1_600_000_000, 0))?;
    fs::create_dir(at("d"))?;
    fs::hard_link(at("temporary"), at("other"))?;
    fs::hard_link(at("temporary"), at("d/kept"))?;
    let other = open(at("other"))?;
    let kept = open(at("d/kept"))?;
    let mapping = Mapping::shared(other, 9000)?;
    fs::remove_file(at("temporary"))?;
    fs::remove_file(at("other"))?;
    for (label, file) in [("temporary", file), ("other", other), ("kept", kept)] {
        watch_open(role.watch(), label, file, Life::Still);
    }
    mapping.watch(role.watch(), "other", 0);
    watch_name(role.watch(), at("d/kept"), Life::Still);
    watch_absence(role.watch(), at("temporary"));
    watch_absence(role.watch(), at("other"));
    role.run()
}

/// Descriptions with positions and flags of their own, one of them under two numbers.
fn positions(_: &[String]) -> Result<Infallible> {
    const PATH: &str = "/dev/shm/file";
    let mut role = Role::lead()?;
    let file = create(PATH, &pattern("positions", 10_000))?;
    seek(file, SeekFrom::Start(1234))?;
    let again: &'static File = keep(file.try_clone()?);
    let reader = open_as(PATH, OFlag::O_RDONLY | OFlag::O_CLOEXEC)?;
    seek(reader, SeekFrom::Start(99))?;
    let appender = open_as(PATH, OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NONBLOCK)?;
    let beyond = open_as(PATH, OFlag::O_RDWR | OFlag::O_SYNC)?;
    seek(beyond, SeekFrom::Start(1 << 33))?;
    for (label, file) in [
        ("file", file),
        ("again", again),
        ("reader", reader),
        ("beyond", beyond),
    ] {
        watch_open(role.watch(), label, file, Life::Live);
    }
    role.check("the appending descriptor", move |_| {
        let before = file.metadata()?.len();
        let mut writer = appender;
        writer.write_all(b"more")?;
        ensure!(file.metadata()?.len() == before + 4, "it does not append");
        file.set_len(before)?;
        Ok(())
    });
    role.check("one description", move |round| {
        seek(file, SeekFrom::Start(round))?;
        let at = seek(again, SeekFrom::Current(0))?;
        seek(file, SeekFrom::Start(1234))?;
        ensure!(at == round, "the copy is at {at}");
        Ok(())
    });
    role.run()
}

/// Extended attributes, access lists, special modes, times before 1970 and to the nanosecond.
fn attributes(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create("/dev/shm/file", b"attributes")?;
    let large = pattern("large attribute", 2000);
    rustix::fs::fsetxattr(file, "trusted.fidelity", &large, XattrFlags::CREATE)?;
    rustix::fs::fsetxattr(file, "security.fidelity", b"a\0b", XattrFlags::CREATE)?;
    // Version 2 of acl(5) as the kernel has it: user::rw- user:1000:r-- group::r-- mask::r-- other::---
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01_u16, 6_u16, u32::MAX),
        (0x02, 4, 1000),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    rustix::fs::fsetxattr(file, "system.posix_acl_access", &list, XattrFlags::CREATE)?;
    fs::create_dir("/dev/shm/d")?;
    rustix::fs::setxattr(
        "/dev/shm/d",
        "system.posix_acl_default",
        &list,
        XattrFlags::CREATE,
    )?;
    fs::set_permissions("/dev/shm/d", Permissions::from_mode(0o3751))?;
    set_times(file, (-1_000_000, 123_456_789))?;
    watch_open(role.watch(), "file", file, Life::Still);
    watch_name(role.watch(), "/dev/shm/file", Life::Still);
    let d = File::open("/dev/shm/d")?;
    set_times(&d, (4_000_000_000, 987_654_321))?;
    watch_name(role.watch(), "/dev/shm/d", Life::Still);
    role.run()
}

/// Descriptors of O_PATH: of a file, a directory, a symbolic link.
fn o_path(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    create("/dev/shm/file", b"path")?;
    fs::create_dir("/dev/shm/d")?;
    let file = open_as("/dev/shm/file", OFlag::O_PATH)?;
    let dir = open_as("/dev/shm/d", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    watch_open(role.watch(), "file", file, Life::Still);
    watch_open(role.watch(), "directory", dir, Life::Live);
    watch_name(role.watch(), "/dev/shm/file", Life::Still);
    watch_name(role.watch(), "/dev/shm/d", Life::Live);
    role.run()
}

/// Opened under a name that now leads to another file, or nowhere; both files are open.
fn renamed(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let old = create("/dev/shm/log", &pattern("old", 5000))?;
    fs::rename("/dev/shm/log", "/dev/shm/log.1")?;
    let new = create("/dev/shm/log", &pattern("new", 600))?;
    symlink("log", "/dev/shm/current")?;
    let by_link = open("/dev/shm/current")?;
    watch_open(role.watch(), "old", old, Life::Still);
    watch_open(role.watch(), "new", new, Life::Still);
    watch_open(role.watch(), "by link", by_link, Life::Still);
    for name in ["/dev/shm/log", "/dev/shm/log.1", "/dev/shm/current"] {
        watch_name(role.watch(), name, Life::Still);
    }
    role.run()
}
