//! The file-system layer of an image, and its tar form.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tar::{EntryType, Header};

/// Paths relative to the image's root, with what is there.
///
/// Sorted, so that the same content always gives the same tar, and so that a
/// directory comes before what is in it.
#[derive(Debug, Default)]
pub(super) struct Layer {
    nodes: BTreeMap<PathBuf, Node>,
}

#[derive(Debug)]
enum Node {
    Directory {
        mode: u32,
    },
    Symlink {
        target: PathBuf,
    },
    Contents {
        bytes: Vec<u8>,
        mode: u32,
    },
    /// A file of the machine that builds the image, with its mode and mtime.
    Copy {
        source: PathBuf,
    },
}

impl Layer {
    pub(super) fn directory(&mut self, path: impl Into<PathBuf>, mode: u32) {
        self.nodes.insert(path.into(), Node::Directory { mode });
    }

    pub(super) fn symlink(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) {
        let target = target.into();
        self.nodes.insert(path.into(), Node::Symlink { target });
    }

    /// A file with mode 0644 and the given contents.
    pub(super) fn contents(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        let (bytes, mode) = (bytes.into(), 0o644);
        self.nodes
            .insert(path.into(), Node::Contents { bytes, mode });
    }

    /// The same with mode 0755.
    pub(super) fn script(&mut self, path: impl Into<PathBuf>, text: &str) {
        let (bytes, mode) = (text.into(), 0o755);
        self.nodes
            .insert(path.into(), Node::Contents { bytes, mode });
    }

    /// A copy of the file `source`; if that is a symlink, of what it leads to.
    pub(super) fn copy(&mut self, path: impl Into<PathBuf>, source: impl Into<PathBuf>) {
        let source = source.into();
        self.nodes.insert(path.into(), Node::Copy { source });
    }

    /// Everything below the directory `source` for which `wanted` says yes, as
    /// it is: regular files, symlinks and directories.
    pub(super) fn copy_tree(
        &mut self,
        path: &Path,
        source: &Path,
        wanted: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        self.directory(path, 0o755);
        let entries = fs::read_dir(source).with_context(|| format!("list {}", source.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", source.display()))?;
            let (from, to) = (entry.path(), path.join(entry.file_name()));
            if !wanted(&to) {
                continue;
            }
            let kind = entry
                .file_type()
                .with_context(|| format!("stat {}", from.display()))?;
            if kind.is_dir() {
                self.copy_tree(&to, &from, wanted)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&from)
                    .with_context(|| format!("read the symlink {}", from.display()))?;
                self.symlink(to, target);
            } else if kind.is_file() {
                self.copy(to, from);
            } else {
                bail!("{} is neither file, directory nor symlink", from.display());
            }
        }
        Ok(())
    }

    /// The layer as an uncompressed tar, all of it owned by root.
    ///
    /// Copied files keep their mtime, because Python's compiled modules are
    /// valid for one mtime of their source only. Everything else is of 1970.
    pub(super) fn to_tar(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, node) in &self.nodes {
            append(&mut tar, path, node)
                .with_context(|| format!("add /{} to the layer", path.display()))?;
        }
        Ok(tar.into_inner()?)
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &Path, node: &Node) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    match node {
        Node::Directory { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            tar.append_data(&mut header, path, std::io::empty())?;
        }
        Node::Symlink { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, target)?;
        }
        Node::Contents { bytes, mode } => {
            header.set_mode(*mode);
            header.set_size(u64::try_from(bytes.len())?);
            tar.append_data(&mut header, path, bytes.as_slice())?;
        }
        Node::Copy { source } => {
            let file =
                fs::File::open(source).with_context(|| format!("open {}", source.display()))?;
            let metadata = file
                .metadata()
                .with_context(|| format!("stat {}", source.display()))?;
            header.set_mode(metadata.permissions().mode() & 0o7777);
            header.set_mtime(u64::try_from(metadata.mtime())?);
            header.set_size(metadata.len());
            tar.append_data(&mut header, path, file)?;
        }
    }
    Ok(())
}
