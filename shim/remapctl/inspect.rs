//! `remapctl inspect`: what is in a checkpoint.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use remap_engine::archive::{Archive, Container, open};
use remap_engine::manifest::Manifest;
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::text::{bytes, count, print, printable};

/// Reads the documents and prints them.
///
/// # Errors
/// It cannot be read, or its documents are damaged.
pub(crate) fn run(args: &Inspect) -> Result<ExitCode> {
    let archive = open(&args.checkpoint)?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&document(&archive)?)?),
        false => table(&archive),
    };
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn document(archive: &Archive) -> Result<Value> {
    let files = archive.files().iter().map(|file| {
        let mut entry = json!({"name": file.name, "bytes": file.size});
        if let (Some(digest), Some(entry)) = (&file.sha256, entry.as_object_mut()) {
            entry.insert("sha256".into(), digest.clone().into());
        }
        entry
    });
    Ok(json!({
        "version": 1,
        "checkpoint": archive.path(),
        "form": archive.kind().layout.to_string(),
        "made_by_remap": archive.kind().is_ours,
        "compressed": archive.kind().is_compressed,
        "container": archive.container().map(serde_json::to_value).transpose()?,
        "manifest": archive.manifest().map(serde_json::to_value).transpose()?,
        "files": files.collect::<Vec<_>>(),
        "bytes": archive.bytes(),
    }))
}

fn table(archive: &Archive) -> String {
    let kind = archive.kind();
    let mut lines = Lines::default();
    let made_by = if kind.is_ours {
        ""
    } else {
        ", not made by remap"
    };
    let compressed = if kind.is_compressed {
        ", compressed"
    } else {
        ""
    };
    lines.add("checkpoint", archive.path().display());
    lines.add("form", format_args!("{}{compressed}{made_by}", kind.layout));
    if let Some(container) = archive.container() {
        about_container(container, &mut lines);
    }
    if let Some(manifest) = archive.manifest() {
        about_manifest(manifest, &mut lines);
    }
    let files = count(archive.files().len(), "file", "files");
    lines.add(
        "all of it",
        format_args!("{} in {files}", bytes(archive.bytes())),
    );
    lines.0
}

fn about_container(container: &Container, lines: &mut Lines) {
    lines.add("container", &container.id);
    if let Some(namespace) = &container.namespace {
        lines.add("namespace", namespace);
    }
    if let Some(image) = &container.image {
        let digest = image.digest.as_deref().unwrap_or("digest unknown");
        lines.add("image", format_args!("{} ({digest})", image.reference));
    }
    lines.add("runtime", &container.runtime.name);
    let args = container
        .spec
        .pointer("/process/args")
        .and_then(Value::as_array);
    if let Some(args) = args {
        let args: Vec<_> = args.iter().filter_map(Value::as_str).collect();
        lines.add("process", args.join(" "));
    }
}

fn about_manifest(manifest: &Manifest, lines: &mut Lines) {
    let versions = manifest.versions.iter();
    let versions: Vec<_> = versions
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    lines.add("made with", versions.join(", "));
    lines.add("processor", &manifest.cpu.model);
    lines.add("options", options(manifest));
    lines.add("memory", bytes(manifest.volumes().memory_bytes));
    for mount in &manifest.mounts {
        let names = count(
            usize::try_from(mount.entries).unwrap_or(usize::MAX),
            "name",
            "names",
        );
        let what = if mount.partial {
            ", the container's own only"
        } else {
            ""
        };
        let destination = mount.destination.display();
        lines.add(
            "carried",
            format_args!("{destination}: {} in {names}{what}", bytes(mount.bytes)),
        );
    }
    if let Some(took) = &manifest.took {
        lines.add("took", took);
    }
}

fn options(manifest: &Manifest) -> String {
    let options = &manifest.options;
    let set = [
        (options.tcp_established, "established TCP connections"),
        (options.tcp_close, "TCP connections closed"),
        (options.ext_unix_sk, "external Unix sockets"),
        (options.shell_job, "shell job"),
        (options.file_locks, "file locks"),
    ];
    let names: Vec<_> = set
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| name)
        .collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let value = printable(&value.to_string());
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{name:<11} {value}");
    }
}
