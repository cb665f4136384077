//! The files of `podman container checkpoint --export`, as Podman, CRI-O and CRI have them, too
//! (checkpointctl, lib/metadata.go).

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::part::{Content, Part};
use super::parts::Parts;
use super::tape::Tape;
use super::whiteouts;
use crate::archive::ROOTFS_DIFF_FILE;
use crate::archive::container::Container;
use crate::archive::error::ArchiveError;
use crate::archive::foreign::{
    CONFIG_DUMP, DELETED_FILES, DIRECTORY, KEPT, SPEC_DUMP, STATUS_DUMP,
};

/// Writes all members: the small ones that say what it is first.
pub(super) fn write(
    parts: &Parts<'_>,
    tape: &mut Tape<'_, '_, '_, '_>,
) -> Result<(), ArchiveError> {
    for part in &parts.beside {
        tape.file("", part)?;
    }
    tape.directory(DIRECTORY)?;
    for part in &parts.files {
        let directory = match part.name.as_str() {
            ROOTFS_DIFF_FILE => "",
            name if KEPT.contains(&name) => "",
            _ => DIRECTORY,
        };
        tape.file(directory, part)?;
    }
    Ok(())
}

/// The files that these programs want to have, and that are made of the container. `runtime` is what
/// the manifest says of the OCI runtime.
pub(super) fn beside<'s>(
    container: &Container,
    runtime: Option<&str>,
) -> Result<Vec<Part<'s>>, ArchiveError> {
    let documents = [
        (CONFIG_DUMP, config(container, runtime)),
        (SPEC_DUMP, container.spec.clone()),
        (STATUS_DUMP, status(container)),
    ];
    let parts = documents.into_iter();
    let part = |(name, document): (&str, Value)| {
        Part::new(name, Content::Bytes(document.to_string().into()))
    };
    let parts = parts.map(part);
    parts.collect()
}

/// What the changes of the root file system delete, if they do; those of Podman's own checkpoints come
/// with a list already, which is among the files then.
pub(super) fn deleted_files<'s>(diff: &Part<'_>) -> Result<Option<Part<'s>>, ArchiveError> {
    let paths = diff.content.open().and_then(whiteouts::list);
    let paths = paths.map_err(ArchiveError::io("read", diff.content.path()))?;
    if paths.is_empty() {
        return Ok(None);
    }
    let text = json!(paths).to_string().into_bytes();
    Part::new(DELETED_FILES, Content::Bytes(text)).map(Some)
}

/// Podman's `ContainerConfig`, as much of it as the others read, and as a restore by Podman needs: the
/// runtime has to be the one that Podman uses, and the image to be there by name and id.
fn config(container: &Container, runtime: Option<&str>) -> Value {
    let image = container.image.as_ref();
    let reference = image.map(|image| image.reference.as_str());
    let digest = image.and_then(|image| image.digest.as_deref());
    let image_id = image.and_then(|image| image.config_digest.as_deref());
    let runtime = match runtime {
        Some(runtime) if runtime.starts_with("crun") => "crun",
        _ => "runc",
    };
    json!({
        "id": id(container),
        "name": container.id,
        "rootfsImageID": image_id.and_then(|digest| digest.strip_prefix("sha256:")),
        "rootfsImage": reference,
        "rootfsImageName": reference,
        "rootfsImageRef": digest,
        "runtime": runtime,
        "createdTime": time(container.created_unix_seconds),
        "checkpointedTime": time(container.saved_unix_seconds),
        "restoredTime": time(None),
        "restored": false,
    })
}

/// Podman cuts ids, and shows the first of 64 digits.
fn id(container: &Container) -> String {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if container.id.len() == 64 && container.id.bytes().all(is_digit) {
        container.id.clone()
    } else {
        format!("{:x}", Sha256::digest(&container.id))
    }
}

/// The status that CRI keeps of a container.
fn status(container: &Container) -> Value {
    let nanoseconds = |seconds: Option<u64>| seconds.unwrap_or(0).saturating_mul(1_000_000_000);
    json!({
        "CreatedAt": nanoseconds(container.created_unix_seconds),
        "StartedAt": nanoseconds(container.created_unix_seconds),
        "FinishedAt": 0,
        "ExitCode": 0,
        "Pid": 0,
        "Reason": "",
        "Message": "",
    })
}

/// As Go writes it; its own zero for a time that is not known.
fn time(seconds: Option<u64>) -> String {
    seconds
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned())
}
