//! The task service of a shim, spoken to directly, as containerd speaks to it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use containerd_shim_protos::api::{CheckpointTaskRequest, StateRequest, Status, UpdateTaskRequest};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::CheckpointOptions;
use containerd_shim_protos::ttrpc::{self, context};
use containerd_shim_protos::{Client, TaskClient};

use crate::host::Host;

/// Where containerd keeps the bundles of the namespace `default`.
const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/default";

/// What an answer may take that nobody measures.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection to the shim of a container in the namespace `default`.
///
/// `ctr` pauses a container before it asks for a checkpoint; who asks here leaves
/// that to the shim, as other clients may.
#[derive(Clone)]
pub struct Api {
    client: TaskClient,
    id: String,
}

impl Api {
    /// Connects to the shim of the container `id` on `host`.
    ///
    /// # Errors
    /// There is none, or it does not listen.
    pub fn connect(host: &Host, id: &str) -> Result<Self> {
        let address = host.read_file(&format!("{BUNDLES}/{id}/address"))?;
        let address = String::from_utf8(address).context("the shim's address is no text")?;
        let path = address.trim().trim_start_matches("unix://");
        let socket = format!("unix://{}", host.path(path).display());
        let client = Client::connect(&socket)
            .with_context(|| format!("cannot connect to the shim of {id} at {address}"))?;
        Ok(Self {
            client: TaskClient::new(client),
            id: id.to_owned(),
        })
    }

    /// Whether the container's init is paused, as the shim has it. An error if the
    /// init neither runs nor is paused.
    ///
    /// # Errors
    /// The shim does not answer, or the init does not run.
    pub fn is_paused(&self) -> Result<bool> {
        let request = StateRequest {
            id: self.id.clone(),
            ..StateRequest::default()
        };
        let state = self.client.state(with_timeout(), &request)?;
        match state.status.enum_value() {
            Ok(Status::RUNNING) => Ok(false),
            Ok(Status::PAUSED) => Ok(true),
            other => bail!("the init of {} is {other:?}", self.id),
        }
    }

    /// Takes a checkpoint.
    ///
    /// # Errors
    /// The shim's answer, if it is one; else that there is none.
    pub fn checkpoint(&self, images: &str, work: &str, exit: bool) -> Result<()> {
        self.checkpoint_with(
            images,
            CheckpointOptions {
                exit,
                work_path: work.to_owned(),
                ..CheckpointOptions::default()
            },
        )
    }

    /// Takes a checkpoint of what was written since the one in `parent`, a directory as seen from
    /// `images`.
    ///
    /// # Errors
    /// The shim's answer, if it is one; else that there is none.
    pub fn checkpoint_upon(&self, parent: &str, images: &str, work: &str) -> Result<()> {
        // containerd's message has this field, and the one here does not yet.
        const PARENT_PATH: u32 = 10;
        let mut options = CheckpointOptions {
            work_path: work.to_owned(),
            ..CheckpointOptions::default()
        };
        let fields = options.special_fields.mut_unknown_fields();
        fields.add_length_delimited(PARENT_PATH, parent.as_bytes().to_vec());
        self.checkpoint_with(images, options)
    }

    fn checkpoint_with(&self, images: &str, options: CheckpointOptions) -> Result<()> {
        let request = CheckpointTaskRequest {
            id: self.id.clone(),
            path: images.to_owned(),
            options: MessageField::some(Any {
                type_url: "containerd.runc.v1.CheckpointOptions".to_owned(),
                value: options.write_to_bytes()?,
                ..Any::default()
            }),
            ..CheckpointTaskRequest::default()
        };
        match self.client.checkpoint(with_timeout(), &request) {
            Ok(_) => Ok(()),
            Err(ttrpc::Error::RpcStatus(status)) => bail!("{}", status.message),
            Err(error) => Err(error).context("the shim does not answer"),
        }
    }

    /// Sets limits, an OCI `linux.resources` object.
    ///
    /// # Errors
    /// The shim's answer, if it is one; else that there is none.
    pub fn update(&self, resources: &serde_json::Value) -> Result<()> {
        let request = UpdateTaskRequest {
            id: self.id.clone(),
            resources: MessageField::some(Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
                    .to_owned(),
                value: resources.to_string().into_bytes(),
                ..Any::default()
            }),
            ..UpdateTaskRequest::default()
        };
        match self.client.update(with_timeout(), &request) {
            Ok(_) => Ok(()),
            Err(ttrpc::Error::RpcStatus(status)) => bail!("{}", status.message),
            Err(error) => Err(error).context("the shim does not answer"),
        }
    }
}

fn with_timeout() -> context::Context {
    context::with_timeout(TIMEOUT.as_nanos().try_into().unwrap_or(i64::MAX))
}
