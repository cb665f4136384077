//! Names of Unix sockets on what is carried: CRIU makes those of the sockets that it restores.

use std::path::Path;

use super::CapturedMount;
use crate::carry::SkipReason;
use crate::mountmap::Mount;
use crate::text::TextPath;

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
