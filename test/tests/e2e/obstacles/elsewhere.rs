//! Datagram sockets to a process of the host, as those of syslog(3) are, with CRIU allowed to
//! reconnect them (`ext-unix-sk`).

use anyhow::{Context as _, Result, ensure};
use remap_test::exec::Background;
use remap_test::{Ctr, wait};

use super::host;
use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::stock::expect_in_log;
use crate::workload::{ID, LIMIT, wait_until_ready};

const IMAGE: &str = "remap.test/elsewhere:1";

const ALLOWED: &str = "ext-unix-sk\n";

/// Connects to `sys.argv[1]`, of which a leading @ stands for the zero byte of an abstract name, and
/// sends a word again and again.
const SENDER: &str = "\
import os, socket, sys, time
name = sys.argv[1]
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect('\\0' + name[1:] if name[0] == '@' else name)
os.makedirs('/workload-state')
open('/workload-state/ready', 'w').close()
while True:
    sender.send(b'word')
    time.sleep(0.05)
";

/// Writes what comes to the abstract name `argv[1]` to the file `argv[2]`.
const RECEIVER: &str = "\
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind('\\0' + sys.argv[1])
with open(sys.argv[2], 'wb', buffering=0) as file:
    while True:
        file.write(receiver.recv(99))
";

/// In a network namespace of its own CRIU does not find the other end: the plan says so, and with the
/// stock shim CRIU does, in the middle of the dump.
pub(super) fn own_network(context: &Context) -> Result<()> {
    let sockets = format!("{}/sockets", context.dir()?);
    let listener = host::listen(context.a(), &sockets)?;
    let _conf = CriuConf::write(context.a(), ALLOWED)?;
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    let name = format!("{}/datagrams", host::INSIDE);
    run.bind(&sockets, host::INSIDE)
        .args(["python3", "-c", SENDER, &name])
        .start()?;
    wait_until_ready(&ctr)?;
    // Nothing takes what is sent: soon it waits for room, or sends on.
    let error = ctr.checkpoint(ID, IMAGE).err();
    let error = error.context("CRIU can dump the socket")?.to_string();
    if context.runtime().is_ours() {
        for part in ["phase plan", "one of a network namespace", "socket:["] {
            ensure!(error.contains(part), "no {part:?} in {error}");
        }
    } else {
        expect_in_log(&ctr, "criu-dump.log", &["without peer"])?;
    }
    listener.kill()?;
    ctr.remove(ID)
}

/// In the host's network namespace it is dumped, and reconnected.
pub(super) fn network_of_host(context: &Context) -> Result<()> {
    let heard = format!("{}/heard", context.dir()?);
    let receiver = listen(context, &heard)?;
    let _conf = CriuConf::write(context.a(), ALLOWED)?;
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.flag(["--net-host"])
        .args(["python3", "-c", SENDER, "@remap-test"])
        .start()?;
    wait_until_ready(&ctr)?;
    expect_words(&ctr, &heard)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    expect_words(&ctr, &heard)?;
    ctr.remove(ID)?;
    receiver.kill()?;
    ctr.remove_image(IMAGE)
}

fn listen(context: &Context, heard: &str) -> Result<Background> {
    let command = context.a().command("python3");
    let receiver = command
        .args(["-c", RECEIVER, "remap-test", heard])
        .spawn()?;
    let there = || Ok(context.a().path(heard).exists());
    ensure!(wait::until(LIMIT, there)?, "nobody listens");
    Ok(receiver)
}

/// More words come.
fn expect_words(ctr: &Ctr, heard: &str) -> Result<()> {
    let length = || {
        let file = std::fs::metadata(ctr.host().path(heard));
        anyhow::Ok(file.context("what was heard")?.len())
    };
    let before = length()?;
    let more = wait::until(LIMIT, || Ok(length()? > before))?;
    ensure!(more, "nothing is heard any more");
    Ok(())
}
