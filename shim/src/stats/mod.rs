//! A container's figures, in the messages that containerd's clients know: one for cgroup v1 and
//! one for the unified hierarchy.

mod blkio;
mod file;
mod v1;
mod v2;

use std::io;

use containerd_shim_protos::protobuf::{Message, well_known_types::any::Any};

use crate::cgroup::Cgroup;

/// The figures of a cgroup; zero where it is gone.
///
/// # Errors
/// They cannot be put into a message.
pub(crate) fn read(cgroup: &Cgroup) -> io::Result<Any> {
    match cgroup {
        Cgroup::V1(paths) => any("io.containerd.cgroups.v1.Metrics", &v1::metrics(paths)),
        Cgroup::V2(path) => any("io.containerd.cgroups.v2.Metrics", &v2::metrics(path)),
    }
}

fn any(type_url: &str, message: &impl Message) -> io::Result<Any> {
    Ok(Any {
        type_url: type_url.to_owned(),
        value: message.write_to_bytes().map_err(io::Error::other)?,
        ..Any::default()
    })
}
