//! The manifest: the commit mark of a checkpoint, `remap-manifest.json`.
//!
//! It is written last: a directory without one is not a checkpoint of this project
//! (the stock shim's, or one that was never finished). It says what the checkpoint
//! needs on the target, and has a digest of every file, so that damage is found
//! before anything is restored, and also what a crash of the host has left
//! unfinished.

mod ahead;
mod cpu;
mod digest;
mod error;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ghosts::GhostFile;
use crate::mountinfo::Device;
use crate::text::TextPath;
use crate::together::Together;
use crate::took::{Took, Volumes};

pub(crate) use ahead::Ahead;
pub use cpu::Cpu;
pub use digest::FileDigest;
pub use error::{Damage, DamagedFile, DamagedFiles, ManifestError};

use crate::linked::LinkedFile;

/// Name of the manifest in the image directory.
pub const FILE_NAME: &str = "remap-manifest.json";

/// The JSON Schema of the manifest.
pub const SCHEMA: &str = include_str!("../schema/remap-manifest.json");

/// Version of the format that is written.
pub const VERSION: u32 = 1;

/// Files that CRIU writes after the commit: they have no digest.
///
/// `stats-dump` is written after the last action script (CRIU, cr_dump_finish),
/// and `dump.log` for as long as CRIU runs.
const WRITTEN_LATER: [&str; 2] = ["stats-dump", "dump.log"];

/// Whether a checkpoint is to outlast a crash of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is complete when it is on the disk.
    #[default]
    OnDisk,
    /// It is read at once, and then removed: nobody waits for the disk.
    Volatile,
}

/// What a checkpoint consists of and was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    version: u32,
    /// Versions by name: the engine, the kernel's release, CRIU, the runtime.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Options of the dump that the restore has to match.
    #[serde(default)]
    pub options: DumpOptions,
    /// With which containers it is to be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// Mounts whose contents are in the directory.
    #[serde(default)]
    pub mounts: Vec<CarriedMount>,
    /// Mounts that came along with binds of the host, named as in the bundle: CRIU has to be told at
    /// a restore where they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub along: Vec<TextPath>,
    /// Files that are in CRIU's images by policy, some with names to be made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ghosts: Vec<GhostFile>,
    /// Names that the images ask for and that a restore has to make, as nothing brings them.
    #[serde(default)]
    pub links: Vec<LinkedFile>,
    /// What the checkpoint took until this was written: not to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Took>,
    /// The processor on which the tasks ran.
    pub cpu: Cpu,
    /// Every file of the directory by its name (escaped as by
    /// [`escape`](crate::text::escape)), but for the manifest and what CRIU
    /// writes later.
    pub files: BTreeMap<String, FileDigest>,
}

/// Options of the dump that the restore has to match, named as CRIU names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DumpOptions {
    /// Established TCP connections are in the images.
    pub tcp_established: bool,
    /// Established TCP connections are closed by the restore.
    pub tcp_close: bool,
    /// One end of a Unix connection may lie outside.
    pub ext_unix_sk: bool,
    /// The session leader or the terminal lies outside.
    pub shell_job: bool,
    /// File locks are in the images.
    pub file_locks: bool,
    /// Namespaces that were dumped without their contents, such as `network`.
    pub empty_ns: Vec<String>,
    /// How control groups are handled, such as `soft`.
    pub cgroups_mode: Option<String>,
}

/// A mount whose contents are carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedMount {
    /// Where it is mounted in the container.
    #[serde(with = "crate::text")]
    pub destination: PathBuf,
    /// Name of the archive in the image directory.
    pub archive: String,
    /// The directory of the archive that it shows, if that is not all of it.
    #[serde(default, with = "crate::text")]
    pub below: PathBuf,
    /// Only the container's own files are in it: others shared the file system.
    #[serde(default)]
    pub partial: bool,
    /// The file system that the contents come from.
    #[serde(default)]
    pub origin: Option<FileSystem>,
    /// Inodes in the archive, by their numbers there, that the containers of
    /// [`Manifest::together`] hold as well.
    #[serde(default)]
    pub shared: BTreeSet<u64>,
    /// Options of the file system, such as `size=65536k`.
    #[serde(default)]
    pub fs_options: Vec<String>,
    /// Bytes of file data in the archive, without holes.
    pub bytes: u64,
    /// Names in the archive, the root's included.
    pub entries: u64,
    /// Names of Unix sockets, which are not in the archive: CRIU makes those of sockets that it
    /// restores, and what nobody listens on is left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<TextPath>,
}

/// A tmpfs of a host, for as long as the host is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// The host's boot id (random(4)).
    pub boot: String,
    /// `st_dev` of its files.
    pub device: Device,
}

impl FileSystem {
    /// The file system with this device on this host.
    ///
    /// # Errors
    /// The host does not say its boot id.
    pub fn here(device: Device) -> std::io::Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot = boot.trim().to_owned();
        Ok(Self { boot, device })
    }
}

impl Manifest {
    /// Describes the files that are in `dir` now. Reads each of them whole, two
    /// at a time; nothing is written.
    ///
    /// # Errors
    /// When the directory, a file or `/proc/cpuinfo` cannot be read, or a carried
    /// mount names an archive that is not in the directory.
    pub fn build(
        dir: &Path,
        versions: BTreeMap<String, String>,
        options: DumpOptions,
        mounts: Vec<CarriedMount>,
    ) -> Result<Self, ManifestError> {
        Self::build_on(&Ahead::default(), dir, versions, options, mounts)
    }

    /// The same, with the digests that were begun ahead.
    ///
    /// # Errors
    /// Those of [`Self::build`].
    pub(crate) fn build_on(
        ahead: &Ahead,
        dir: &Path,
        versions: BTreeMap<String, String>,
        options: DumpOptions,
        mounts: Vec<CarriedMount>,
    ) -> Result<Self, ManifestError> {
        let manifest = Self {
            version: VERSION,
            versions,
            options,
            together: None,
            mounts,
            along: Vec::new(),
            ghosts: Vec::new(),
            links: Vec::new(),
            took: None,
            cpu: Cpu::of_this_host()?,
            files: digest::directory(dir, ahead, |name| {
                name != FILE_NAME && name != store::NEW_NAME && !WRITTEN_LATER.contains(&name)
            })?,
        };
        manifest.check(dir)?;
        Ok(manifest)
    }

    /// How much there is. The memory of tasks, and of what they share, is in `pages-ID.img` (CRIU,
    /// `imgset_template`).
    #[must_use]
    pub fn volumes(&self) -> Volumes {
        // Mounts that show the same have one archive.
        let archives = self.mounts.iter().map(|mount| (&mount.archive, mount));
        let archives: BTreeMap<&String, &CarriedMount> = archives.collect();
        let bytes = |prefix: &str| {
            let files = self.files.iter();
            let files = files.filter(|(name, _)| name.starts_with(prefix));
            files.map(|(_, file)| file.size).sum()
        };
        Volumes {
            carried_bytes: archives.values().map(|mount| mount.bytes).sum(),
            carried_entries: archives.values().map(|mount| mount.entries).sum(),
            memory_bytes: bytes("pages-"),
            checkpoint_bytes: bytes(""),
        }
    }

    /// Makes the checkpoint valid: puts the manifest in place (mode 0600), and syncs it
    /// and every listed file.
    ///
    /// # Errors
    /// There is no valid manifest in the directory then.
    pub fn write(&self, dir: &Path) -> Result<(), ManifestError> {
        self.write_as(dir, Durability::OnDisk)
    }

    /// The same, of files that need not outlast a crash of the host.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub(crate) fn write_as(&self, dir: &Path, durability: Durability) -> Result<(), ManifestError> {
        store::write(self, dir, durability)
    }

    /// Reads the manifest of `dir`; `None` when there is none, so that the
    /// checkpoint is not one of this project. Unknown fields are tolerated, an
    /// unknown version is not.
    ///
    /// # Errors
    /// When it cannot be read, is too long, damaged or of another version.
    pub fn read(dir: &Path) -> Result<Option<Self>, ManifestError> {
        store::read(dir)
    }

    /// Reads a manifest that is not in a directory. `path` is for errors.
    ///
    /// # Errors
    /// It is damaged, or of another version.
    pub fn from_json(text: &[u8], path: &Path) -> Result<Self, ManifestError> {
        store::parse(text, path)
    }

    /// Compares every listed file with its size and digest. Other files are
    /// tolerated.
    ///
    /// # Errors
    /// [`ManifestError::Damaged`] names each file that is missing or differs.
    pub fn verify(&self, dir: &Path) -> Result<(), ManifestError> {
        let damaged = digest::compare(dir, &self.files)?;
        if damaged.is_empty() {
            return Ok(());
        }
        Err(ManifestError::Damaged {
            dir: dir.to_owned(),
            files: damaged.into(),
        })
    }

    /// Rejects what `build` could not have made.
    fn check(&self, dir: &Path) -> Result<(), ManifestError> {
        let malformed = |reason| ManifestError::Malformed {
            path: dir.join(FILE_NAME),
            reason,
        };
        for name in self.files.keys() {
            if digest::file_name(name).is_none() {
                return Err(malformed(format!(
                    "`{name}` is not the name of a file in the directory"
                )));
            }
        }
        for mount in &self.mounts {
            if !self.files.contains_key(&mount.archive) {
                return Err(malformed(format!(
                    "the archive `{}` of the mount on {} is not among the files",
                    mount.archive,
                    mount.destination.display()
                )));
            }
        }
        Ok(())
    }
}
