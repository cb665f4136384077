//! What a checkpoint is asked to do, as far as it decides whether it can be done.

use crate::bundle::Bundle;
use crate::criu::config::{ConfigError, UserConfig};
use crate::criu::version::CriuVersion;
use crate::manifest::DumpOptions;
use crate::obstacle::Ground;
use crate::policy::Policy;

/// The annotation that lets a checkpoint end a container in which there are exec sessions.
pub const LOSE_EXEC_SESSIONS: &str = "io.remap.lose-exec-sessions";

/// The wishes of the client, of the container's annotations and of the user's CRIU configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// The container ends with the checkpoint.
    pub exit: bool,
    /// What CRIU is allowed; a boolean is on if any source says so.
    pub options: DumpOptions,
    /// The largest ghost file that an annotation or the user's CRIU configuration allows, in bytes.
    pub ghost_limit_bytes: Option<u64>,
    /// What the container's annotations say.
    pub policy: Policy,
    /// The CRIU at hand, if it says its version.
    pub criu: Option<CriuVersion>,
    /// What else decides about obstacles.
    pub ground: Ground,
}

impl Intent {
    /// Puts together what the request, the bundle and the configuration say, and looks at what
    /// there is of CRIU. The tasks need not be frozen for that.
    ///
    /// # Errors
    /// The configuration has a value that cannot be read.
    pub fn new(
        exit: bool,
        request: &DumpOptions,
        bundle: &Bundle,
        config: &UserConfig,
        criu: Option<CriuVersion>,
    ) -> Result<Self, ConfigError> {
        let policy = Policy::of(&bundle.annotations);
        let configured = config.ghost_limit_bytes()?;
        Ok(Self {
            exit: exit || policy.exit,
            options: request.or(&config.options()).or(&policy.options),
            ghost_limit_bytes: policy.ghost_limit_bytes.or(configured),
            criu,
            ground: Ground::look(config),
            policy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_on_if_the_request_or_the_configuration_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("criu.conf");
        std::fs::write(&path, "tcp-established\n# shell-job\nghost-limit 2M\n").unwrap();
        let config = UserConfig::load(path.to_str()).unwrap();
        let bundle = Bundle {
            path: "/b".into(),
            mounts: vec![],
            annotations: [(LOSE_EXEC_SESSIONS.to_owned(), "true".to_owned())].into(),
        };
        let request = DumpOptions {
            file_locks: true,
            ..DumpOptions::default()
        };
        let intent = Intent::new(true, &request, &bundle, &config, None).unwrap();
        assert!(intent.options.tcp_established && intent.options.file_locks);
        assert!(!intent.options.shell_job && !intent.options.ext_unix_sk);
        assert!(intent.exit && intent.policy.lose_exec_sessions);
        assert_eq!(intent.ghost_limit_bytes, Some(2 << 20));
    }
}
