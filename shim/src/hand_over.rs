//! Whoever asks for a checkpoint over the control service, and takes part in it.

use std::path::PathBuf;

use remap_control::hand_over::ask;
use remap_engine::{checkpoint::Client, manifest::Durability, phase::BoxError};

/// The client at the other end of a socket that it listens on.
#[derive(Debug)]
pub(crate) struct HandOver {
    socket: PathBuf,
    durability: Durability,
}

impl HandOver {
    /// The client that listens at `socket`. If the images are `volatile`, it reads them at once, and
    /// sees itself that what it makes of them is on the disk.
    pub(crate) fn to(socket: PathBuf, volatile: bool) -> Self {
        let durability = match volatile {
            true => Durability::Volatile,
            false => Durability::OnDisk,
        };
        Self { socket, durability }
    }

    /// What it wants of the images.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }
}

impl Client for HandOver {
    fn decide(&self) -> Result<(), BoxError> {
        Ok(ask(&self.socket)?)
    }
}
