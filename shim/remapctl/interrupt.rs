//! Giving a command up: by Ctrl-C, by SIGTERM, or when its time is over.

use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What would give a command up.
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
    limit: Option<Duration>,
    give_up: watch::Sender<bool>,
}

/// Whether it was given up, for the work.
#[derive(Debug, Clone)]
pub(crate) struct GivenUp(watch::Receiver<bool>);

/// It was given up.
#[derive(Debug, thiserror::Error)]
#[error("given up")]
struct Stopped;

impl GivenUp {
    /// Goes on unless it was given up; for threads.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        match *self.0.borrow() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Does `work`, unless it is given up, which drops it.
    ///
    /// # Errors
    /// That of `work`, or that it was given up.
    pub(crate) async fn unless<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut given_up = self.0.clone();
        tokio::select! {
            result = work => result,
            // Without a sender nobody can give it up any more: that is when the command has ended.
            _ = given_up.wait_for(|given_up| *given_up) => Err(Self::error()),
        }
    }

    /// That it was given up.
    pub(crate) fn error() -> Error {
        Stopped.into()
    }
}

impl Interrupt {
    /// From now on signals do not end this process.
    ///
    /// # Errors
    /// The system has no room for it.
    pub(crate) fn new(limit: Option<Duration>) -> Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        Ok(Self {
            int: catch(SignalKind::interrupt())?,
            term: catch(SignalKind::terminate())?,
            limit,
            give_up: watch::Sender::new(false),
        })
    }

    /// For the work.
    pub(crate) fn given_up(&self) -> GivenUp {
        GivenUp(self.give_up.subscribe())
    }

    /// Does `work` to its end. If it is given up before, `work` hears of it by
    /// [`Interrupt::given_up`], and undoes what it did.
    ///
    /// # Errors
    /// That of `work`, or why it was given up.
    pub(crate) async fn unless<T>(mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        let limit = self.limit;
        let expired = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            result = &mut work => return result,
            _ = self.int.recv() => "interrupted",
            _ = self.term.recv() => "ended by SIGTERM",
            () = expired => "the time of --give-up-after is over",
        };
        self.give_up.send_replace(true);
        match work.await {
            // It was done before it heard of it.
            Ok(done) => Ok(done),
            Err(error) if error.root_cause().is::<Stopped>() => bail!("{why}"),
            Err(error) => Err(error.context(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_told_and_undoes_its_work() {
        let interrupt = Interrupt::new(Some(Duration::from_millis(10))).unwrap();
        let given_up = interrupt.given_up();
        let mut undone = false;
        let work = async {
            let result = given_up.unless(std::future::pending::<Result<()>>()).await;
            assert!(given_up.flow().is_break());
            undone = true;
            result
        };
        let error = interrupt.unless(work).await.unwrap_err();
        assert_eq!(error.to_string(), "the time of --give-up-after is over");
        assert!(undone);
    }

    #[tokio::test]
    async fn what_is_done_in_time_is_done() {
        let interrupt = Interrupt::new(Some(Duration::from_secs(60))).unwrap();
        let given_up = interrupt.given_up();
        let work = async { given_up.unless(async { Ok(7) }).await };
        assert_eq!(interrupt.unless(work).await.unwrap(), 7);
        assert!(given_up.flow().is_continue());
    }
}
