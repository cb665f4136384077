//! What crictl streams through containerd's own server: exec, attach and port-forward.

use anyhow::{Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Background, Cli as _, Cri, PodContainer, PodNetwork, wait};

use super::{BUSYBOX_ARCHIVE, CLIENT, handlers, start};
use crate::context::Context;
use crate::workload::LIMIT;

/// In the pod, and in the host, which may be the same network.
const POD_PORT: u16 = 8080;
const HOST_PORT: u16 = 18080;

/// Says what it reads, to whoever comes.
const LINE: &str = "while :; do echo served | nc -l -p 8080; done & \
                    while read -r line; do echo \"got $line\"; done; sleep 100000";

/// By pods of both kinds.
pub(super) fn all(context: &Context) -> Result<()> {
    let cri = start(context, context.a(), &[BUSYBOX_ARCHIVE])?;
    for handler in handlers(context.runtime()) {
        for network in [PodNetwork::Own, PodNetwork::OfHost] {
            let pod = cri.run_pod(handler, network)?;
            let container = PodContainer {
                name: CLIENT,
                image: BUSYBOX_IMAGE,
                args: &["sh", "-c", LINE],
                stdin: true,
            };
            let id = cri.run(&pod, &container)?;
            exec(&cri, &id)?;
            attach(&cri, &id)?;
            port_forward(&cri, &pod)?;
            cri.remove_pod(&pod)?;
        }
    }
    cri.end()
}

/// Both outputs and the input; crictl says the program's exit code.
fn exec(cri: &Cri, id: &str) -> Result<()> {
    let line = "echo out; echo err >&2; cat; exit 5";
    let command = cri.command(["exec", "--interactive", id, "sh", "-c", line]);
    let output = command.stdin("in\n").run()?;
    let complete = output.text() == "out\nin" && output.error_text().contains("err");
    ensure!(complete, "{output:?}");
    ensure!(output.error_text().contains("exit code 5"), "{output:?}");
    let output = cri.command(["exec", id, "echo", "hello"]).run()?;
    ensure!(output.text() == "hello", "{output:?}");
    Ok(())
}

/// The container's input and output, for as long as the client stays, which ends with its own input. It
/// may come again.
fn attach(cri: &Cri, id: &str) -> Result<()> {
    const LINE: &str = "{ echo $1; exec sleep 100; } | crictl attach --stdin $0";
    for word in ["one", "two"] {
        let command = cri.host().command("sh").args(["-c", LINE, id, word]);
        let client = command.spawn()?;
        expect(&client, &format!("got {word}\n"))?;
        client.kill()?;
    }
    Ok(())
}

fn expect(client: &Background, text: &str) -> Result<()> {
    let said = || String::from_utf8_lossy(&client.stdout_so_far()).into_owned();
    let came = wait::until(LIMIT, || Ok(said().contains(text)))?;
    ensure!(came, "no {text:?} but {:?}", said());
    Ok(())
}

/// Who listens in the pod is reached by a port of the host.
fn port_forward(cri: &Cri, pod: &str) -> Result<()> {
    let ports = format!("{HOST_PORT}:{POD_PORT}");
    let forwarder = cri.command(["port-forward", pod, &ports]).spawn()?;
    expect(&forwarder, "Forwarding from")?;
    let mut said = String::new();
    let served = wait::until(LIMIT, || {
        let line = format!("exec 3<>/dev/tcp/127.0.0.1/{HOST_PORT}; timeout 5 head -n 1 <&3");
        let output = cri.host().command("bash").args(["-c", &line]).run()?;
        said = format!("{output:?}");
        Ok(output.text() == "served")
    })?;
    ensure!(served, "{said}; {:?}", forwarder.kill()?);
    forwarder.kill()?;
    Ok(())
}
