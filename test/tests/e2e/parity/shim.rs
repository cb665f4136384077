//! One shim, started and spoken to by the test itself in containerd's stead.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use containerd_shim_protos::api::{DeleteResponse, Mount};
use containerd_shim_protos::bootstrap_api::BootstrapResult;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim_sync::Client;
use containerd_shim_protos::ttrpc;
use remap_test::{Flavour, Host, Output, wait};
use serde_json::Value;

use super::events::Events;
use super::log::Log;

/// The container of a case.
pub(crate) const ID: &str = "parity";

/// The task service of a flavour's stock shim; v2 and v3 differ in the name only, and ours has both.
fn service(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Trixie => "containerd.task.v2.Task",
        Flavour::Forky | Flavour::Forky23 => "containerd.task.v3.Task",
    }
}

/// What containerd would be found at. Nothing listens there for these shims.
const ADDRESS: &str = "/run/parity.sock";

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a shim that was told to may take to end.
const END: Duration = Duration::from_secs(10);

/// An answer of a shim: a message, or a code of gRPC (`google.rpc.Code`) and why.
pub(crate) type Answer<R> = Result<R, Refusal>;

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// By name, as `NOT_FOUND`.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

/// A shim and its directory: the bundle, `rootfs`, and what a case puts there.
pub(crate) struct Shim<'h> {
    host: &'h Host,
    program: &'static str,
    dir: String,
    events: Events,
    log: Log,
    client: Option<Client>,
    /// Its socket, in the host.
    socket: Option<String>,
}

impl<'h> Shim<'h> {
    /// Prepares a bundle in `dir` for the shim `program`, which is not started yet.
    pub(crate) fn prepare(host: &'h Host, program: &'static str, dir: &str) -> Result<Self> {
        let lines = format!(
            "mkdir -p {dir}/{ID}/rootfs {dir}/{ID}/work {dir}/rootfs/bin {dir}/rootfs/proc {dir}/rootfs/dev {dir}/rootfs/sys \
                {dir}/rootfs/tmp {dir}/rootfs/run {dir}/rootfs/etc
             cp /usr/bin/busybox {dir}/rootfs/bin && /usr/bin/busybox --install -s {dir}/rootfs/bin
             cd {dir}/rootfs/bin && for name in *; do [ $name = busybox ] || ln -sf busybox $name; done
             echo root:x:0:0:root:/:/bin/sh >{dir}/rootfs/etc/passwd"
        );
        host.shell(&lines)?;
        // The stock shim does not serve without it.
        host.command("mkfifo")
            .arg(format!("{dir}/{ID}/log"))
            .check()?;
        let log = Log::follow(host.path(format!("{dir}/{ID}/log")))?;
        let events = Events::listen(&host.path(format!("{dir}/events.sock")))?;
        let shim = Self {
            host,
            program,
            dir: dir.to_owned(),
            events,
            log,
            client: None,
            socket: None,
        };
        let spec = host.command("ctr").args(["oci", "spec"]).check()?;
        let mut spec: Value = serde_json::from_str(&spec.text())?;
        spec["root"]["path"] = "rootfs".into();
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "sleep 600"]);
        spec["linux"]["cgroupsPath"] = format!("/default/{ID}").into();
        shim.write_spec(&spec)?;
        Ok(shim)
    }

    /// The host that it runs on.
    pub(crate) fn host(&self) -> &'h Host {
        self.host
    }

    /// Its directory, as the host names it.
    pub(crate) fn dir(&self) -> &str {
        &self.dir
    }

    /// The bundle, as the host names it.
    pub(crate) fn bundle(&self) -> String {
        format!("{}/{ID}", self.dir)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// What it has published.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Changes the container's `config.json`.
    pub(crate) fn edit_spec(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let text = self
            .host
            .read_file(&format!("{}/config.json", self.bundle()))?;
        let mut spec = serde_json::from_slice(&text)?;
        edit(&mut spec);
        self.write_spec(&spec)
    }

    fn write_spec(&self, spec: &Value) -> Result<()> {
        let text = serde_json::to_vec(spec)?;
        self.host
            .write_file(&format!("{}/config.json", self.bundle()), text)
    }

    /// The root file system, to be bound where the bundle has it.
    pub(crate) fn rootfs(&self) -> Mount {
        Mount {
            type_: "bind".to_owned(),
            source: format!("{}/rootfs", self.dir),
            options: vec!["rbind".to_owned(), "rw".to_owned()],
            ..Mount::default()
        }
    }

    /// Runs an action of the shim's binary as containerd does: in the bundle.
    pub(crate) fn action(&self, flags: &[&str], action: &str, stdin: &[u8]) -> Result<Output> {
        self.action_in(&self.bundle(), flags, action, stdin)
    }

    /// The same in another bundle, whose container the flags name.
    pub(crate) fn action_in(
        &self,
        bundle: &str,
        flags: &[&str],
        action: &str,
        stdin: &[u8],
    ) -> Result<Output> {
        let events = format!("{}/events.sock", self.dir);
        self.host
            .command("sh")
            // The shim sets its priority by that of its parent, which must have a pid there.
            .args(["-c", "\"$@\"; exit $?", "sh", self.program])
            .args(["-namespace", "default", "-id", ID, "-address", ADDRESS])
            .args(["-publish-binary", "/bin/false"])
            .args(flags)
            .arg(action)
            .current_dir(bundle)
            .env("TTRPC_ADDRESS", events)
            .env("GRPC_ADDRESS", ADDRESS)
            .env("NAMESPACE", "default")
            .env("MAX_SHIM_VERSION", "2")
            .stdin(stdin)
            .run()
    }

    /// Starts it, and connects.
    pub(crate) fn start(&mut self, options: &[u8]) -> Result<()> {
        let output = self.action(&[], "start", options)?.ok()?;
        self.connect(&address(&output)?)
    }

    /// Connects to the address that a start has printed.
    pub(crate) fn connect(&mut self, address: &str) -> Result<()> {
        let socket = address.trim_start_matches("unix://");
        self.socket = Some(socket.to_owned());
        let path = self.host.path(socket);
        let client = Client::connect(&format!("unix://{}", path.display()));
        self.client = Some(client.with_context(|| format!("no shim at {address}"))?);
        Ok(())
    }

    /// Calls a method of the task service.
    pub(crate) fn call<Q: Message, R: Message>(&self, method: &str, request: &Q) -> Answer<R> {
        let payload = request
            .write_to_bytes()
            .map_err(|error| broken(error.to_string()))?;
        let payload = self.call_bytes(method, payload)?;
        R::parse_from_bytes(&payload).map_err(|error| broken(format!("{method}: {error}")))
    }

    /// The same with any bytes for the message, and those of the answer.
    pub(crate) fn call_bytes(&self, method: &str, payload: Vec<u8>) -> Answer<Vec<u8>> {
        let client = self.client.as_ref();
        let client = client.ok_or_else(|| broken("the shim was not started".to_owned()))?;
        let request = ttrpc::Request {
            service: service(self.host.flavour()).to_owned(),
            method: method.to_owned(),
            timeout_nano: TIMEOUT.as_nanos().try_into().unwrap_or(i64::MAX),
            payload,
            ..ttrpc::Request::default()
        };
        match client.request(request) {
            Ok(response) => Ok(response.payload),
            Err(ttrpc::Error::RpcStatus(status)) => Err(Refusal {
                code: status
                    .code
                    .enum_value()
                    .map_or_else(|code| code.to_string(), |code| format!("{code:?}")),
                message: status.message,
            }),
            Err(error) => Err(broken(format!("{method}: {error}"))),
        }
    }

    /// Its socket, outside of the host.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.socket.as_ref().map(|socket| self.host.path(socket))
    }

    /// Waits until the serving shim has ended by itself, and whether it has.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        wait::until(END, || Ok(self.pids()?.is_empty()))
    }

    /// The pids of serving shims of this program, in the host; that of a group goes by its id.
    pub(crate) fn pids(&self) -> Result<Vec<String>> {
        let line = format!(
            "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | \
             grep -q -- '^{} .*-namespace default ' && echo ${{p#/proc/}}; done; true",
            self.program
        );
        let output = self.host.shell(&line)?;
        Ok(output
            .text()
            .split_whitespace()
            .map(str::to_owned)
            .collect())
    }

    /// Kills it, if it is there.
    pub(crate) fn kill(&self) -> Result<()> {
        for pid in self.pids()? {
            self.host.command("kill").args(["-KILL", &pid]).run()?;
        }
        ensure!(self.has_ended()?, "a shim outlives its end");
        Ok(())
    }

    /// Removes whatever there still is.
    pub(crate) fn clear(&self) -> Result<()> {
        self.kill()?;
        if let Some(socket) = &self.socket {
            // One that was killed, or has died, leaves it.
            self.host.command("rm").args(["-f", socket]).check()?;
        }
        let dir = &self.dir;
        self.host.shell(&format!(
            "runc --root /run/containerd/runc/default delete --force {ID} 2>/dev/null; umount -R {dir}/{ID}/rootfs 2>/dev/null; rm -rf {dir}; rmdir /sys/fs/cgroup/*/default/{ID} \
             2>/dev/null; true"
        ))?;
        Ok(())
    }

    /// The action `delete`, and its answer.
    pub(crate) fn delete_action(&self) -> Result<DeleteResponse> {
        let bundle = self.bundle();
        let output = self.action(&["-bundle", &bundle], "delete", b"")?;
        ensure!(output.exit_code() == 0, "{}", output.error_text());
        Ok(DeleteResponse::parse_from_bytes(&output.stdout)?)
    }

    /// Writes a program that the case calls.
    pub(crate) fn script(&self, name: &str, text: &str) -> Result<String> {
        let path = format!("{}/{name}", self.dir);
        self.host.write_file(&path, text)?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.host.path(&path), mode)?;
        Ok(path)
    }
}

fn broken(message: String) -> Refusal {
    Refusal {
        code: "no answer".to_owned(),
        message,
    }
}

/// The address among what a start has printed: alone, in JSON, or in a `BootstrapResult`.
pub(crate) fn address(output: &Output) -> Result<String> {
    if let Some(result) = bootstrap_result(output) {
        return Ok(result.address);
    }
    let text = output.text();
    let json = serde_json::from_str::<Value>(&text).ok();
    let address = json.and_then(|json| json["address"].as_str().map(str::to_owned));
    Ok(address.unwrap_or_else(|| text.trim().to_owned()))
}

/// The answer of a start, if it is one of containerd 2.3: neither an address nor JSON decodes as one.
pub(super) fn bootstrap_result(output: &Output) -> Option<BootstrapResult> {
    BootstrapResult::parse_from_bytes(&output.stdout).ok()
}
