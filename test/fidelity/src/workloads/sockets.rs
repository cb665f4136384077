//! Unix sockets that are not where they were bound.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{chroot, fchdir};

use super::List;
use crate::file::watch_absence;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("unix-renamed", renamed),
    ("unix-linked", linked),
    ("unix-relative", relative),
];

/// `unix-renamed DIRECTORY`: a listener and a datagram socket, each bound under one name and renamed, a
/// listener that was linked and lost its first name, and those that are connected to them; one that
/// was bound within another root, and one under a relative name, in a directory that was renamed. Each
/// round gives some of them other names, and connects by these.
fn renamed(arguments: &[String]) -> Result<Infallible> {
    let [dir] = arguments else {
        bail!("in which directory?")
    };
    let mut role = Role::lead()?;
    let bound = |name: &str| format!("{dir}/{name}.tmp");

    let listener = UnixListener::bind(bound("listener"))?;
    let name = Name::of(dir, "listener");
    fs::rename(bound("listener"), name.now())?;
    let client = UnixStream::connect(name.now())?;
    let (server, _) = listener.accept()?;
    name.renamed_by(&mut role);
    role.check("the listener", move |_| meet(&listener, &name.now()));
    role.check("the connection", move |_| pass_on(&client, &server));

    let datagrams = UnixDatagram::bind(bound("datagrams"))?;
    let name = Name::of(dir, "datagrams");
    fs::rename(bound("datagrams"), name.now())?;
    let connected = UnixDatagram::unbound()?;
    connected.connect(name.now())?;
    name.renamed_by(&mut role);
    role.check("the datagram socket", move |_| {
        connected.send(b"connected")?;
        expect(&datagrams, b"connected")?;
        UnixDatagram::unbound()?.send_to(b"by name", name.now())?;
        expect(&datagrams, b"by name")
    });

    let linked = UnixListener::bind(bound("linked"))?;
    let name = Name::of(dir, "linked");
    fs::hard_link(bound("linked"), name.now())?;
    fs::remove_file(bound("linked"))?;
    role.check("the linked listener", move |_| meet(&linked, &name.now()));

    let jailed = format!("{dir}/jail/listener");
    fs::create_dir(format!("{dir}/jail"))?;
    let root = fs::File::open("/")?;
    chroot(format!("{dir}/jail").as_str())?;
    let listener = UnixListener::bind("/listener")?;
    fchdir(&root)?;
    chroot(".")?;
    role.check("what was bound in another root", move |_| {
        meet(&listener, &jailed)
    });

    fs::create_dir(bound("directory"))?;
    std::env::set_current_dir(bound("directory"))?;
    let listener = UnixListener::bind("relative")?;
    std::env::set_current_dir("/")?;
    fs::rename(bound("directory"), format!("{dir}/directory"))?;
    let name = format!("{dir}/directory/relative");
    role.check("the relative name", move |_| meet(&listener, &name));

    for name in ["listener", "datagrams", "linked"] {
        watch_absence(role.watch(), bound(name));
    }
    role.run()
}

/// A listener whose file has two names, of which each leads to it.
fn linked(_: &[String]) -> Result<Infallible> {
    const NAMES: [&str; 2] = ["/dev/shm/listener", "/dev/shm/other"];
    let mut role = Role::lead()?;
    let listener = UnixListener::bind(NAMES[0])?;
    fs::hard_link(NAMES[0], NAMES[1])?;
    role.check("the listener", move |_| {
        NAMES.iter().try_for_each(|name| meet(&listener, name))
    });
    role.run()
}

/// A listener that was bound under a relative name, and renamed.
fn relative(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    std::env::set_current_dir("/dev/shm")?;
    let listener = UnixListener::bind("old")?;
    fs::rename("old", "new")?;
    role.check("the listener", move |_| meet(&listener, "/dev/shm/new"));
    role.run()
}

/// A name that changes.
#[derive(Clone)]
struct Name {
    base: String,
    now: Rc<RefCell<String>>,
}

impl Name {
    fn of(dir: &str, name: &str) -> Self {
        let base = format!("{dir}/{name}");
        let now = Rc::new(RefCell::new(base.clone()));
        Self { base, now }
    }

    fn now(&self) -> String {
        self.now.borrow().clone()
    }

    /// Renames what has it, in each round.
    fn renamed_by(&self, role: &mut Role) {
        let name = self.clone();
        role.act(move |round| {
            let next = format!("{}.{round}", name.base);
            let now = name.now.replace(next.clone());
            fs::rename(&now, next).with_context(|| format!("cannot rename {now}"))
        });
    }
}

/// Connects by name, and talks.
fn meet(listener: &UnixListener, name: &str) -> Result<()> {
    let client = UnixStream::connect(name).with_context(|| format!("cannot connect to {name}"))?;
    // Who answers by this name is somebody else if nobody has come.
    listener.set_nonblocking(true)?;
    let (server, _) = listener.accept().context("nobody has come")?;
    pass_on(&client, &server)
}

fn pass_on(mut client: &UnixStream, mut server: &UnixStream) -> Result<()> {
    client.write_all(b"request")?;
    let mut bytes = [0; 7];
    server.read_exact(&mut bytes)?;
    ensure!(&bytes == b"request", "{bytes:?}");
    Ok(())
}

fn expect(socket: &UnixDatagram, message: &[u8]) -> Result<()> {
    socket.set_nonblocking(true)?;
    let mut bytes = [0; 100];
    let length = socket.recv(&mut bytes)?;
    ensure!(bytes.get(..length) == Some(message), "{bytes:?}");
    Ok(())
}
