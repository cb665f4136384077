//! Whoever asks for a checkpoint over the control service, and takes part in it.

use std::path::PathBuf;

use remap_control::hand_over::ask;
use remap_engine::{checkpoint::Client, phase::BoxError};

/// The client at the other end of a socket that it listens on.
#[derive(Debug)]
pub(crate) struct HandOver(PathBuf);

impl HandOver {
    /// The client that listens at `socket`.
    pub(crate) fn to(socket: PathBuf) -> Self {
        Self(socket)
    }
}

impl Client for HandOver {
    fn decide(&self) -> Result<(), BoxError> {
        Ok(ask(&self.0)?)
    }
}
