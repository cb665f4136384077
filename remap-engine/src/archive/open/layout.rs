//! An OCI image layout in a tar: ours, and those of `ctr images export`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::describe::{Found, LIMIT};
use super::members::{self, Naming};
use super::problem::Problem;
use super::sink::{Sink, Where};
use super::stream::{self, Section};
use super::tar::TarReader;
use super::{Archive, Form};
use crate::archive::container::{Any, Container, Image, Runtime};
use crate::archive::error::ArchiveError;
use crate::archive::image::{self, BLOBS, INDEX_FILE, LAYOUT_FILE, layout_text};
use crate::archive::layout::{Kind, Layout};
use crate::archive::proto;
use crate::archive::source::Descriptor;
use crate::archive::{CONTAINER_ANNOTATION, ROOTFS_DIFF_FILE};

/// Which blobs of a layout are the checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    /// The tar with the files.
    files: Descriptor,
    naming: Naming,
    /// The changes of the root file system, if they are not among the files.
    rootfs_diff: Option<Descriptor>,
    /// All that belong to it.
    listed: Vec<Descriptor>,
}

/// An index or a manifest (image-spec, image-index.md and manifest.md).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Index {
    manifests: Vec<Descriptor>,
    layers: Vec<Descriptor>,
    config: Option<Descriptor>,
    annotations: BTreeMap<String, String>,
}

/// Reads the documents.
pub(super) fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let found = find(path).map_err(|problem| problem.of(path, ""))?;
    let Some((blobs, index)) = found else {
        return Err(ArchiveError::Unknown {
            path: path.to_owned(),
            found: "it is an image layout, and there is no checkpoint in it".to_owned(),
        });
    };
    let in_blob = |problem: Problem| problem.of(path, &blobs.files.digest);
    let mut found = scan(path, &blobs).map_err(in_blob)?;
    if let Some(diff) = &blobs.rootfs_diff {
        found.sizes.insert(ROOTFS_DIFF_FILE.to_owned(), diff.size);
    }
    let mut described = found.describe(path)?;
    if described.container.is_none() && blobs.naming == Naming::Plain {
        let container = container(path, &index).map_err(|problem| problem.of(path, ""))?;
        described.container = container;
    }
    Ok(Archive {
        path: path.to_owned(),
        kind: Kind {
            layout: match blobs.naming {
                Naming::Plain => Layout::Oci,
                Naming::Podman => Layout::Registry,
            },
            is_ours: described.document.is_some(),
            is_compressed: false,
        },
        form: Form::Layout(Box::new(blobs)),
        entries: described.entries,
        container: described.container,
        manifest: described.manifest,
        document: described.document,
    })
}

/// Gives each file to the sink, and looks whether blobs are what they are called.
pub(super) fn stream(
    archive: &Archive,
    blobs: &Blobs,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Problem> {
    let (mut file, _) = stream::open(&archive.path)?;
    let mut tar = TarReader::new(file.as_mut());
    let listed = blobs.listed.iter().filter(|_| archive.kind.is_ours);
    let mut missing: BTreeSet<&str> = listed.map(Descriptor::hex).collect();
    while let Some(member) = tar.next()? {
        let Some(hex) = member.name.strip_prefix(BLOBS) else {
            continue;
        };
        let is_files = hex == blobs.files.hex();
        let is_diff = blobs
            .rootfs_diff
            .as_ref()
            .is_some_and(|diff| hex == diff.hex());
        // Of a list of files each is checked by it, and there is nothing else in the blob.
        let is_checked = is_files && archive.kind.is_ours && sink.is_unpacking();
        let mut section = tar.section(!is_checked && !is_diff);
        missing.remove(hex);
        let read = if is_files {
            read_files(archive, blobs, &mut section, sink)
        } else if is_diff {
            sink.take(Where::Plain, ROOTFS_DIFF_FILE, &mut section)
        } else {
            Ok(())
        };
        match read {
            Err(Problem::Bad(what)) => sink.fault(&member.name, what),
            other => other?,
        }
        if sink.is_done() {
            return Ok(());
        }
        if section.end()?.is_some_and(|found| found != hex) {
            sink.fault(&member.name, "has other contents (SHA-256)");
        }
    }
    for hex in missing {
        sink.fault(&format!("{BLOBS}{hex}"), "is missing");
    }
    Ok(())
}

fn read_files(
    archive: &Archive,
    blobs: &Blobs,
    section: &mut Section<'_>,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Problem> {
    let (mut files, _) = stream::unpacked(section)?;
    let mut tar = TarReader::new(files.as_mut());
    members::stream(blobs.naming, archive.kind.is_ours, &mut tar, sink)
}

fn scan(path: &Path, blobs: &Blobs) -> Result<Found, Problem> {
    let scanned = with_blob(path, &blobs.files, &mut |section| {
        let (mut files, _) = stream::unpacked(section)?;
        members::scan(blobs.naming, &mut TarReader::new(files.as_mut()))
    });
    scanned?.ok_or_else(|| Problem::bad("is missing"))
}

/// Looks for the checkpoint in the index, and in the indexes in it.
fn find(path: &Path) -> Result<Option<(Blobs, Index)>, Problem> {
    let (mut file, _) = stream::open(path)?;
    let mut tar = TarReader::new(file.as_mut());
    let (mut index, mut mark) = (None, None);
    while let Some(member) = tar.next()? {
        match member.name.as_str() {
            INDEX_FILE => index = Some(tar.text(LIMIT)?),
            LAYOUT_FILE => mark = Some(tar.text(LIMIT)?),
            _ => {}
        }
    }
    let index = index.ok_or_else(|| Problem::bad("has no `index.json`"))?;
    check_mark(&mark.unwrap_or_default(), &index)?;
    let index: Index = json(INDEX_FILE, &index)?;
    for entry in index.manifests {
        if !matches!(entry.media_type.as_str(), image::INDEX | image::MANIFEST) {
            continue;
        }
        let Some(text) = blob(path, &entry)? else {
            continue;
        };
        let inner: Index = json(&entry.digest, &text)?;
        if let Some(blobs) = checkpoint(&inner) {
            return Ok(Some((blobs, inner)));
        }
    }
    Ok(None)
}

/// What says that it is an image layout has to be just that; ours says which index it belongs to.
fn check_mark(mark: &[u8], index: &[u8]) -> Result<(), Problem> {
    let plain: Value = json(LAYOUT_FILE, mark)?;
    let is_plain = plain == serde_json::json!({"imageLayoutVersion": "1.0.0"});
    if is_plain || mark == layout_text(index).as_bytes() {
        Ok(())
    } else {
        Err(Problem::bad(
            "has an `index.json` that does not belong to its `oci-layout`",
        ))
    }
}

fn checkpoint(index: &Index) -> Option<Blobs> {
    let of_type = |media_type| {
        let mut entries = index.manifests.iter();
        entries.find(move |entry| entry.media_type == media_type)
    };
    if let Some(files) = of_type(image::CRIU) {
        let is_layer = |entry: &&Descriptor| entry.media_type.starts_with(image::LAYER);
        return Some(Blobs {
            files: files.clone(),
            naming: Naming::Plain,
            rootfs_diff: index.manifests.iter().find(is_layer).cloned(),
            listed: index.manifests.clone(),
        });
    }
    let (Some(_), [layer]) = (
        index.annotations.get(CONTAINER_ANNOTATION),
        index.layers.as_slice(),
    ) else {
        return None;
    };
    Some(Blobs {
        files: layer.clone(),
        naming: Naming::Podman,
        rootfs_diff: None,
        listed: index.layers.iter().chain(&index.config).cloned().collect(),
    })
}

/// The container of a checkpoint that `ctr` has made, of which the index says no name: ctr puts it
/// into the path of the control group.
fn container(path: &Path, index: &Index) -> Result<Option<Container>, Problem> {
    let any = |media_type| {
        let mut entries = index.manifests.iter();
        let entry = entries.find(|entry| entry.media_type == media_type);
        let text = match entry {
            Some(entry) => blob(path, entry)?,
            None => None,
        };
        let message = text.map(|text| proto::Any::decode(text.as_slice()));
        let message = message.transpose();
        message.map_err(|error| Problem::Bad(format!("has a bad `{media_type}`: {error}")))
    };
    let (Some(spec), Some(runtime)) = (
        any(image::SPEC)?,
        index.annotations.get(image::RUNTIME_NAME),
    ) else {
        return Ok(None);
    };
    let spec: Value = json(image::SPEC, &spec.value)?;
    let of = |any: proto::Any| Any {
        type_url: any.type_url,
        value: any.value,
    };
    let runtime = Runtime {
        name: runtime.clone(),
        options: any(image::RUNTIME_OPTIONS)?.map(of),
        ..Runtime::default()
    };
    let group = spec.pointer("/linux/cgroupsPath").and_then(Value::as_str);
    let mut names = group.unwrap_or_default().rsplit(['/', ':']);
    let (id, namespace) = (names.next().unwrap_or_default(), names.next());
    let mut container = Container::new(id, runtime, spec.clone());
    container.namespace = namespace.filter(|name| !name.is_empty()).map(str::to_owned);
    container.snapshotter = index.annotations.get(image::SNAPSHOTTER).cloned();
    container.image = index.annotations.get(image::IMAGE_NAME).map(Image::named);
    container.checkpoint_options = any(image::OPTIONS)?.map(of);
    Ok(Some(container))
}

/// A small blob, which has to be what it is called; none, if it is not there.
fn blob(path: &Path, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, Problem> {
    if descriptor.size > LIMIT {
        return Err(Problem::Bad(format!(
            "has `{}`, longer than {LIMIT} bytes",
            descriptor.digest
        )));
    }
    let text = with_blob(path, descriptor, &mut |section| {
        let mut text = Vec::new();
        std::io::Read::read_to_end(section, &mut text)?;
        Ok(text)
    })?;
    match &text {
        Some(text) if format!("{:x}", Sha256::digest(text)) != descriptor.hex() => {
            Err(Problem::Bad(format!(
                "has `{}` with other contents (SHA-256)",
                descriptor.digest
            )))
        }
        _ => Ok(text),
    }
}

/// Does something with a blob, if it is there with this length.
fn with_blob<T>(
    path: &Path,
    descriptor: &Descriptor,
    work: &mut dyn FnMut(&mut Section<'_>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let name = format!("{BLOBS}{}", descriptor.hex());
    let (mut file, _) = stream::open(path)?;
    let mut tar = TarReader::new(file.as_mut());
    while let Some(member) = tar.next()? {
        if member.name != name {
            continue;
        }
        if member.size != descriptor.size {
            return Err(Problem::Bad(format!(
                "has `{}` with {} bytes instead of {}",
                descriptor.digest, member.size, descriptor.size
            )));
        }
        return work(&mut tar.section(false)).map(Some);
    }
    Ok(None)
}

fn json<T: serde::de::DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text)
        .map_err(|error| Problem::Bad(format!("has a bad `{name}`: {error}")))
}
