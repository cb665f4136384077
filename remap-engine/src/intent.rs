//! What a checkpoint is asked to do, as far as it decides whether it can be done.

use crate::bundle::Bundle;
use crate::criu::config::{ConfigError, UserConfig};
use crate::criu::version::CriuVersion;
use crate::manifest::DumpOptions;
use crate::obstacle::Ground;

/// The annotation that lets a checkpoint end a container in which there are exec sessions.
pub const LOSE_EXEC_SESSIONS: &str = "io.remap.lose-exec-sessions";

/// The wishes of the client, of the container's annotations and of the user's CRIU configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// The container ends with the checkpoint.
    pub exit: bool,
    /// What CRIU is allowed; a boolean is on if any source says so.
    pub options: DumpOptions,
    /// The largest ghost file that the user's CRIU configuration allows, in bytes.
    pub ghost_limit_bytes: Option<u64>,
    /// Processes of exec sessions may be lost ([`LOSE_EXEC_SESSIONS`]).
    pub lose_exec_sessions: bool,
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
        let lose = bundle.annotations.get(LOSE_EXEC_SESSIONS);
        Ok(Self {
            exit,
            options: DumpOptions {
                tcp_established: request.tcp_established || config.is_on("tcp-established"),
                ext_unix_sk: request.ext_unix_sk || config.is_on("ext-unix-sk"),
                shell_job: request.shell_job || config.is_on("shell-job"),
                file_locks: request.file_locks || config.is_on("file-locks"),
                ..request.clone()
            },
            ghost_limit_bytes: config.ghost_limit_bytes()?,
            lose_exec_sessions: lose.is_some_and(|value| value == "true"),
            criu,
            ground: Ground::look(config),
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
        assert!(intent.exit && intent.lose_exec_sessions);
        assert_eq!(intent.ghost_limit_bytes, Some(2 << 20));
    }
}
