//! Kubernetes' side of a host's containerd, by `crictl`.

use anyhow::Result;
use serde_json::json;

use crate::cli::Cli;
use crate::containerd::{Containerd, ShimLookup};
use crate::ctr::Ctr;
use crate::exec::Output;
use crate::go::GoProgram;
use crate::host::Host;

/// What `crictl` is told, so that it looks nowhere else.
const CONFIG_FILE: &str = "/etc/crictl.yaml";
const CONFIG: &str = "runtime-endpoint: unix:///run/containerd/containerd.sock
image-endpoint: unix:///run/containerd/containerd.sock
timeout: 60
";

/// Of a pod, and beside it of what is made in it.
const POD_CONFIG: &str = "/srv/pod.json";
const CONTAINER_CONFIG: &str = "/srv/container.json";

/// Where the logs of pods go.
const LOGS: &str = "/srv/pod-logs";

/// The network of pods that have one of their own: a bridge of the host.
const NETWORK_CONFIG: &str = "/srv/cni/pods.conflist";
const NETWORK: &str = r#"{
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [{
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.88.0.0/24" }]],
            "routes": [{ "dst": "0.0.0.0/0" }]
        }
    }]
}"#;

/// Containerd's namespace for CRI.
const NAMESPACE: &str = "k8s.io";

/// What CRI keeps while containerd runs and after. `rmdir` fails where a container has left something.
const CLEAN_UP: &str = r"set -e
rm -rf /run/containerd/io.containerd.grpc.v1.cri /run/containerd/io.containerd.cri.v1.* /run/nri /srv/pod-logs /var/lib/cni
[ ! -e /sys/class/net/pods0 ] || ip link delete pods0
for dir in /run/containerd/runc/k8s.io /run/containerd/io.containerd.runtime.v2.task/k8s.io \
    /var/lib/containerd/io.containerd.runtime.v2.task/k8s.io /run/netns; do
    [ ! -d $dir ] || rmdir $dir
done
find /sys/fs/cgroup -depth -type d \( -path '*/kubepods/pod' -o -name kubepods \) -exec rmdir {} +
";

/// The CRI of a host, by its `crictl`.
#[derive(Debug)]
pub struct Cri<'h> {
    host: &'h Host,
}

impl<'h> Cli<'h> for Cri<'h> {
    const PROGRAM: GoProgram = GoProgram::Crictl;

    fn host(&self) -> &'h Host {
        self.host
    }
}

/// Which network a pod is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodNetwork {
    /// One of its own, on a bridge.
    Own,
    /// The host's.
    OfHost,
}

/// A container of a pod.
#[derive(Debug, Clone, Copy)]
pub struct PodContainer<'a> {
    /// Its name in the pod.
    pub name: &'a str,
    /// Of what it is made; the path of an archive is that of a checkpoint.
    pub image: &'a str,
    /// The program and its arguments.
    pub args: &'a [&'a str],
    /// Whether it has a standard input, which clients attach to.
    pub stdin: bool,
}

impl<'h> Cri<'h> {
    /// Has the containerd of `host` speak CRI until [`Self::end`], and puts `crictl` there, which is
    /// built if this machine does not have it yet. The host has the `images` of these archives then.
    ///
    /// # Errors
    /// There is no Go here, or it fails; containerd does not answer.
    pub fn start(host: &'h Host, lookup: ShimLookup, images: &[&str]) -> Result<Self> {
        let cri = Self { host };
        cri.install()?;
        host.write_file(CONFIG_FILE, CONFIG)?;
        host.write_file(NETWORK_CONFIG, NETWORK)?;
        let containerd = Containerd::of(host);
        containerd.stop()?;
        containerd.start_with_cri(lookup)?;
        let ctr = Ctr::in_namespace(host, NAMESPACE);
        for image in images {
            ctr.import_image(image)?;
        }
        Ok(cri)
    }

    /// Has containerd read its configuration anew.
    ///
    /// # Errors
    /// It does not answer then.
    pub fn restart(&self, lookup: ShimLookup) -> Result<()> {
        let containerd = Containerd::of(self.host);
        containerd.stop()?;
        containerd.start_as_configured(lookup)
    }

    /// `ctr` for the containers of pods.
    #[must_use]
    pub fn ctr(&self) -> Ctr<'h> {
        Ctr::in_namespace(self.host, NAMESPACE)
    }

    /// Runs a pod by the runtime `handler`; its id.
    ///
    /// # Errors
    /// It does not run.
    pub fn run_pod(&self, handler: &str, network: PodNetwork) -> Result<String> {
        // NamespaceMode of the CRI API.
        let mode = match network {
            PodNetwork::Own => 0,
            PodNetwork::OfHost => 2,
        };
        let config = json!({
            "metadata": { "name": "pod", "namespace": "default", "uid": "pod", "attempt": 0 },
            "log_directory": LOGS,
            "linux": {
                "cgroup_parent": "/kubepods/pod",
                "security_context": { "namespace_options": { "network": mode } },
            },
        });
        self.host.write_file(POD_CONFIG, config.to_string())?;
        self.check(["runp", "--runtime", handler, POD_CONFIG])
    }

    /// Makes a container in the pod `pod`, which is the last that was run; its id.
    ///
    /// # Errors
    /// It is not made.
    pub fn create(&self, pod: &str, container: &PodContainer) -> Result<String> {
        let config = json!({
            "metadata": { "name": container.name, "attempt": 0 },
            "image": { "image": container.image },
            "command": container.args,
            "log_path": format!("{}.log", container.name),
            "stdin": container.stdin,
            "linux": {},
        });
        self.host.write_file(CONTAINER_CONFIG, config.to_string())?;
        self.check(["create", pod, CONTAINER_CONFIG, POD_CONFIG])
    }

    /// As [`Self::create`], and starts it.
    ///
    /// # Errors
    /// It is not made, or does not start.
    pub fn run(&self, pod: &str, container: &PodContainer) -> Result<String> {
        let id = self.create(pod, container)?;
        self.check(["start", &id])?;
        Ok(id)
    }

    /// Runs a program in the container `id`, to its end.
    ///
    /// # Errors
    /// `crictl` cannot be started.
    pub fn exec(&self, id: &str, args: &[&str]) -> Result<Output> {
        self.command(["exec", "--sync", id]).args(args).run()
    }

    /// Removes the pod `pod` and what is in it, whether it runs or not.
    ///
    /// # Errors
    /// It stays.
    pub fn remove_pod(&self, pod: &str) -> Result<()> {
        self.check(["rmp", "--force", pod])?;
        Ok(())
    }

    /// Ends the containerd that speaks CRI, and removes what it has kept. There must be no pod any more.
    ///
    /// # Errors
    /// A container has left something.
    pub fn end(self) -> Result<()> {
        Containerd::of(self.host).stop()?;
        self.host.shell(CLEAN_UP)?;
        Ok(())
    }
}
