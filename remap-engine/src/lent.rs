//! Images that the root of a user namespace may read.
//!
//! CRIU enters the user namespace of a container that has one before it has opened all images
//! (`restore_task_with_children`). At first it is still the host's root there, without its privileges,
//! and then, for the host, the user that is root in there (`prepare_userns`): both must be able to
//! read them.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use serde::Deserialize;

/// The part of a bundle's `config.json` that counts here (OCI runtime spec, config-linux.md, "User
/// namespace mappings").
#[derive(Deserialize)]
struct Config {
    linux: Option<Linux>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    uid_mappings: Option<Vec<IdMapping>>,
}

#[derive(Deserialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container: u32,
    #[serde(rename = "hostID")]
    host: u32,
}

/// The user of the host that is root in the container of this bundle; `None` if it has no user
/// namespace that the runtime makes.
fn container_root(bundle: &Path) -> io::Result<Option<Uid>> {
    let text = std::fs::read(bundle.join("config.json"))?;
    let config: Config = serde_json::from_slice(&text)?;
    let mappings = config.linux.and_then(|linux| linux.uid_mappings);
    let mut mappings = mappings.into_iter().flatten();
    let root = mappings.find(|mapping| mapping.container == 0);
    Ok(root.map(|mapping| Uid::from_raw(mapping.host)))
}

/// An image directory that the container's root may read, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    dir: OwnedFd,
    /// The files, the directory itself last, and how they were.
    lent: Vec<(OsString, Stat)>,
}

impl Lent {
    /// Lends the images to the container's root, if that is not the host's. Nobody but the container
    /// itself has that user, and what is in the images is its own memory.
    ///
    /// # Errors
    /// The bundle cannot be read, or a file cannot be lent. All are as they were.
    pub(crate) fn to_container(bundle: &Path, image_dir: &Path) -> io::Result<Option<Self>> {
        let Some(uid) = container_root(bundle)? else {
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
            lent.lend(name, uid)?;
        }
        Ok(Some(lent))
    }

    fn lend(&mut self, name: OsString, uid: Uid) -> io::Result<()> {
        let stat = rustix::fs::statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let for_group = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Mode::RGRP,
            FileType::Directory => Mode::RGRP | Mode::XGRP,
            _ => return Ok(()),
        };
        self.lent.push((name.clone(), stat));
        let mode = Mode::from_raw_mode(stat.st_mode) | for_group;
        self.set(&name, uid, Gid::ROOT, mode)?;
        Ok(())
    }

    fn set(&self, name: &OsString, uid: Uid, gid: Gid, mode: Mode) -> rustix::io::Result<()> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&self.dir, name, Some(uid), Some(gid), nofollow)?;
        // It is no symbolic link, and nobody else can put one there.
        rustix::fs::chmodat(&self.dir, name, mode, AtFlags::empty())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        for (name, stat) in &self.lent {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            let mode = Mode::from_raw_mode(stat.st_mode);
            // Whoever has removed it meanwhile does not want it back.
            if let Err(error) = self.set(name, uid, gid, mode)
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn images_are_lent_and_given_back() {
        let bundle = tempfile::tempdir().unwrap();
        let images = tempfile::tempdir().unwrap();
        let image = images.path().join("core-1.img");
        crate::private::create_file(&image).unwrap();
        let owners = || {
            let of = |path: &Path| {
                let file = std::fs::metadata(path).unwrap();
                (file.uid(), file.gid(), file.mode() & 0o777)
            };
            [of(images.path()), of(&image)]
        };
        let closed = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(images.path(), closed).unwrap();
        let before = owners();
        let lend = |config: &str| {
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            Lent::to_container(bundle.path(), images.path()).unwrap()
        };
        assert!(lend("{}").is_none());
        let lent = lend(
            r#"{"linux": {
                "uidMappings": [{"containerID": 1, "hostID": 5, "size": 9}, {"containerID": 0, "hostID": 3000, "size": 1}]}}"#,
        );
        assert_eq!(owners(), [(3000, 0, 0o750), (3000, 0, 0o640)]);
        drop(lent);
        assert_eq!(owners(), before);
    }
}
