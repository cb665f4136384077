//! containerd's configuration, as containerd itself understands it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::containerd::Containerd;
use super::program::{self, ProgramError};

/// Where it is if the command line names no other.
pub(crate) const FILE: &str = "/etc/containerd/config.toml";

/// The plugin of Kubernetes' interface, in containerd 1 and 2.
const CRI: [&str; 2] = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];

/// What allows restores by Kubernetes' interface from 2.2.7 and 2.3.4 on.
const RESTORE: &str = "enable_experimental_restore_via_create";

/// All of it, with what is not set in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config(Table);

/// How pods of a handler are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handler {
    /// `io.containerd.runc.v2`, say.
    pub(crate) runtime: String,
    /// The shim, if it is named by its path.
    pub(crate) shim: Option<PathBuf>,
}

/// It cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// containerd does not tell.
    #[error("containerd does not tell its configuration")]
    Dump(#[source] ProgramError),
    /// What it tells is not understood.
    #[error("containerd's configuration cannot be read")]
    Parse(#[from] toml::de::Error),
}

impl Config {
    /// Asks the program of `containerd`. It reads the file as it is now.
    ///
    /// # Errors
    /// It does not tell, or cannot be understood: the file may be wrong.
    pub(crate) fn of(containerd: &Containerd) -> Result<Self, ConfigError> {
        let mut args: Vec<OsString> = Vec::new();
        if let Some(file) = &containerd.config {
            args.extend(["--config".into(), file.clone().into_os_string()]);
        }
        // 1.7 dumps nothing without a file.
        let is_default = containerd.config.is_none() && !Path::new(FILE).exists();
        let what = if is_default { "default" } else { "dump" };
        args.extend(["config".into(), what.into()]);
        let path = containerd.path.as_ref();
        let text = program::check(&containerd.program, path, &args).map_err(ConfigError::Dump)?;
        Ok(Self(toml::from_str(&text)?))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// Where it keeps what lives as long as the host runs.
    pub(crate) fn state(&self) -> PathBuf {
        self.text("state").unwrap_or("/run/containerd").into()
    }

    /// Where it keeps images and the roots of containers.
    pub(crate) fn root(&self) -> PathBuf {
        self.text("root").unwrap_or("/var/lib/containerd").into()
    }

    /// The part for Kubernetes' interface; `None` if that is switched off.
    fn cri(&self) -> Option<&Table> {
        let off = self.0.get("disabled_plugins").and_then(Value::as_array);
        let is_off = |name: &str| {
            let mut off = off.into_iter().flatten();
            off.any(|one| one.as_str() == Some(name))
        };
        let plugins = self.0.get("plugins")?.as_table()?;
        let mut names = CRI.into_iter().rev();
        let name = names.find(|name| plugins.contains_key(*name))?;
        if is_off(name) || is_off(CRI[0]) {
            return None;
        }
        plugins.get(name)?.as_table()
    }

    /// Whether Kubernetes' interface is there.
    pub(crate) fn has_cri(&self) -> bool {
        self.cri().is_some()
    }

    /// The parts of the runtime handlers of Kubernetes' interface.
    pub(crate) fn runtimes(&self) -> Table {
        let containerd = self.cri().and_then(|cri| cri.get("containerd"));
        let runtimes = containerd.and_then(|part| part.get("runtimes"));
        runtimes
            .and_then(Value::as_table)
            .cloned()
            .unwrap_or_default()
    }

    /// The runtime handlers of Kubernetes' interface.
    pub(crate) fn handlers(&self) -> BTreeMap<String, Handler> {
        let text = |handler: &Value, key: &str| handler.get(key)?.as_str().map(str::to_owned);
        let handler = |(name, value): (String, Value)| {
            let shim = text(&value, "runtime_path").filter(|path| !path.is_empty());
            let handler = Handler {
                runtime: text(&value, "runtime_type").unwrap_or_default(),
                shim: shim.map(PathBuf::from),
            };
            (name, handler)
        };
        self.runtimes().into_iter().map(handler).collect()
    }

    /// The version of the form in which containerd tells it: 2 of containerd 1, 3 of containerd 2.
    pub(crate) fn version(&self) -> i64 {
        self.0
            .get("version")
            .and_then(Value::as_integer)
            .unwrap_or_default()
    }

    /// What is set of the options of the handler `runc`, as whether systemd has the control groups.
    pub(crate) fn runc_options(&self) -> Table {
        let options = || {
            self.runtimes()
                .get("runc")?
                .get("options")?
                .as_table()
                .cloned()
        };
        let is_set = |value: &Value| match value {
            Value::Boolean(value) => *value,
            Value::Integer(value) => *value != 0,
            Value::String(value) => !value.is_empty(),
            _ => false,
        };
        let set = options()
            .into_iter()
            .flatten()
            .filter(|(_, value)| is_set(value));
        set.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Whether it allows restores by Kubernetes' interface; `None` if it has no such setting.
    pub(crate) fn restores(&self) -> Option<bool> {
        self.cri()?.get(RESTORE)?.as_bool()
    }

    /// The same without the handler `name`, to be held against what was before.
    pub(crate) fn without_handler(mut self, name: &str) -> Self {
        let plugins = self.0.get_mut("plugins").and_then(Value::as_table_mut);
        for (_, plugin) in plugins.into_iter().flatten() {
            let runtimes = plugin
                .get_mut("containerd")
                .and_then(|part| part.get_mut("runtimes"));
            if let Some(runtimes) = runtimes.and_then(Value::as_table_mut) {
                runtimes.remove(name);
            }
        }
        // Which files were read.
        self.0.remove("imports");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config(toml::from_str(text).unwrap())
    }

    const OLD: &str = "version = 2\nstate = \"/run/c\"\n\
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
        runtime_type = \"io.containerd.runc.v2\"\nruntime_path = \"\"\n";

    const NEW: &str = "version = 3\n[plugins.'io.containerd.grpc.v1.cri']\nx = 1\n\
        [plugins.'io.containerd.cri.v1.runtime']\nenable_experimental_restore_via_create = false\n\
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.remap]\n\
        runtime_type = 'io.containerd.runc.v2'\nruntime_path = '/s'\n";

    #[test]
    fn both_versions_have_handlers() {
        let old = config(OLD);
        assert_eq!(old.state(), PathBuf::from("/run/c"));
        assert_eq!(old.root(), PathBuf::from("/var/lib/containerd"));
        let runc = &old.handlers()["runc"];
        assert_eq!(
            (runc.runtime.as_str(), &runc.shim),
            ("io.containerd.runc.v2", &None)
        );
        let new = config(NEW);
        assert_eq!(new.handlers()["remap"].shim, Some("/s".into()));
        assert_eq!((old.restores(), new.restores()), (None, Some(false)));
    }

    #[test]
    fn what_is_switched_off_has_none() {
        for text in [OLD, NEW] {
            let off = "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]";
            assert!(!config(&format!("{off}\n{text}")).has_cri(), "{text}");
        }
        assert!(config(OLD).has_cri() && config(NEW).has_cri() && !config("").has_cri());
    }

    #[test]
    fn only_the_handler_is_left_out() {
        let more = format!(
            "{OLD}[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.remap]\nruntime_type = \"x\"\n"
        );
        let before = config(OLD).without_handler("remap");
        assert_eq!(config(&more).without_handler("remap"), before);
        assert_ne!(config(&more), config(OLD));
        assert_ne!(config(&more).without_handler("runc"), before);
    }
}
