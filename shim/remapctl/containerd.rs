//! containerd, by its API.

pub(crate) mod container;
pub(crate) mod content;
pub(crate) mod image;
pub(crate) mod lease;
pub(crate) mod rootfs;
pub(crate) mod task;

use std::path::Path;

use anyhow::{Context, Result};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::service::Interceptor;
use containerd_client::tonic::service::interceptor::InterceptedService;
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Status};

/// A connection to containerd, in one of its namespaces.
#[derive(Clone)]
pub(crate) struct Containerd {
    channel: Channel,
    headers: Headers,
}

/// What the clients of containerd's services are made of.
type Service = InterceptedService<Channel, Headers>;

/// What each request says besides (containerd, `pkg/namespaces/grpc.go` and
/// `core/leases/grpc.go`).
#[derive(Clone)]
struct Headers {
    namespace: MetadataValue<Ascii>,
    /// What is made belongs to this lease.
    lease: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        headers.insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
            headers.insert("containerd-lease", lease.clone());
        }
        Ok(request)
    }
}

/// containerd says no.
#[derive(Debug, thiserror::Error)]
#[error("containerd cannot {action} {object}: {}", status.message())]
pub(crate) struct Refused {
    /// What it was asked to do.
    action: &'static str,
    /// With what.
    object: String,
    status: Box<Status>,
}

impl Refused {
    /// For `map_err`.
    fn to(action: &'static str, object: impl Into<String>) -> impl FnOnce(Status) -> Self {
        let object = object.into();
        move |status| Self {
            action,
            object,
            status: Box::new(status),
        }
    }

    /// There is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status.code() == Code::NotFound
    }

    /// There is one already.
    pub(crate) fn is_already_there(&self) -> bool {
        self.status.code() == Code::AlreadyExists
    }
}

impl Containerd {
    /// Connects to the one at the socket `address`.
    ///
    /// # Errors
    /// It does not listen there.
    pub(crate) async fn connect(address: &Path, namespace: &str) -> Result<Self> {
        let channel = containerd_client::connect(address).await;
        let channel = channel.with_context(|| {
            format!(
                "cannot connect to containerd at {}; is it running, and is this root? --address names another",
                address.display()
            )
        })?;
        let namespace = namespace.parse().context("the namespace has odd letters")?;
        Ok(Self {
            channel,
            headers: Headers {
                namespace,
                lease: None,
            },
        })
    }

    fn service(&self) -> (Channel, Headers) {
        (self.channel.clone(), self.headers.clone())
    }
}
