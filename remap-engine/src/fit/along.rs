//! Mounts that came along with binds of the host, on this host.

use std::io;

use super::FitError;
use crate::bundle::Bundle;
use crate::criu::config::{ExternalMount, is_one_word};
use crate::text::TextPath;

/// Finds what CRIU is to bind for each of the mounts, which are named as in the bundle.
///
/// # Errors
/// One has no place here. Nothing was changed.
pub fn along(bundle: &Bundle, mounts: &[TextPath]) -> Result<Vec<ExternalMount>, FitError> {
    let found = mounts.iter().map(|TextPath(destination)| {
        let Some(host_path) = bundle.host_path(destination) else {
            return Err(FitError::NoBindAbove {
                destination: destination.clone(),
            });
        };
        let unusable = |source| FitError::Along {
            destination: destination.clone(),
            host_path: host_path.clone(),
            source,
        };
        host_path.metadata().map_err(unusable)?;
        if !is_one_word(&host_path) {
            let why = "CRIU's configuration cannot hold this path";
            return Err(unusable(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        Ok(ExternalMount {
            key: destination.clone(),
            value: host_path,
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::BundleMount;

    #[test]
    fn what_came_along_is_looked_for_below_the_source_of_this_host() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::create_dir(dir.path().join("two words")).unwrap();
        let bundle = Bundle {
            path: "/b".into(),
            mounts: vec![BundleMount {
                destination: "/data".into(),
                bind_source: Some(dir.path().to_owned()),
            }],
            annotations: Default::default(),
        };
        let fit = |path: &str| along(&bundle, &[TextPath(path.into())]);
        let found = fit("/data/in").unwrap();
        let expected = ExternalMount {
            key: "/data/in".into(),
            value: dir.path().join("in"),
        };
        assert_eq!(found, [expected]);
        let missing = fit("/data/none").unwrap_err().to_string();
        assert!(missing.contains(dir.path().join("none").to_str().unwrap()));
        assert!(matches!(
            fit("/data/two words"),
            Err(FitError::Along { .. })
        ));
        let elsewhere = fit("/other/in").unwrap_err();
        assert!(matches!(elsewhere, FitError::NoBindAbove { .. }));
    }
}
