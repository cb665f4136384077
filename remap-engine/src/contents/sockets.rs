//! Names of Unix sockets on what is carried: CRIU makes those of the sockets that it restores.

use std::path::Path;

use super::{CapturedMount, MeasuredMount};
use crate::carry::SkipReason;
use crate::mountmap::Mount;
use crate::text::TextPath;

/// The most names that a message has.
const NAMED: usize = 8;

impl MeasuredMount {
    /// What is to be known of them before a checkpoint.
    #[must_use]
    pub fn tell_of_sockets(&self) -> Option<String> {
        let mount = self.mounts.first().filter(|_| !self.sockets.is_empty())?;
        let names = self.sockets.iter().take(NAMED);
        let mut names: Vec<String> = names.map(|name| name.display().to_string()).collect();
        if self.sockets.len() > NAMED {
            names.push("…".into());
        }
        Some(format!(
            "names of Unix sockets at {} are not carried, as CRIU makes those of the sockets that the container has open: {}",
            mount.destination.display(),
            names.join(", ")
        ))
    }
}

impl CapturedMount {
    /// The names of sockets that one of the mounts shows, below it. They are not in the archive.
    #[must_use]
    pub fn sockets(&self, mount: &Mount) -> Vec<TextPath> {
        let below = self.shown_by(mount);
        let names = self
            .left_out()
            .filter_map(|path| path.strip_prefix(&below).ok());
        names.map(|path| TextPath(path.to_owned())).collect()
    }

    /// Notes them in the log.
    pub(super) fn tell_of_sockets(&self) {
        let Some(mount) = self.mounts.first() else {
            return;
        };
        for socket in self.left_out() {
            let path = mount.destination.join(socket);
            tracing::info!(path = %path.display(), "a socket's name is left to CRIU");
        }
    }

    /// The names of sockets below the first mount.
    fn left_out(&self) -> impl Iterator<Item = &Path> {
        let skipped = self.captured.skipped.iter();
        let sockets = skipped.filter(|skipped| skipped.reason == SkipReason::Socket);
        sockets.map(|skipped| skipped.path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carry;
    use crate::mountmap::MountClass;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    #[test]
    fn names_of_sockets_are_told_before_and_noted_by_each_mount_that_shows_them() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        for name in ["top", "in/deep"] {
            drop(UnixListener::bind(dir.path().join(name)).unwrap());
        }
        let mount = |destination: &str, root: &str| Mount {
            root: root.into(),
            ..Mount::tmpfs(1, destination, MountClass::ExternalTmpfsPrivate)
        };
        let mounts = vec![mount("/all", "/"), mount("/part", "/in")];
        let root = File::open(dir.path()).unwrap();
        let measured = MeasuredMount {
            mounts: mounts.clone(),
            partial: false,
            sizes: Default::default(),
            sockets: carry::measure(root.as_fd()).unwrap().sockets,
        };
        let told = measured.tell_of_sockets().unwrap();
        assert!(
            told.contains("at /all") && told.ends_with("in/deep, top"),
            "{told}"
        );
        let captured = CapturedMount {
            captured: carry::capture(root.as_fd(), tempfile::tempfile().unwrap()).unwrap(),
            mounts: mounts.clone(),
            archive: String::new(),
            partial: false,
        };
        let noted = |mount: &Mount| -> Vec<String> {
            let names = captured.sockets(mount).into_iter();
            names.map(|name| name.0.display().to_string()).collect()
        };
        assert_eq!(noted(&mounts[0]), ["in/deep", "top"]);
        assert_eq!(noted(&mounts[1]), ["deep"]);
    }
}
