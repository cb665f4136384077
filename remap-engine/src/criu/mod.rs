//! What passes between this project and CRIU: its configuration file and its image files.

pub mod config;
pub mod explain;
pub mod files;
pub mod image;
pub mod running;
