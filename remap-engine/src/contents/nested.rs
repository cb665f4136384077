//! Mounts that show one directory, and another within it.

use std::path::{Path, PathBuf};

use super::{CapturedMount, CarriedMount};
use crate::mountmap::Mount;

impl CarriedMount {
    /// Whether what is saved of this mount has all that is to be saved of another.
    pub(super) fn saves_all_of(&self, other: &Self) -> bool {
        let (outer, inner) = (&self.mount, &other.mount);
        let is_in_it = outer.device == inner.device && inner.root.starts_with(&outer.root);
        // Where the inner one may be mounted upon its own directory, that is seen only without it.
        let sees_it = outer.root == inner.root || self.dir.copy.is_some();
        is_in_it && sees_it && self.only.is_some() == other.only.is_some()
    }
}

impl CapturedMount {
    /// The directory of the archive that one of the mounts shows; empty for the root.
    #[must_use]
    pub fn shown_by(&self, mount: &Mount) -> PathBuf {
        let root = self.mounts.first().map(|first| &first.root);
        let below = root.and_then(|root| mount.root.strip_prefix(root).ok());
        below.unwrap_or(Path::new("")).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CarriedMounts, Uncovered, names};
    use super::*;
    use crate::mountinfo::Device;
    use crate::mountmap::MountClass;
    use std::fs::File;

    #[test]
    fn a_mount_within_another_has_its_names_in_the_archive_of_that() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::create_dir(dir.path().join("part")).unwrap();
        std::fs::write(dir.path().join("part/file"), b"x").unwrap();
        std::fs::hard_link(dir.path().join("part/file"), dir.path().join("link")).unwrap();
        let mount = |id, below: &str| {
            let source = dir.path().join(below);
            let dev = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(&source).unwrap());
            let mount = Mount {
                device: Device {
                    major: rustix::fs::major(dev),
                    minor: rustix::fs::minor(dev),
                },
                root: Path::new("/root").join(below),
                source: Some(source.clone()),
                ..Mount::tmpfs(id, &format!("/{id}"), MountClass::ExternalTmpfsPrivate)
            };
            let fd = File::open(&source).unwrap().into();
            CarriedMount {
                dir: Uncovered::of(&mount, fd),
                mount,
                only: None,
            }
        };
        let carried = CarriedMounts(vec![mount(1, "part"), mount(2, "")]);
        let images = tempfile::tempdir().unwrap();
        let captured = carried.capture(images.path()).unwrap();
        assert_eq!(captured.len(), 1);
        let names = names(&captured);
        let of = |id: u64, name: &str| names[&id].contains(Path::new(name));
        assert!(of(1, "file") && of(1, "") && !of(1, "link"), "{names:?}");
        assert!(of(2, "part/file") && of(2, "link"), "{names:?}");
        assert_eq!(
            captured[0].shown_by(&captured[0].mounts[1]),
            Path::new("part")
        );
        let (measured, split) = carried.measure().unwrap();
        assert_eq!((measured.len(), split), (1, None));
    }
}
