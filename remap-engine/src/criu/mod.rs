//! What passes between this project and CRIU: its configuration file, its log and its
//! image files.

pub mod config;
pub mod explain;
pub mod files;
pub mod ghost;
pub mod image;
pub mod locks;
pub(crate) mod namespaces;
pub mod options;
pub mod remap;
pub mod rename;
pub mod running;
pub mod stats;
pub mod unix_socket;
pub mod version;
