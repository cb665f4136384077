//! Decides and carries out file remaps when a container is checkpointed with CRIU.
#![deny(unsafe_code)]

pub mod bundle;
pub mod carry;
pub mod checkpoint;
pub mod contents;
pub mod criu;
pub mod fit;
pub mod ghosts;
pub mod half_restored;
pub mod hold;
pub mod image_dir;
pub mod intent;
pub mod link_remap;
pub mod manifest;
pub mod mountinfo;
pub mod mountmap;
pub mod network_lock;
pub mod obstacle;
pub mod ownership;
pub mod phase;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod private;
pub mod process;
pub mod reconcile;
pub mod relink;
pub mod restore;
pub mod scan;
pub mod sockets;
mod sys;
pub mod terms;
pub mod text;
pub mod time_limit;
pub mod tmpfs_lock;
pub mod watchdog;
pub mod workdir;
