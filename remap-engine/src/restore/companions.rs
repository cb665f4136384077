//! The containers of one moment, which come to one another.

use std::path::Path;

use crate::bundle::Bundle;
use crate::carry;
use crate::fit::Place;
use crate::phase::BoxError;
use crate::together::{Together, restored};

/// With whom the container comes; none if it comes alone. Dropping it forgets that it has come, unless
/// it stays.
pub(super) struct Companions<'a> {
    bundle: &'a Bundle,
    together: Option<&'a Together>,
    stays: bool,
}

impl<'a> Companions<'a> {
    /// Checks that those that are here are waiting for the container, and notes that it comes.
    ///
    /// # Errors
    /// They are not; or the note cannot be written. Nothing stays of it.
    pub(super) fn expect(
        bundle: &'a Bundle,
        together: Option<&'a Together>,
        places: &[Place],
    ) -> Result<Self, BoxError> {
        let shared: Vec<&Place> = places.iter().filter(|place| is_shared(place)).collect();
        let companions = Self {
            bundle,
            together: together.filter(|_| !shared.is_empty()),
            stays: false,
        };
        if let Some(together) = companions.together {
            let waits = |source: &Path| carry::is_kept(source, &together.moment);
            restored::check(bundle, together, &shared, waits)?;
            restored::note(&bundle.path, together, &shared)?;
        }
        Ok(companions)
    }

    /// What there is to know of them where the contents go.
    pub(super) fn at(&self, place: &Place) -> Option<carry::Together> {
        let together = self.together.filter(|_| is_shared(place))?;
        Some(carry::Together {
            moment: together.moment.clone(),
            member: together.member.clone(),
            members: together.members.clone(),
            after: together.after.clone(),
            shared: place.shared.iter().copied().collect(),
        })
    }

    /// The container has come.
    pub(super) fn stay(mut self) {
        self.stays = true;
    }
}

impl Drop for Companions<'_> {
    fn drop(&mut self) {
        if self.together.is_some() && !self.stays {
            restored::forget(&self.bundle.path);
        }
    }
}

fn is_shared(place: &Place) -> bool {
    place.partial && !place.shared.is_empty()
}
