//! Whether somebody still waits for the answer to a request.

use std::sync::{Arc, Weak};

/// Held for as long as the answer can be delivered. The server drops a handler, and this with it,
/// when the connection breaks (containerd was killed) or the client's deadline is over.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<()>);

/// Tells whether the other one is still held.
#[derive(Debug)]
pub(crate) struct Requester(Weak<()>);

impl Waiting {
    /// A request that begins now.
    pub(crate) fn new() -> (Self, Requester) {
        let waiting = Arc::new(());
        let requester = Requester(Arc::downgrade(&waiting));
        (Self(waiting), requester)
    }

    /// The answer is there.
    pub(crate) fn answered(self) {
        drop(self.0);
    }
}

impl Requester {
    /// Nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_away_is_gone() {
        let (waiting, requester) = Waiting::new();
        assert!(!requester.is_gone());
        waiting.answered();
        assert!(requester.is_gone());
    }
}
