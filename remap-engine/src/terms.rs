//! What is known of a checkpoint before its container is looked at: a checkpoint and its preview
//! start from the same.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bundle::Bundle;
use crate::criu::config::UserConfig;
use crate::intent::Intent;
use crate::manifest::DumpOptions;
use crate::phase::BoxError;
use crate::plan::Refusal;
use crate::policy::Fault;
use crate::time_limit;

/// The bundle, the user's configuration, and what is asked for.
#[derive(Debug)]
pub struct Terms {
    /// The container's bundle.
    pub bundle: Bundle,
    /// What the user configured for CRIU.
    pub user_config: UserConfig,
    /// What the checkpoint is to do.
    pub intent: Intent,
}

impl Terms {
    /// Reads the bundle and the configuration. `versions` has that of CRIU, if it is known.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn load(
        bundle: &Path,
        exit: bool,
        options: &DumpOptions,
        versions: &BTreeMap<String, String>,
    ) -> Result<Self, BoxError> {
        let bundle = Bundle::load(bundle)?;
        let user_config = UserConfig::load(bundle.user_criu_config())?;
        let criu = versions.get("criu");
        let criu = criu.and_then(|version| version.parse().ok());
        let intent = Intent::new(exit, options, &bundle, &user_config, criu)?;
        Ok(Self {
            bundle,
            user_config,
            intent,
        })
    }

    /// What forbids a checkpoint whatever the container does; empty if it may go ahead.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        let not_adopted = (!self.bundle.is_adopted()).then(|| Refusal {
            what: "the container was created without this shim, and CRIU would not read the engine's configuration".into(),
            remedy: "create it anew with this shim".into(),
        });
        let limit = time_limit::check(&self.bundle).err();
        let faults = self.intent.policy.faults.iter();
        let annotations = faults.map(Fault::refusal);
        let annotations = annotations.chain(limit.map(|error| error.refusal()));
        let correct = annotations.map(|refusal| self.or_in_the_bundle(refusal));
        not_adopted.into_iter().chain(correct).collect()
    }
}

impl Terms {
    /// Create lets no such annotation through, but the Create of an earlier build did.
    fn or_in_the_bundle(&self, refusal: Refusal) -> Refusal {
        let Refusal { what, remedy } = refusal;
        let config = self.bundle.path.join("config.json");
        let remedy = format!(
            "{remedy}; for this container it can be corrected in {}",
            config.display()
        );
        Refusal { what, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(annotations: &[(&str, &str)]) -> Terms {
        let annotations = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let annotations = annotations.collect();
        Terms {
            intent: Intent {
                policy: crate::policy::Policy::of(&annotations),
                ..Intent::default()
            },
            bundle: Bundle {
                path: "/b".into(),
                mounts: vec![],
                annotations,
            },
            user_config: UserConfig::default(),
        }
    }

    #[test]
    fn a_container_of_another_shim_and_a_limit_that_is_no_number_are_refused() {
        let adopted = ("org.criu.config", "/b/remap/criu.conf");
        assert_eq!(terms(&[adopted]).refusals(), []);
        assert_eq!(
            terms(&[adopted, (time_limit::DUMP.annotation, "5")]).refusals(),
            []
        );
        let refusals = terms(&[]).refusals();
        assert!(
            refusals[0].what.contains("without this shim"),
            "{refusals:?}"
        );
        let refusals = terms(&[adopted, (time_limit::DUMP.annotation, "soon")]).refusals();
        let [refusal] = &refusals[..] else {
            panic!("{refusals:?}");
        };
        assert!(refusal.what.contains("\"soon\"") && refusal.remedy.contains("seconds"));
    }

    #[test]
    fn annotations_that_an_earlier_build_let_through_are_refused() {
        let adopted = ("org.criu.config", "/b/remap/criu.conf");
        let refusals = terms(&[adopted, ("io.remap.exit", "1"), ("io.remap.x", "")]).refusals();
        let [unknown, boolean] = &refusals[..] else {
            panic!("{refusals:?}");
        };
        assert!(unknown.what.contains("io.remap.x"), "{unknown}");
        assert!(unknown.remedy.contains("/b/config.json"), "{unknown}");
        assert!(boolean.what.contains("io.remap.exit"), "{boolean}");
    }
}
