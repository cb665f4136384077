//! Containers: what containerd keeps of them, apart from their tasks.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use containerd_client::services::v1::container::Runtime as WireRuntime;
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::{
    Container as WireContainer, CreateContainerRequest, DeleteContainerRequest, GetContainerRequest,
};
use prost_types::Any as WireAny;
use remap_engine::archive::{Any, Container, Image, Runtime};

use super::{Containerd, Refused, Service};

/// The type of a container's specification (containerd, `pkg/oci/spec_opts.go` and
/// `typeurl.Register`).
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// A container as containerd keeps it.
pub(crate) struct Kept {
    /// All that another host needs.
    pub(crate) container: Container,
    /// The key of its root file system's snapshot; empty, if it has none.
    pub(crate) snapshot_key: String,
}

impl Containerd {
    fn containers(&self) -> ContainersClient<Service> {
        let (channel, headers) = self.service();
        ContainersClient::with_interceptor(channel, headers)
    }

    /// The container `id`.
    ///
    /// # Errors
    /// There is none, or its specification cannot be read.
    pub(crate) async fn container(&self, id: &str) -> Result<Kept> {
        let request = GetContainerRequest { id: id.to_owned() };
        let answer = self.containers().get(request).await;
        let answer = answer.map_err(Refused::to("give the container", id))?;
        let container = answer.into_inner().container.unwrap_or_default();
        let snapshot_key = container.snapshot_key.clone();
        Ok(Kept {
            container: kept(container)?,
            snapshot_key,
        })
    }

    /// Whether there is a container `id`.
    ///
    /// # Errors
    /// containerd does not say.
    pub(crate) async fn has_container(&self, id: &str) -> Result<bool, Refused> {
        let request = GetContainerRequest { id: id.to_owned() };
        let answer = self.containers().get(request).await;
        match answer.map_err(Refused::to("give the container", id)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a container, without a task.
    ///
    /// # Errors
    /// There is one of this id, or containerd refuses it.
    pub(crate) async fn create_container(
        &self,
        container: &Container,
        snapshot_key: &str,
    ) -> Result<()> {
        let value = serde_json::to_vec(&container.spec).context("the spec has no JSON form")?;
        let runtime = &container.runtime;
        let request = CreateContainerRequest {
            container: Some(WireContainer {
                id: container.id.clone(),
                labels: container.labels.clone().into_iter().collect(),
                image: container
                    .image
                    .iter()
                    .map(|image| image.reference.clone())
                    .collect(),
                runtime: Some(WireRuntime {
                    name: runtime.name.clone(),
                    options: runtime.options.clone().map(wire_any),
                }),
                spec: Some(WireAny {
                    type_url: SPEC_TYPE.to_owned(),
                    value,
                }),
                snapshotter: container.snapshotter.clone().unwrap_or_default(),
                snapshot_key: snapshot_key.to_owned(),
                extensions: (container.extensions.clone().into_iter())
                    .map(|(name, any)| (name, wire_any(any)))
                    .collect(),
                ..WireContainer::default()
            }),
        };
        let created = self.containers().create(request).await;
        created.map_err(Refused::to("make the container", &container.id))?;
        Ok(())
    }

    /// Removes a container that has no task.
    ///
    /// # Errors
    /// It stays.
    pub(crate) async fn delete_container(&self, id: &str) -> Result<(), Refused> {
        let request = DeleteContainerRequest { id: id.to_owned() };
        let deleted = self.containers().delete(request).await;
        deleted.map_err(Refused::to("remove the container", id))?;
        Ok(())
    }
}

fn kept(container: WireContainer) -> Result<Container> {
    let WireContainer {
        id,
        labels,
        image,
        runtime,
        spec,
        snapshotter,
        created_at,
        extensions,
        ..
    } = container;
    let spec = spec.unwrap_or_default();
    let spec = serde_json::from_slice(&spec.value)
        .with_context(|| format!("the specification of the container {id} is no JSON"))?;
    let runtime = runtime.unwrap_or_default();
    let runtime = Runtime {
        name: runtime.name,
        options: runtime.options.map(any),
        ..Runtime::default()
    };
    let mut container = Container::new(id, runtime, spec);
    container.labels = labels.into_iter().collect();
    container.image = Some(image)
        .filter(|name| !name.is_empty())
        .map(Image::named);
    container.snapshotter = Some(snapshotter).filter(|name| !name.is_empty());
    container.created_unix_seconds = created_at.and_then(|at| u64::try_from(at.seconds).ok());
    container.extensions = extensions
        .into_iter()
        .map(|(name, value)| (name, any(value)))
        .collect::<BTreeMap<_, _>>();
    Ok(container)
}

fn any(any: WireAny) -> Any {
    Any {
        type_url: any.type_url,
        value: any.value,
    }
}

pub(super) fn wire_any(any: Any) -> WireAny {
    WireAny {
        type_url: any.type_url,
        value: any.value,
    }
}
