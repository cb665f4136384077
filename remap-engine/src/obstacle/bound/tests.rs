use super::*;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

fn own() -> Process {
    Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap()
}

/// What is said of a socket of this very process.
fn decided(socket: impl Into<OwnedFd>, connected: bool) -> Option<Kind> {
    let bound = ask(&socket.into(), connected)?;
    seen_by(&own(), &bound)
}

fn seen_by(process: &Process, bound: &Bound) -> Option<Kind> {
    let view = View::by(process).unwrap();
    let leads = |path: &Path| view.identity(path) == Some(bound.file);
    decide(9, bound, leads, || view.search(bound))
}

fn renamed(name: PathBuf) -> Option<Kind> {
    Some(Kind::UnixRenamed { socket: 9, name })
}

#[test]
fn a_socket_is_where_its_file_is() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |name: &str| dir.path().join(name);
    let listener = UnixListener::bind(at("s.tmp")).unwrap();
    let datagram = UnixDatagram::bind(at("d.tmp")).unwrap();
    let copy = || listener.try_clone().unwrap();
    assert_eq!(decided(copy(), false), None);
    fs::rename(at("s.tmp"), at("s")).unwrap();
    fs::rename(at("d.tmp"), at("d")).unwrap();
    assert_eq!(decided(copy(), false), renamed(at("s")));
    assert_eq!(decided(datagram, false), renamed(at("d")));
    // The one that is accepted has its listener's name.
    let _client = UnixStream::connect(at("s")).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(decided(accepted, true), renamed(at("s")));
    // Another socket has the old name.
    let _other = UnixListener::bind(at("s.tmp")).unwrap();
    assert_eq!(decided(copy(), false), renamed(at("s")));
    fs::create_dir(at("deep")).unwrap();
    fs::rename(at("s"), at("deep/s")).unwrap();
    fs::rename(at("deep"), at("there")).unwrap();
    assert_eq!(decided(copy(), false), renamed(at("there/s")));
    fs::remove_file(at("there/s")).unwrap();
    assert_eq!(decided(copy(), false), None);
}

#[test]
fn one_that_was_linked_is_searched_for() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |name: &str| dir.path().join(name);
    let listener = UnixListener::bind(at("s.tmp")).unwrap();
    let copy = || listener.try_clone().unwrap();
    fs::hard_link(at("s.tmp"), at("s")).unwrap();
    assert_eq!(decided(copy(), false), Some(Kind::UnixLinked));
    assert_eq!(decided(copy(), true), None);
    fs::remove_file(at("s.tmp")).unwrap();
    assert_eq!(decided(copy(), false), renamed(at("s")));
    // CRIU would take it for deleted: the kernel says that the name is gone.
    fs::rename(at("s"), at("s.tmp")).unwrap();
    assert_eq!(decided(copy(), false), renamed(at("s.tmp")));
}

#[test]
fn a_name_by_a_link_is_one_and_a_link_in_its_place_is_none() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("run")).unwrap();
    std::os::unix::fs::symlink("run", at("var")).unwrap();
    let listener = UnixListener::bind(at("var/s")).unwrap();
    let copy = || listener.try_clone().unwrap();
    assert_eq!(decided(copy(), false), None);
    fs::rename(at("run/s"), at("run/other")).unwrap();
    std::os::unix::fs::symlink("other", at("run/s")).unwrap();
    assert_eq!(decided(copy(), false), renamed(at("run/other")));
}

#[test]
fn a_name_that_no_socket_can_have_or_nobody_sees_is_lost() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let long = dir.path().join("n".repeat(NAME_MAX_BYTES));
    fs::rename(dir.path().join("s"), long).unwrap();
    let copy = || listener.try_clone().unwrap();
    assert_eq!(decided(copy(), false), Some(Kind::UnixLost));
    assert_eq!(decided(copy(), true), None);
    let bound = ask(&copy().into(), false).unwrap();
    let lost = decide(9, &bound, |_| false, || None);
    assert_eq!(lost, Some(Kind::UnixLost));
}

/// A restore binds it from the root of the mount namespace, whoever sees it from another one.
#[test]
fn what_was_bound_within_another_root_is_below_it() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().to_owned();
    let within = move || {
        let process = Process::pin(nix::unistd::gettid().as_raw()).unwrap();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
        nix::unistd::chroot(&path).unwrap();
        (process, UnixListener::bind("/s").unwrap())
    };
    let (answer, answered) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        answer.send(within()).unwrap();
        // It is looked at by its root for so long.
        ended.recv().unwrap_err();
    });
    let (process, listener) = answered.recv().unwrap();
    let outer = dir.path().join("s");
    let bound = ask(&listener.into(), false).unwrap();
    assert_eq!(bound.name, Path::new("/s"));
    for viewer in [&process, &own()] {
        assert_eq!(seen_by(viewer, &bound), renamed(outer.clone()));
    }
    drop(end);
    thread.join().unwrap();
}

#[test]
fn what_has_no_file_is_left_alone() {
    let (one, other) = UnixStream::pair().unwrap();
    assert!(ask(&one.into(), true).is_none());
    assert!(ask(&other.into(), true).is_none());
    let unbound = UnixDatagram::unbound().unwrap();
    assert!(ask(&unbound.into(), false).is_none());
}

#[test]
fn a_relative_name_has_to_end_the_path() {
    let bound = |name: &str, shown: &str, links| Bound {
        name: name.into(),
        shown: shown.into(),
        file: (own().identity(Path::new("/")).unwrap().0, 5),
        links,
        mount_id: 1,
        connected: false,
    };
    let decided = |bound: Bound| {
        let is_there = |path: &Path| path == Path::new("/run/s") && bound.links > 0;
        decide(9, &bound, is_there, || Some("/run/s".into()))
    };
    for name in ["s", "./s"] {
        assert_eq!(decided(bound(name, "/run/s", 1)), None);
        assert_eq!(decided(bound(name, "/run/s (deleted)", 0)), None);
        let linked = bound(name, "/tmp/s (deleted)", 1);
        assert_eq!(decided(linked), renamed("/run/s".into()));
    }
    for name in ["old", "../run/s", "un/s"] {
        assert_eq!(decided(bound(name, "/run/s", 1)), Some(Kind::UnixRelative));
    }
    let gone = bound("old", "/run/s (deleted)", 0);
    assert_eq!(decided(gone), Some(Kind::UnixRelative));
}
