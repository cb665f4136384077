use super::*;
use std::os::unix::fs::symlink;
use std::time::Duration;

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

fn inode_of(path: &Path) -> Inode {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::BASIC_STATS).unwrap();
    (device_of(&stat), stat.stx_ino)
}

fn search(view: &Path, listed: &Path, wanted: &[Inode], until: Instant) -> Names {
    let (view, listed) = (open(view), open(listed));
    let search = NameSearch {
        view: &view,
        listed: &listed,
        wanted: wanted.iter().copied().collect(),
        kinds: vec![FileType::RegularFile],
        until,
    };
    search.run(HashSet::from(["a/b".into(), "not there".into()]))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// A directory with the file `a/b/file`, whose other name is CRIU's, and what leads elsewhere.
fn ground() -> (tempfile::TempDir, Inode) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path("a/b")).unwrap();
    std::fs::write(path("a/b/file"), b"x").unwrap();
    std::fs::hard_link(path("a/b/file"), path("link_remap.4")).unwrap();
    symlink("/", path("away")).unwrap();
    symlink("a/b/file", path("symlink")).unwrap();
    let inode = inode_of(&path("a/b/file"));
    (dir, inode)
}

#[test]
fn a_name_is_found_and_no_name_of_criu_is_one() {
    let (dir, inode) = ground();
    let other = (inode.0, u64::MAX);
    let found = search(dir.path(), dir.path(), &[inode, other], soon());
    let expected = HashMap::from([(inode, PathBuf::from("a/b/file"))]);
    assert_eq!(found.names, expected);
    assert!(!found.hidden && !found.expired);
    std::fs::remove_file(dir.path().join("a/b/file")).unwrap();
    let found = search(dir.path(), dir.path(), &[inode], soon());
    assert!(found.names.is_empty() && !found.hidden);
}

#[test]
fn where_another_directory_is_listed_the_view_counts() {
    let (dir, inode) = ground();
    let listed = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(listed.path().join("a/b")).unwrap();
    std::fs::create_dir_all(listed.path().join("only here")).unwrap();
    std::fs::write(listed.path().join("a/b/file"), b"another").unwrap();
    let found = search(dir.path(), listed.path(), &[inode], soon());
    assert_eq!(found.names[&inode], Path::new("a/b/file"));
    assert!(!found.hidden);
}

#[test]
fn a_search_ends_when_its_time_is_up() {
    let (dir, inode) = ground();
    let found = search(dir.path(), dir.path(), &[inode], Instant::now());
    assert!(found.expired && found.names.is_empty());
}

#[test]
fn what_another_mount_covers_is_not_seen() {
    let dev = open(Path::new("/dev"));
    let stat = rustix::fs::statx(&dev, "shm", AtFlags::empty(), StatxFlags::MNT_ID).unwrap();
    let own = rustix::fs::statx(&dev, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).unwrap();
    assert_ne!(stat.stx_mnt_id, own.stx_mnt_id, "/dev/shm is no mount here");
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let inode = inode_of(file.path());
    let found = search(Path::new("/dev"), Path::new("/dev"), &[inode], soon());
    assert!(found.hidden && found.names.is_empty());
}

#[test]
fn what_is_covered_matters_only_if_the_list_has_something_there() {
    let listed = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(listed.path().join("shm/empty")).unwrap();
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let inode = inode_of(file.path());
    let look = || search(Path::new("/dev"), listed.path(), &[inode], soon());
    assert!(!look().hidden);
    std::fs::write(listed.path().join("shm/empty/file"), b"x").unwrap();
    assert!(look().hidden && look().names.is_empty());
}

#[test]
fn the_root_itself_has_an_empty_name() {
    let (dir, inode) = ground();
    let root = inode_of(dir.path());
    let found = search(dir.path(), dir.path(), &[root, inode], soon());
    assert_eq!(found.names[&root], PathBuf::new());
    assert_eq!(found.names[&inode], PathBuf::from("a/b/file"));
}
