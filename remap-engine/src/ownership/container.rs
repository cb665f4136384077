//! The container that a control group belongs to. Pure.

/// What runtimes put before the id in the name of a systemd scope or of a control group.
const PREFIXES: [&str; 5] = ["cri-containerd-", "nerdctl-", "docker-", "crio-", "libpod-"];

/// The id of the container with the control group `path`, if the path says it:
///
/// - a component that is an id of 64 hexadecimal digits, alone or in a scope of a known runtime
///   (kubelet, Docker, Podman, CRI-O: `…/cri-containerd-ID.scope`, `/docker/ID`);
/// - `/NAMESPACE/ID` of containerd's own clients.
pub(super) fn id(path: &str) -> Option<&str> {
    let components = path.split('/').filter(|component| !component.is_empty());
    let components: Vec<&str> = components.collect();
    // A container can have control groups of its own below its own.
    let told = components
        .iter()
        .rev()
        .find_map(|component| long_id(component));
    told.or_else(|| match components[..] {
        [namespace, id] if is_plain(namespace) && is_plain(id) => Some(id),
        _ => None,
    })
}

fn long_id(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let id = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
    let id = id.unwrap_or(name);
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (id.len() == 64 && id.bytes().all(is_hex)).then_some(id)
}

/// Neither a unit of systemd's, nor the way up out of a control group namespace
/// (cgroup_namespaces(7)).
fn is_plain(component: &str) -> bool {
    let units = [".slice", ".scope", ".service", ".mount", ".socket"];
    component != ".." && !units.iter().any(|unit| component.ends_with(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_groups_of_each_runtime_tell_the_id() {
        let long = "0123456789abcdef".repeat(4);
        for path in [
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-ID.scope",
            "/kubepods/besteffort/pod1/ID",
            "/kubepods/pod1/crio-ID",
            "/system.slice/docker-ID.scope",
            "/docker/ID",
            "/docker/ID/init.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/default/ID",
            "/../default/ID",
        ] {
            assert_eq!(id(&path.replace("ID", &long)), Some(&*long), "{path}");
        }
        assert_eq!(id("/default/web-1"), Some("web-1"));
        assert_eq!(id("/k8s.io/a.b"), Some("a.b"));
    }

    #[test]
    fn what_is_no_container_has_no_id() {
        for path in [
            "/",
            "",
            "/..",
            "/../x",
            "/init.scope",
            "/user.slice/user-0.slice",
            "/system.slice/ssh.service",
            "/system.slice/cri-containerd-1.scope",
            "/a/b/c",
            "/machine.slice/libpod-conmon-1.scope",
        ] {
            assert_eq!(id(path), None, "{path}");
        }
    }
}
