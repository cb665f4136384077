//! Annotations in the place of runtime options, for clients that send options only to a runtime of
//! the stock shim's name: `ctr run --runc-binary`, `--runc-root` and `--runc-systemd-cgroup`, nerdctl.

use std::path::Path;

use remap_engine::policy::{RUNTIME_BINARY, RUNTIME_ROOT, SYSTEMD_CGROUP};
use serde_json::Value;

use super::{Options, OptionsError};

impl Options {
    /// Fills in what the annotations of `config`, a container's `config.json`, say and the client
    /// has left open; cgroups are systemd's if either says so.
    ///
    /// # Errors
    /// [`OptionsError::Annotation`].
    pub(crate) fn with_annotations(mut self, config: &Value) -> Result<Self, OptionsError> {
        let value = |name: &str| config.get("annotations")?.get(name)?.as_str();
        if let Some(binary) = value(RUNTIME_BINARY) {
            if binary.is_empty() || binary.contains('/') && !Path::new(binary).is_absolute() {
                let problem = "is neither an absolute path nor the name of a program in PATH";
                return Err(wrong(RUNTIME_BINARY, binary, problem));
            }
            fill(&mut self.binary_name, binary);
        }
        if let Some(root) = value(RUNTIME_ROOT) {
            if !Path::new(root).is_absolute() {
                let problem = "is no absolute path of a directory";
                return Err(wrong(RUNTIME_ROOT, root, problem));
            }
            fill(&mut self.root, root);
        }
        match value(SYSTEMD_CGROUP) {
            None | Some("false") => {}
            Some("true") => self.systemd_cgroup = true,
            Some(other) => return Err(wrong(SYSTEMD_CGROUP, other, "is neither true nor false")),
        }
        Ok(self)
    }
}

fn fill(option: &mut String, value: &str) {
    if option.is_empty() {
        value.clone_into(option);
    }
}

fn wrong(annotation: &'static str, value: &str, problem: &'static str) -> OptionsError {
    OptionsError::Annotation {
        annotation,
        value: value.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn they_fill_in_what_the_client_has_left_open() {
        let config = json!({"annotations": {
            "io.remap.runtime-binary": "/usr/bin/crun",
            "io.remap.runtime-root": "/r",
            "io.remap.systemd-cgroup": "true",
        }});
        let options = Options::default().with_annotations(&config).unwrap();
        assert_eq!(options.binary_name, "/usr/bin/crun");
        assert_eq!(options.root, "/r");
        assert!(options.systemd_cgroup);
        let clients = Options {
            binary_name: "runc".into(),
            root: "/mine".into(),
            ..Options::default()
        };
        let both = clients.clone().with_annotations(&config).unwrap();
        assert_eq!(
            (both.binary_name.as_str(), both.root.as_str()),
            ("runc", "/mine")
        );
        assert_eq!(
            clients.clone().with_annotations(&json!({})).unwrap(),
            clients
        );
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            (RUNTIME_BINARY, ""),
            (RUNTIME_BINARY, "bin/crun"),
            (RUNTIME_ROOT, "run"),
            (RUNTIME_ROOT, ""),
            (SYSTEMD_CGROUP, "yes"),
        ] {
            let config = json!({"annotations": {name: value}});
            let error = Options::default().with_annotations(&config).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("annotation {name}: \"{value}\" is"))
            );
        }
    }
}
