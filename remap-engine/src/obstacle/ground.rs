//! What decides about obstacles and has nothing to do with the container: CRIU's plugins, its
//! configuration, the kernel. It is looked up before the tasks are frozen.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::criu::config::UserConfig;

/// What speaks for leaving a decision to CRIU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// Its plugins.
    pub plugins: Plugins,
    /// It is told about resources that it may expect, or need not dump (`external`, `inherit-fd`,
    /// `enable-fs`, `skip-mnt`).
    pub has_external: bool,
    /// It may close TCP connections (`tcp-close`).
    pub closes_tcp: bool,
    /// It may drop connections that were not accepted yet (`skip-in-flight`).
    pub skips_in_flight: bool,
}

/// Which plugins CRIU would load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plugins {
    /// None but those that come with it, for GPUs.
    #[default]
    OnlyItsOwn,
    /// Others, which may dump whatever CRIU itself cannot.
    Others,
}

/// Where CRIU looks for plugins (`CR_PLUGIN_DEFAULT`).
const PLUGINS: &str = "/usr/lib/criu";

/// Those that come with it.
const OWN_PLUGINS: [&str; 2] = ["amdgpu_plugin.so", "cuda_plugin.so"];

/// The configuration that CRIU reads beside the one that runc hands it (criu(8)). Of what is
/// decided here runc itself sets nothing, so it counts.
const DEFAULT_CONFIG: &str = "/etc/criu/default.conf";

impl Ground {
    /// Looks around; `config` is what runc will hand to CRIU.
    #[must_use]
    pub fn look(config: &UserConfig) -> Self {
        kernel_answers_passcred();
        let home = std::env::var_os("HOME").unwrap_or_default();
        let home = Path::new(&home).join(".criu/default.conf");
        let configs = [Path::new(DEFAULT_CONFIG), &home].map(|path| {
            // One that cannot be read, CRIU cannot read either.
            UserConfig::load(path.to_str()).unwrap_or_default()
        });
        let mut all = vec![config];
        all.extend(&configs);
        Self::new(
            &all,
            Path::new(PLUGINS),
            std::env::var_os("CRIU_LIBS_DIR").is_some(),
        )
    }

    fn new(configs: &[&UserConfig], plugins: &Path, other_dir: bool) -> Self {
        let says = |option: &str| configs.iter().any(|config| config.is_on(option));
        let elsewhere = other_dir || says("libdir") || says("L");
        Self {
            plugins: if elsewhere || has_others(plugins) {
                Plugins::Others
            } else {
                Plugins::OnlyItsOwn
            },
            has_external: ["external", "inherit-fd", "enable-fs", "skip-mnt"]
                .into_iter()
                .any(says),
            closes_tcp: says("tcp-close"),
            skips_in_flight: says("skip-in-flight"),
        }
    }
}

/// Whether the directory has plugins besides CRIU's own. One that is not there has none.
fn has_others(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    let is_other = |name: &OsStr| {
        let own = OWN_PLUGINS.iter().any(|own| name == *own);
        !own && name.as_encoded_bytes().ends_with(b".so")
    };
    entries.flatten().any(|entry| is_other(&entry.file_name()))
}

/// Whether this kernel answers `SO_PASSCRED` on sockets that have no use for it. Since 6.16 it does
/// not (`sk_may_scm_recv`), and CRIU before 4.2 takes that for a failure.
pub fn kernel_answers_passcred() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
        // Where there are no such sockets, the container has none either.
        socket.is_ok_and(|socket| {
            sockopt::socket_passcred(socket) != Err(rustix::io::Errno::OPNOTSUPP)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_plugins_and_external_resources_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let look = |config: &UserConfig| Ground::new(&[config], dir.path(), false);
        let none = UserConfig::default();
        assert_eq!(look(&none), Ground::default());
        std::fs::write(dir.path().join("cuda_plugin.so"), "").unwrap();
        assert_eq!(look(&none), Ground::default());

        let path = dir.path().join("criu.conf");
        std::fs::write(&path, "tcp-close\nexternal unix[7]\n").unwrap();
        let config = UserConfig::load(path.to_str()).unwrap();
        let found = look(&config);
        assert!(found.closes_tcp && found.has_external && !found.skips_in_flight);

        std::fs::write(dir.path().join("my.so"), "").unwrap();
        assert_eq!(look(&none).plugins, Plugins::Others);
    }
}
