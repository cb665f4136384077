//! Connections that are restored closed.

use anyhow::{Result, ensure};
use remap_test::{Ctr, wait};

use super::{IMAGE, expect_refusal};
use crate::context::Context;
use crate::workload::{ID, LIMIT, wait_until_ready};

/// Has a connection to itself, a listener, and says in one line: a number, the state of each end
/// (`TCP_INFO`; tcp_states.h: 1 established, 7 closed), and what came over a new connection.
const WORKLOAD: &str = "\
import os, socket, time
listener = socket.create_server(('127.0.0.1', 0))
def connect():
    one = socket.create_connection(listener.getsockname())
    return one, listener.accept()[0]
ends = connect()
os.makedirs('/workload-state')
count = 0
while True:
    count += 1
    new, other = connect()
    other.sendall(b'word')
    states = ' '.join(str(end.getsockopt(6, 11, 1)[0]) for end in ends)
    with open('/workload-state/new', 'w') as file:
        file.write(f'{count} {states} {new.recv(9).decode()}')
    os.rename('/workload-state/new', '/workload-state/ready')
    new.close()
    other.close()
    time.sleep(0.1)
";

/// Without the option a connection is refused. With it the container that runs on keeps the
/// connection, and the restored one has it closed; its listener listens.
pub(super) fn close(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    start(context, "false")?;
    let refused = ctr.checkpoint(ID, IMAGE);
    expect_refusal(&ctr, refused, &["a TCP connection is open"])?;
    ctr.remove(ID)?;

    start(context, "true")?;
    // Connections that the listener has not accepted yet would be in the way.
    let mut taken = ctr.checkpoint(ID, IMAGE);
    while let Err(error) = &taken {
        ensure!(error.to_string().contains("not accepted yet"), "{error:#}");
        taken = ctr.checkpoint(ID, IMAGE);
    }
    expect_states(&ctr, "1 1 word")?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    expect_states(&ctr, "7 7 word")?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// In the host's network: one of its own has no address after a restore.
fn start(context: &Context, close: &str) -> Result<()> {
    context.a().shell("ip link set lo up")?;
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.flag(["--net-host"])
        .annotation("io.remap.tcp-close", close)
        .args(["python3", "-c", WORKLOAD])
        .start()?;
    wait_until_ready(&ctr)?;
    expect_states(&ctr, "1 1 word")
}

/// It goes on, and says so.
fn expect_states(ctr: &Ctr, states: &str) -> Result<()> {
    let said = || -> Result<(u64, String)> {
        let output = ctr.exec(ID, &["cat", "/workload-state/ready"])?.ok()?;
        let text = output.text().into_owned();
        let (count, states) = text.split_once(' ').unwrap_or(("", ""));
        Ok((count.parse()?, states.to_owned()))
    };
    let (first, _) = said()?;
    let more = wait::until(LIMIT, || Ok(said()?.0 > first + 1))?;
    let (count, now) = said()?;
    ensure!(more, "it stands still at {count}");
    ensure!(now == states, "it says {now:?}, not {states:?}");
    Ok(())
}
