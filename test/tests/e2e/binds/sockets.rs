//! Unix sockets with names on a carried tmpfs.

use anyhow::{Result, ensure};

use super::{Directories, ID, expect, move_on, start};
use crate::context::Context;

/// Who listens there does so on the other host, and a name of a socket that nobody has is left
/// behind, and noted.
pub(super) fn listener(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "import os, socket\n\
        os.mkdir('/data/dir')\n\
        dead = socket.socket(socket.AF_UNIX); dead.bind('/data/dead'); dead.close()\n\
        live = socket.socket(socket.AF_UNIX); live.bind('/data/dir/live'); live.listen()\n\
        mail = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); mail.bind('/data/mail')\n\
        open('/ready', 'w').close()\n\
        while True:\n    \
            peer, _ = live.accept()\n    \
            peer.sendall(mail.recv(99))\n    \
            peer.close()\n";
    const ASK: &str = "import socket\n\
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'letter', '/data/mail')\n\
        peer = socket.socket(socket.AF_UNIX); peer.connect('/data/dir/live')\n\
        print(peer.recv(99).decode())\n";
    let _directories = [
        Directories::make(context.a())?,
        Directories::make(context.b())?,
    ];
    let run = context.ctr().run(context.runtime(), context.python()?, ID);
    let run = run.bind("/run/remap-binds/shm", "/data");
    let run = run.args(["python3", "-c", WORKLOAD]);
    let ask = format!("python3 -c \"{ASK}\"");
    start(context, run, || Ok(()))?;
    expect(&context.ctr(), &ask, "letter")?;
    let plan = context.a().command("remapctl").args(["plan", ID]).run()?;
    let words = plan.text().split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "names of Unix sockets at /data are not carried";
    ensure!(words.contains(told), "no {told:?} in {words}");
    move_on(context)?;
    expect(&context.ctr_on_b(), &ask, "letter")?;
    let b = context.ctr_on_b();
    expect(&b, "cd /data && ls . dir", ".:\ndir\nmail\n\ndir:\nlive")?;
    let log = context
        .a()
        .shell("grep \"a socket's name is left to CRIU\" /var/log/containerd.log")?;
    for path in ["/data/dead", "/data/dir/live", "/data/mail"] {
        ensure!(log.text().contains(path), "no {path} in the log");
    }
    b.remove(ID)
}
