//! From a pod with a network of its own to one on the host's, and the other way round.

use anyhow::{Context as _, Result, ensure};
use remap_test::{Background, Cli as _, Host, PodNetwork, wait};

use super::{CLIENT, DEFAULT, checkpoint, member, pull, start};
use crate::context::Context;
use crate::workload::LIMIT;

/// Talks to itself on `lo` until a line comes; prints how often it has tried, and how often in vain.
const TALKER: &str = r#"
import select, socket, sys

end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.bind(("127.0.0.1", 0))
end.connect(end.getsockname())
tried = in_vain = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    tried += 1
    try:
        end.send(b"x")
        if select.select([end], [], [], 1)[0]:
            end.recv(1)
        else:
            in_vain += 1
    except PermissionError:
        in_vain += 1
print(tried, in_vain)
"#;

const WAYS: [(PodNetwork, PodNetwork); 2] = [
    (PodNetwork::Own, PodNetwork::OfHost),
    (PodNetwork::OfHost, PodNetwork::Own),
];

/// Refused, before CRIU does anything.
pub(super) fn refused(context: &Context) -> Result<()> {
    for (from, to) in WAYS {
        let outcome = outcome(context, from, to)?;
        let said = outcome.namespace.err().context("it is restored")?;
        ensure!(
            said.contains("network of its own"),
            "{from:?} to {to:?}: {said}"
        );
        ensure!(outcome.in_vain == 0, "the host is cut off for a while");
    }
    Ok(())
}

/// What the stock shim makes of it: the host is cut off for a while, or the container is on the host's
/// network though its pod is not.
pub(super) fn stock(context: &Context) -> Result<()> {
    for (from, to) in WAYS {
        let outcome = outcome(context, from, to)?;
        let namespace = outcome.namespace.map_err(anyhow::Error::msg)?;
        ensure!(namespace == outcome.of_host, "it is in {namespace}");
        let is_cut_off = outcome.in_vain > 0;
        ensure!(is_cut_off == (to == PodNetwork::OfHost), "{from:?}");
    }
    Ok(())
}

struct Outcome {
    /// The network namespace of the restored container, or what crictl says.
    namespace: Result<String, String>,
    /// That of the host.
    of_host: String,
    /// How often the host could not talk to itself meanwhile.
    in_vain: u64,
}

/// Saves a container in a pod, and restores it in another on the same host.
fn outcome(context: &Context, from: PodNetwork, to: PodNetwork) -> Result<Outcome> {
    let cri = start(context, context.a(), &[])?;
    let _registry = pull(context, &cri)?;
    let archive = format!("{}/{CLIENT}.tar", context.dir()?);
    let pod = cri.run_pod(DEFAULT, from)?;
    let program = ["sh", "-c", "while :; do sleep 0.1; done"];
    let id = cri.run(&pod, &member(CLIENT, super::PULLED, &program))?;
    checkpoint(&cri, &id, &archive)?.ok()?;
    cri.remove_pod(&pod)?;

    let pod = cri.run_pod(DEFAULT, to)?;
    let talker = Talker::start(cri.host())?;
    let id = cri.create(&pod, &member(CLIENT, &archive, &[]))?;
    let started = cri.command(["start", &id]).run()?;
    let in_vain = talker.end()?;
    let namespace = if started.status.success() {
        let said = cri.exec(&id, &["readlink", "/proc/self/ns/net"])?.ok()?;
        Ok(said.text().into_owned())
    } else {
        Err(started.error_text().into_owned())
    };
    let of_host = cri.host().shell("readlink /proc/self/ns/net")?;
    cri.remove_pod(&pod)?;
    cri.end()?;
    Ok(Outcome {
        namespace,
        of_host: of_host.text().into_owned(),
        in_vain,
    })
}

/// [`TALKER`] in a host.
struct Talker<'h> {
    host: &'h Host,
    process: Background,
}

const FIFO: &str = "/srv/talker";

impl<'h> Talker<'h> {
    fn start(host: &'h Host) -> Result<Self> {
        let line = format!("mkfifo {FIFO} && exec python3 -c \"$0\" <>{FIFO}");
        let process = host.command("sh").args(["-c", &line, TALKER]).spawn()?;
        let ready = || Ok(process.stdout_so_far().starts_with(b"ready\n"));
        if !wait::until(LIMIT, ready)? {
            anyhow::bail!("nobody talks: {:?}", process.kill()?);
        }
        Ok(Self { host, process })
    }

    /// Ends it; how often it has talked in vain.
    fn end(self) -> Result<u64> {
        self.host.shell(&format!("echo >{FIFO}"))?;
        let output = self.process.finish(LIMIT)?.ok()?;
        self.host.command("rm").arg(FIFO).check()?;
        let text = output.text();
        let counts = text.lines().last().and_then(|line| line.split_once(' '));
        let (tried, in_vain) = counts.with_context(|| format!("{output:?}"))?;
        ensure!(tried.parse::<u64>()? > 0, "{output:?}");
        Ok(in_vain.parse()?)
    }
}
