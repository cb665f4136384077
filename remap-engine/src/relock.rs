//! POSIX locks that CRIU loses.
//!
//! A process gives up its POSIX locks of a file with any descriptor of it that it closes (fcntl(2)).
//! CRIU locks again (`prepare_file_locks`), then maps the files of the process by descriptors of
//! their own and closes these (`open_filemap`, `VMA_CLOSE`): of a file that is mapped and locked the
//! locks are gone afterwards, without a word. SQLite's and LMDB's files of shared memory are such.
//!
//! Only the process itself can take them again, so it is made to: when CRIU is about to let the tasks
//! go they are frozen, and a [tracer] stops each before it runs anything of its own.

mod held;
mod inject;
mod order;
pub mod tracer;

use std::collections::HashMap;
use std::path::Path;

use crate::criu::image::ImageError;
use crate::criu::locks::{self, PosixLock};
use crate::phase::BoxError;
use crate::process::{Status, process_tree};

pub use self::order::take;

/// The POSIX locks of a checkpoint.
#[derive(Debug, Default)]
pub struct Locks(Vec<PosixLock>);

impl Locks {
    /// Those of the images.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn of(images: &Path) -> Result<Self, ImageError> {
        locks::posix_locks(images).map(Self)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that the restored tasks do not have, with the numbers that their processes have here.
    /// `init` is the first of them.
    ///
    /// # Errors
    /// `/proc` cannot be read, or a process with a lock is not there.
    pub fn missing(&self, init: i32) -> Result<Vec<PosixLock>, BoxError> {
        let mut processes = HashMap::new();
        for process in process_tree(init)? {
            if let Some(number) = Status::parse(&process.read("status")?).number {
                processes.insert(number, process);
            }
        }
        let mut missing = Vec::new();
        for lock in &self.0 {
            let Some(process) = processes.get(&lock.pid) else {
                return Err(format!(
                    "process {} of the container, which holds a lock, is not there",
                    lock.pid
                )
                .into());
            };
            let fdinfo = process.read(&format!("fdinfo/{}", lock.fd))?;
            if !held::holds(&fdinfo, lock) {
                missing.push(PosixLock {
                    pid: process.pid(),
                    ..*lock
                });
            }
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests;
