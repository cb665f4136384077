//! Keeps the tasks frozen, and puts them back into the state that they had.

use std::time::Instant;

use super::Dumper;
use crate::phase::BoxError;
use crate::took::Meter;

/// Tasks that are frozen; dropping it lets them run again if they ran before.
pub(super) struct Freeze<'d> {
    dumper: &'d dyn Dumper,
    meter: &'d Meter,
    ran: bool,
}

impl<'d> Freeze<'d> {
    pub(super) fn new(dumper: &'d dyn Dumper, meter: &'d Meter) -> Result<Self, BoxError> {
        let froze = Instant::now();
        let ran = dumper.freeze()?;
        if ran {
            meter.stand_still(froze);
        }
        Ok(Self { dumper, meter, ran })
    }

    /// Whether they run again as soon as all is saved.
    pub(super) fn is_ours(&self) -> bool {
        self.ran
    }

    pub(super) fn again(&self) {
        if !self.ran
            && let Err(error) = self.dumper.freeze_again()
        {
            tracing::error!(
                error,
                "the container runs, and was paused before: pause it by hand"
            );
        }
    }

    pub(super) fn thaw(mut self) -> Result<(), BoxError> {
        let ran = std::mem::take(&mut self.ran);
        let thawed = if ran { self.dumper.thaw() } else { Ok(()) };
        self.meter.go_on();
        thawed
    }

    pub(super) fn tasks_ended(mut self) {
        self.ran = false;
        self.meter.go_on();
    }
}

impl Drop for Freeze<'_> {
    fn drop(&mut self) {
        if !self.ran {
            return;
        }
        if let Err(error) = self.dumper.thaw() {
            tracing::error!(error, "the container stays paused: resume it by hand");
        }
    }
}
