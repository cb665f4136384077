//! A lease: what is made for an operation is kept for as long, and no longer.

use anyhow::{Context, Result};
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{CreateRequest, DeleteRequest};

use super::{Containerd, Refused, Service};

/// When containerd drops a lease whose owner was killed (`core/metadata/leases.go`, a time of
/// RFC 3339).
const EXPIRES: &str = "containerd.io/gc.expire";

/// How long an operation may take, at most.
const LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// A lease.
pub(crate) struct Lease {
    id: String,
    containerd: Containerd,
}

impl Containerd {
    fn leases(&self) -> LeasesClient<Service> {
        let (channel, headers) = self.service();
        LeasesClient::with_interceptor(channel, headers)
    }

    /// Begins a lease. What is made by [`Lease::containerd`] belongs to it.
    ///
    /// # Errors
    /// containerd refuses.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        let request = CreateRequest {
            labels: [(EXPIRES.to_owned(), expiry()?)].into(),
            ..CreateRequest::default()
        };
        let answer = self.leases().create(request).await;
        let answer = answer.map_err(Refused::to("make a lease", "for this operation"))?;
        let id = answer.into_inner().lease.unwrap_or_default().id;
        let mut containerd = self.clone();
        containerd.headers.lease = Some(id.parse().context("the lease has an odd name")?);
        Ok(Lease { id, containerd })
    }
}

impl Lease {
    /// containerd, with the lease.
    pub(crate) fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// Ends it; what belongs to it and to nothing else goes.
    pub(crate) async fn end(self) {
        let request = DeleteRequest {
            id: self.id,
            sync: false,
        };
        if let Err(error) = self.containerd.leases().delete(request).await {
            tracing::warn!(error = error.message(), "a lease stays until it expires");
        }
    }
}

fn expiry() -> Result<String> {
    let at = std::time::SystemTime::now() + LIFE;
    let timestamp = prost_types::Timestamp::from(at);
    // Its text is that of RFC 3339.
    Ok(timestamp.to_string())
}
