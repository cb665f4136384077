//! Network namespaces: which one a container comes into, and work within one.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};
use serde_json::Value;

/// The network namespace of a container (OCI runtime specification, config-linux.md, "Namespaces").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetworkNamespace {
    /// The runtime makes one.
    New,
    /// This one.
    At(PathBuf),
}

impl NetworkNamespace {
    /// That of a container with this `config.json`. Without one of its own it comes into that of the
    /// runtime, which is this process's.
    pub(crate) fn of(config: &Value) -> Self {
        let text = |namespace: &Value, name: &str| Some(namespace.get(name)?.as_str()?.to_owned());
        let namespaces = config
            .pointer("/linux/namespaces")
            .and_then(Value::as_array);
        let mut namespaces = namespaces.into_iter().flatten();
        let own = namespaces.find(|one| text(one, "type").as_deref() == Some("network"));
        match own.map(|own| text(own, "path").unwrap_or_default()) {
            None => Self::At("/proc/self/ns/net".into()),
            Some(path) if path.is_empty() => Self::New,
            Some(path) => Self::At(path.into()),
        }
    }
}

/// Does `work` in a network namespace: everything that it makes or finds below `/proc/sys/net` is that
/// one's.
///
/// # Errors
/// The namespace cannot be entered, or those of `work`.
pub(crate) fn inside<T: Send, E: Send + From<io::Error>>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    let entered = || {
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
        work()
    };
    // A namespace is entered by one thread, which is not used for anything else.
    std::thread::scope(|scope| scope.spawn(entered).join())
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::Other).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_runtime_makes_what_has_no_path() {
        let of = |namespace: Value| {
            let namespaces = json!([{"type": "pid"}, namespace]);
            NetworkNamespace::of(&json!({"linux": {"namespaces": namespaces}}))
        };
        let own = NetworkNamespace::At("/proc/self/ns/net".into());
        assert_eq!(of(json!({"type": "network"})), NetworkNamespace::New);
        assert_eq!(
            of(json!({"type": "network", "path": ""})),
            NetworkNamespace::New
        );
        let of_pod = of(json!({"type": "network", "path": "/run/netns/x"}));
        assert_eq!(of_pod, NetworkNamespace::At("/run/netns/x".into()));
        assert_eq!(of(json!({"type": "ipc"})), own);
        assert_eq!(NetworkNamespace::of(&json!({})), own);
    }
}
