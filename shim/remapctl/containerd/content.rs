//! The content store: blobs by their digests.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::{ReadContentRequest, WriteAction, WriteContentRequest};
use containerd_client::types::Descriptor;
use tokio::io::AsyncReadExt;

use super::{Containerd, Refused, Service};

/// Bytes of a message; containerd's are below (`services/content/contentserver`).
const MESSAGE: usize = 16 << 20;

/// Bytes that are sent at once.
const CHUNK: usize = 1 << 20;

/// The largest document, such as a manifest, that is read whole, in bytes.
const DOCUMENT: usize = 8 << 20;

impl Containerd {
    fn content(&self) -> ContentClient<Service> {
        let (channel, headers) = self.service();
        let client = ContentClient::with_interceptor(channel, headers);
        client.max_decoding_message_size(MESSAGE)
    }

    /// Writes the blob `digest` to `out`.
    ///
    /// # Errors
    /// It is not there, or cannot be written.
    pub(crate) async fn read_blob(&self, digest: &str, out: &mut impl Write) -> Result<()> {
        let request = ReadContentRequest {
            digest: digest.to_owned(),
            ..ReadContentRequest::default()
        };
        let refused = || Refused::to("read the blob", digest);
        let answer = self.content().read(request).await;
        let mut parts = answer.map_err(refused())?.into_inner();
        while let Some(part) = parts.message().await.map_err(refused())? {
            out.write_all(&part.data)
                .with_context(|| format!("cannot save the blob {digest}"))?;
        }
        Ok(())
    }

    /// The blob `digest`, a document.
    ///
    /// # Errors
    /// It is not there, or too large for a document.
    pub(crate) async fn document(&self, digest: &str) -> Result<Vec<u8>> {
        let mut bytes = Bounded(Vec::new());
        self.read_blob(digest, &mut bytes).await?;
        Ok(bytes.0)
    }

    /// Puts the file `path` into the store, under the reference `name` meanwhile.
    ///
    /// # Errors
    /// The file cannot be read, is another one than `descriptor` says, or containerd refuses it.
    pub(crate) async fn write_blob(
        &self,
        path: &Path,
        name: &str,
        blob: &Descriptor,
    ) -> Result<()> {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let path = path.to_owned();
        let (name, blob_of) = (name.to_owned(), blob.clone());
        let sending = tokio::spawn(async move { send(&path, &name, &blob_of, &sender).await });
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let refused = || Refused::to("take the blob", &blob.digest);
        let answer = async {
            let mut answers = self.content().write(requests).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        }
        .await;
        match answer.map_err(refused()) {
            // It is there.
            Err(error) if error.is_already_there() => return Ok(()),
            other => other?,
        }
        sending.await.context("the sending of a blob has ended")?
    }
}

async fn send(
    path: &Path,
    name: &str,
    blob: &Descriptor,
    sender: &tokio::sync::mpsc::Sender<WriteContentRequest>,
) -> Result<()> {
    let context = || format!("cannot read {}", path.display());
    let mut file = tokio::fs::File::open(path).await.with_context(context)?;
    let mut offset = 0;
    loop {
        let mut data = vec![0; CHUNK];
        let count = file.read(&mut data).await.with_context(context)?;
        data.truncate(count);
        let is_last = count == 0;
        let request = WriteContentRequest {
            action: if is_last {
                WriteAction::Commit
            } else {
                WriteAction::Write
            }
            .into(),
            r#ref: name.to_owned(),
            total: blob.size,
            expected: blob.digest.clone(),
            offset,
            data,
            labels: blob.annotations.clone(),
        };
        offset += i64::try_from(count)?;
        if sender.send(request).await.is_err() || is_last {
            // Who does not listen any more says why.
            return Ok(());
        }
    }
}

/// Takes so much, and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > DOCUMENT {
            return Err(std::io::Error::other("it is too large for a document"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
