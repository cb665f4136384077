//! The task service of either shim, spoken to as containerd does, without ctr and containerd.

use anyhow::{Context, Result};
use containerd_shim_protos::Client;
use containerd_shim_protos::api::{
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, StartRequest, StartResponse,
    WaitRequest, WaitResponse,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::ttrpc;
use remap_test::{Ctr, Flavour};
use serde_json::json;

/// How long a call may take, in nanoseconds.
const TIMEOUT: i64 = 60_000_000_000;

/// A connection to the shim of a container.
pub(crate) struct Api {
    client: Client,
    service: &'static str,
    id: String,
}

impl Api {
    /// Connects to the shim of the container `id` in the namespace `default`.
    pub(crate) fn connect(ctr: &Ctr<'_>, id: &str) -> Result<Self> {
        let host = ctr.host();
        // Where the socket is noted depends on containerd's version.
        let bundle = format!("/run/containerd/io.containerd.runtime.v2.task/default/{id}");
        let line =
            format!("grep -ohs '/run/[^\"]*' {bundle}/address {bundle}/bootstrap.json | head -n 1");
        let path = host.shell(&line)?.text().into_owned();
        let socket = format!("unix://{}", host.path(&path).display());
        Ok(Self {
            client: Client::connect(&socket)
                .with_context(|| format!("no shim of {id} at {path:?}"))?,
            // They differ in the name only, and ours has both.
            service: match host.flavour() {
                Flavour::Trixie => "containerd.task.v2.Task",
                Flavour::Forky | Flavour::Forky23 => "containerd.task.v3.Task",
            },
            id: id.to_owned(),
        })
    }

    /// An exec of `true`, from its addition to its deletion.
    pub(crate) fn exec(&self, exec_id: &str) -> Result<()> {
        let (id, exec_id) = (self.id.clone(), exec_id.to_owned());
        let process = json!({
            "args": ["true"],
            "cwd": "/",
            "env": ["PATH=/usr/bin:/bin"],
            "user": { "uid": 0, "gid": 0 },
        });
        let add = ExecProcessRequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            spec: MessageField::some(Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
                value: process.to_string().into_bytes(),
                ..Any::default()
            }),
            ..ExecProcessRequest::default()
        };
        self.call::<_, Empty>("Exec", &add)?;
        let start = StartRequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            ..StartRequest::default()
        };
        self.call::<_, StartResponse>("Start", &start)?;
        let wait = WaitRequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            ..WaitRequest::default()
        };
        self.call::<_, WaitResponse>("Wait", &wait)?;
        let delete = DeleteRequest {
            id,
            exec_id,
            ..DeleteRequest::default()
        };
        self.call::<_, DeleteResponse>("Delete", &delete)?;
        Ok(())
    }

    fn call<Q: Message, R: Message>(&self, method: &str, request: &Q) -> Result<R> {
        let request = ttrpc::Request {
            service: self.service.to_owned(),
            method: method.to_owned(),
            timeout_nano: TIMEOUT,
            payload: request.write_to_bytes()?,
            ..ttrpc::Request::default()
        };
        let answer = self.client.request(request);
        let answer = answer.with_context(|| format!("{method} of {} fails", self.id))?;
        Ok(R::parse_from_bytes(&answer.payload)?)
    }
}
