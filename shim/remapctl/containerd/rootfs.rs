//! Root file systems: snapshots, and what was changed in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    Info, MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
    ViewSnapshotRequest,
};
use containerd_client::services::v1::{ApplyRequest, DiffRequest};
use containerd_client::types::{Descriptor, Mount};
use sha2::{Digest, Sha256};

use super::{Containerd, Refused, Service};

/// A layer as containerd writes it, not compressed: it is small as a rule, and compressing takes
/// longer than copying.
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The layer in the file `path`: of which type it is its first bytes say (RFC 1952, RFC 8878).
///
/// # Errors
/// It cannot be read.
pub(crate) fn layer_of(path: &Path) -> Result<Descriptor> {
    let digest = || -> io::Result<(Sha256, u64, [u8; 4])> {
        let mut file = File::open(path)?;
        let mut first = [0; 4];
        let read = file.read(&mut first)?;
        let mut hash = Sha256::new_with_prefix(first.get(..read).unwrap_or_default());
        let rest = io::copy(&mut file, &mut hash)?;
        Ok((hash, rest + read as u64, first))
    };
    let (hash, size, first) =
        digest().with_context(|| format!("cannot read {}", path.display()))?;
    let media_type = match first {
        [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => LAYER,
    };
    Ok(Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{:x}", hash.finalize()),
        size: i64::try_from(size)?,
        ..Descriptor::default()
    })
}

impl Containerd {
    fn snapshots(&self) -> SnapshotsClient<Service> {
        let (channel, headers) = self.service();
        SnapshotsClient::with_interceptor(channel, headers)
    }

    fn diffs(&self) -> DiffClient<Service> {
        let (channel, headers) = self.service();
        DiffClient::with_interceptor(channel, headers)
    }

    /// The snapshot `key` of `snapshotter`; none, if there is no such one.
    ///
    /// # Errors
    /// containerd does not say.
    pub(crate) async fn snapshot(
        &self,
        snapshotter: &str,
        key: &str,
    ) -> Result<Option<Info>, Refused> {
        let request = StatSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let answer = self.snapshots().stat(request).await;
        match answer.map_err(Refused::to("find the snapshot", key)) {
            Ok(answer) => Ok(answer.into_inner().info),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The mounts of the snapshot `key`, which can be written to.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn mounts(&self, snapshotter: &str, key: &str) -> Result<Vec<Mount>, Refused> {
        let request = MountsRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let answer = self.snapshots().mounts(request).await;
        let answer = answer.map_err(Refused::to("give the mounts of the snapshot", key))?;
        Ok(answer.into_inner().mounts)
    }

    /// Makes the snapshot `key` on top of `parent`.
    ///
    /// # Errors
    /// There is one already, or no such parent.
    pub(crate) async fn prepare_snapshot(
        &self,
        snapshotter: &str,
        key: &str,
        parent: &str,
    ) -> Result<Vec<Mount>, Refused> {
        let request = PrepareSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            ..PrepareSnapshotRequest::default()
        };
        let answer = self.snapshots().prepare(request).await;
        let answer = answer.map_err(Refused::to("make the snapshot", key))?;
        Ok(answer.into_inner().mounts)
    }

    /// Removes the snapshot `key`.
    ///
    /// # Errors
    /// It stays.
    pub(crate) async fn remove_snapshot(
        &self,
        snapshotter: &str,
        key: &str,
    ) -> Result<(), Refused> {
        let request = RemoveSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let removed = self.snapshots().remove(request).await;
        removed.map_err(Refused::to("remove the snapshot", key))?;
        Ok(())
    }

    /// Saves what was changed in the snapshot `key` since it was made of its parent, as the layer
    /// [`LAYER`], in the new file `path`. With a lease, nothing stays in containerd.
    ///
    /// # Errors
    /// containerd fails, or the file cannot be written.
    pub(crate) async fn save_changes(
        &self,
        snapshotter: &str,
        key: &str,
        parent: &str,
        path: &Path,
    ) -> Result<()> {
        let view = format!("{key}-remapctl-{}", std::process::id());
        let request = ViewSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: view.clone(),
            parent: parent.to_owned(),
            ..ViewSnapshotRequest::default()
        };
        let answer = self.snapshots().view(request).await;
        let answer = answer.map_err(Refused::to("show the snapshot", parent))?;
        let left = answer.into_inner().mounts;
        let saved = self.diff(left, snapshotter, key, path).await;
        let removed = self.remove_snapshot(snapshotter, &view).await;
        saved?;
        Ok(removed?)
    }

    async fn diff(
        &self,
        left: Vec<Mount>,
        snapshotter: &str,
        key: &str,
        path: &Path,
    ) -> Result<()> {
        let request = DiffRequest {
            left,
            right: self.mounts(snapshotter, key).await?,
            media_type: LAYER.to_owned(),
            r#ref: format!("remapctl-{}-{key}", std::process::id()),
            ..DiffRequest::default()
        };
        let answer = self.diffs().diff(request).await;
        let answer = answer.map_err(Refused::to("compare the snapshot with its parent:", key))?;
        let blob = answer.into_inner().diff.unwrap_or_default();
        let file = remap_engine::private::create_file(path);
        let mut file: File = file.with_context(|| format!("cannot make {}", path.display()))?;
        self.read_blob(&blob.digest, &mut file).await
    }

    /// Applies a layer from the content store to the file system that `mounts` show.
    ///
    /// # Errors
    /// It is not applied, or in part.
    pub(crate) async fn apply(&self, layer: Descriptor, mounts: Vec<Mount>) -> Result<(), Refused> {
        let object = layer.digest.clone();
        let request = ApplyRequest {
            diff: Some(layer),
            mounts,
            ..ApplyRequest::default()
        };
        let applied = self.diffs().apply(request).await;
        applied.map_err(Refused::to("apply the layer", object))?;
        Ok(())
    }
}
