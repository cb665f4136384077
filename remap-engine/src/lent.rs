//! Images that the root of a user namespace may read.
//!
//! CRIU enters the user namespace of a container that has one before it has opened all images
//! (`restore_task_with_children`), and is then, for the host, the user that is root in there: it may
//! not read what belongs to the host's root alone.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use serde::Deserialize;

/// The part of a bundle's `config.json` that counts here (OCI runtime spec, config-linux.md, "User
/// namespace mappings").
#[derive(Default, Deserialize)]
struct Config {
    linux: Option<Linux>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    uid_mappings: Option<Vec<IdMapping>>,
    gid_mappings: Option<Vec<IdMapping>>,
}

#[derive(Deserialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container: u32,
    #[serde(rename = "hostID")]
    host: u32,
}

/// The user and the group of the host that are root in the container of this bundle; `None` if it has
/// no user namespace that the runtime makes.
fn container_root(bundle: &Path) -> io::Result<Option<(Uid, Gid)>> {
    let text = std::fs::read(bundle.join("config.json"))?;
    let config: Config = serde_json::from_slice(&text)?;
    let linux = config.linux.unwrap_or_default();
    let root = |mappings: Option<Vec<IdMapping>>| {
        let mut mappings = mappings.into_iter().flatten();
        let root = mappings.find(|mapping| mapping.container == 0)?;
        Some(root.host)
    };
    let root = root(linux.uid_mappings).zip(root(linux.gid_mappings));
    Ok(root.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid))))
}

/// An image directory that belongs to the container's root, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    dir: OwnedFd,
    /// The files, the directory itself last, and whose they were.
    lent: Vec<(OsString, Uid, Gid)>,
}

impl Lent {
    /// Lends the images to the container's root, if that is not the host's. Nobody but the container
    /// itself has that user, and what is in the images is its own memory.
    ///
    /// # Errors
    /// The bundle cannot be read, or the owner of a file cannot be changed. All belong to whom they
    /// did.
    pub(crate) fn to_container(bundle: &Path, image_dir: &Path) -> io::Result<Option<Self>> {
        let Some((uid, gid)) = container_root(bundle)? else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(image_dir, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            names.push(OsString::from_vec(entry?.file_name().to_bytes().to_vec()));
        }
        names.retain(|name| name != "." && name != "..");
        names.push(".".into());
        let mut lent = Self {
            dir,
            lent: Vec::new(),
        };
        for name in names {
            lent.lend(name, uid, gid)?;
        }
        Ok(Some(lent))
    }

    fn lend(&mut self, name: OsString, uid: Uid, gid: Gid) -> io::Result<()> {
        let stat = rustix::fs::statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Ok(());
        }
        let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        self.chown(&name, uid, gid)?;
        self.lent.push((name, owner, group));
        Ok(())
    }

    fn chown(&self, name: &OsString, uid: Uid, gid: Gid) -> rustix::io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&self.dir, name, Some(uid), Some(gid), flags)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        for (name, uid, gid) in &self.lent {
            // Whoever has removed it meanwhile does not want it back.
            if let Err(error) = self.chown(name, *uid, *gid)
                && error != rustix::io::Errno::NOENT
            {
                tracing::warn!(?name, %error, "an image stays with the container's root");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn images_are_lent_and_given_back() {
        let bundle = tempfile::tempdir().unwrap();
        let images = tempfile::tempdir().unwrap();
        let image = images.path().join("core-1.img");
        std::fs::write(&image, "").unwrap();
        let owners = || {
            let of = |path: &Path| std::fs::metadata(path).map(|file| (file.uid(), file.gid()));
            [of(images.path()).unwrap(), of(&image).unwrap()]
        };
        let before = owners();
        let lend = |config: &str| {
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            Lent::to_container(bundle.path(), images.path()).unwrap()
        };
        assert!(lend("{}").is_none());
        let lent = lend(
            r#"{"linux": {
                "uidMappings": [{"containerID": 1, "hostID": 5, "size": 9}, {"containerID": 0, "hostID": 3000, "size": 1}],
                "gidMappings": [{"containerID": 0, "hostID": 4000, "size": 10}]}}"#,
        );
        assert_eq!(owners(), [(3000, 4000); 2]);
        drop(lent);
        assert_eq!(owners(), before);
    }
}
