//! Notices when the kernel kills for lack of memory in a container's cgroup.

mod signal;
mod v1;
mod v2;

use std::io;

use crate::cgroup::Cgroup;

/// A watch on the memory of one cgroup. It ends when it is dropped.
#[derive(Debug)]
pub(crate) enum OomWatch {
    /// The memory controller of cgroup v1.
    V1(v1::Watch),
    /// The unified hierarchy.
    V2(v2::Watch),
}

impl OomWatch {
    /// Watches the cgroup that process `pid` is in now, which after a restore is the one that the
    /// runtime has made for it.
    ///
    /// # Errors
    /// When the process is gone, or its cgroup has no memory controller.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        match Cgroup::of(pid)? {
            Cgroup::V1(paths) => {
                let memory = paths.get("memory").ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("the memory controller is off for process {pid}"),
                    )
                })?;
                v1::Watch::new(memory).map(Self::V1)
            }
            Cgroup::V2(path) => v2::Watch::new(&path).map(Self::V2),
        }
    }

    /// Waits until it has happened once more. Nothing is lost if this is dropped meanwhile.
    ///
    /// # Errors
    /// The kernel's file cannot be read any more: nothing will be noticed.
    pub(crate) async fn happened(&mut self) -> io::Result<()> {
        match self {
            Self::V1(watch) => watch.happened().await,
            Self::V2(watch) => watch.happened().await,
        }
    }

    /// Whether it has happened and [`OomWatch::happened`] has not said so.
    pub(crate) fn has_happened(&mut self) -> bool {
        match self {
            Self::V1(watch) => watch.has_happened(),
            Self::V2(watch) => watch.has_happened(),
        }
    }
}
