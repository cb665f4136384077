//! What runc prints.

use serde::Deserialize;

/// The status word of `runc state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RuncStatus {
    /// Being created.
    Creating,
    /// Created, its program not started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Stopped,
}

#[derive(Deserialize)]
struct State {
    status: RuncStatus,
}

/// The status in the output of `runc state`.
///
/// # Errors
/// It is not what runc-state(8) promises.
pub(crate) fn state(output: &[u8]) -> serde_json::Result<RuncStatus> {
    serde_json::from_slice::<State>(output).map(|state| state.status)
}

/// The pids in the output of `runc ps --format json`: `null` for no process at all.
///
/// # Errors
/// It is not what runc-ps(8) promises.
pub(crate) fn pids(output: &[u8]) -> serde_json::Result<Vec<u32>> {
    serde_json::from_slice::<Option<Vec<u32>>>(output).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runc_prints() {
        let status = br#"{"ociVersion":"1.0.2","id":"c","pid":7,"status":"paused"}"#;
        assert_eq!(state(status).unwrap(), RuncStatus::Paused);
        assert_eq!(pids(b"[1,22]").unwrap(), [1, 22]);
        assert_eq!(pids(b"null").unwrap(), [0; 0]);
        for broken in [&b""[..], b"{}", b"[-1]", b"[1", br#"{"status":"odd"}"#] {
            assert!(state(broken).is_err() && pids(broken).is_err());
        }
    }
}
