//! The forms that a checkpoint can have.

use std::fmt;

/// In which form a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The plain form, a directory.
    Directory,
    /// An OCI image layout in a tar, which `ctr images import` and `ctr containers restore` take.
    Oci,
    /// An OCI image layout in a tar, with one manifest of ordinary layers, which a registry stores.
    Registry,
    /// The tar of `podman container checkpoint --export`, which CRI-O and CRI have, too.
    Podman,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Directory, Self::Oci, Self::Registry, Self::Podman];
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::Oci => "oci",
            Self::Registry => "registry",
            Self::Podman => "podman",
        })
    }
}

/// What an archive that was opened is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its form. One of CRIU's image directories, as `ctr tasks checkpoint --image-path` and nerdctl
    /// make it, is a directory as well.
    pub layout: Layout,
    /// This project has made it: there is a [`Document`](super::Document).
    pub is_ours: bool,
    /// All of the file is compressed.
    pub is_compressed: bool,
}

/// How an archive is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, but for holes.
    None,
    /// zstd (RFC 8878).
    Zstd {
        /// From 1, which is fast, to 22; 3 is zstd's own default.
        level: i32,
        /// How many work at the same time; 0 for as many as there are processors.
        threads: u32,
    },
}
