//! How long a scan waits for file systems that may not answer.

use std::cell::Cell;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A limit for all waits of one scan together: whoever is asked may be frozen with the container, as
/// the server of a FUSE file system can be.
pub(super) struct Patience(Cell<Duration>);

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self(Cell::new(limit))
    }

    /// What `ask` says, unless that takes too long. It is then left alone, and ends when it is
    /// answered or the file system is gone.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let limit = self.0.get();
        if limit.is_zero() {
            return None;
        }
        let (send, receive) = mpsc::channel();
        let begun = Instant::now();
        let asking = std::thread::Builder::new().name("look".into());
        asking
            .spawn(move || {
                // Nobody waits for it any more: it took too long.
                let _ = send.send(ask());
            })
            .ok()?;
        let answer = receive.recv_timeout(limit).ok();
        self.0.set(limit.saturating_sub(begun.elapsed()));
        answer
    }

    /// Waits itself, for `pause` at most. Says whether there is time left.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let limit = self.0.get();
        std::thread::sleep(pause.min(limit));
        self.0.set(limit.saturating_sub(pause));
        !self.0.get().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_while_there_is_patience() {
        let patience = Patience::new(Duration::from_secs(600));
        assert_eq!(patience.wait_for(|| 7), Some(7));
        assert!(patience.pause(Duration::from_millis(1)));

        let (end, ended) = mpsc::channel::<()>();
        let short = Patience::new(Duration::from_millis(20));
        assert_eq!(short.wait_for(move || ended.recv().is_ok()), None);
        assert_eq!(short.wait_for(|| 7), None, "there is none left");
        assert!(!short.pause(Duration::from_millis(1)));
        drop(end);
    }
}
