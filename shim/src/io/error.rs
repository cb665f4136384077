//! What can go wrong with standard streams.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// A stream that could not be set up.
#[derive(Debug, Error)]
pub(crate) enum IoError {
    /// A URI with a scheme that means nothing here.
    #[error(
        "cannot use {uri:?} as {stream}: scheme {scheme:?} is not supported; \
         use a fifo's path, file:// or (for output) binary://"
    )]
    Scheme {
        /// The field of the request.
        stream: &'static str,
        /// What containerd passed.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A path or an argument that is none.
    #[error("cannot use {uri:?} as {stream}: {why}")]
    Text {
        /// The field of the request.
        stream: &'static str,
        /// What containerd passed.
        uri: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Input from something that cannot be read.
    #[error("cannot use {uri:?} as stdin: only a fifo will do")]
    Input {
        /// What containerd passed.
        uri: String,
    },
    /// A fifo or file.
    #[error("cannot open {path}")]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A pipe between container and shim.
    #[error("cannot set up a pipe")]
    Pipe(#[source] io::Error),
    /// The terminal, or the socket that it comes over.
    #[error("cannot set up the terminal")]
    Console(#[source] io::Error),
    /// A `binary://` logger.
    #[error("cannot start the logger {path}")]
    Logger {
        /// The program.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

impl IoError {
    /// For `map_err` on opening `path`.
    pub(super) fn open(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Open { path, source }
    }
}
