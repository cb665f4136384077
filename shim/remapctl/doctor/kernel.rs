//! What containerd may do, and the kernel's limits.

use std::fs;

use super::Check;
use super::ground::Ground;

/// CAP_SYS_RESOURCE, a bit of capabilities(7).
const SYS_RESOURCE: u32 = 24;

/// What CRIU asks for pipes of, in bytes, when many pages go through one.
const PIPE_BYTES: u64 = 64 << 20;

const NAME: &str = "capabilities";

const PIPE_FILE: &str = "/proc/sys/fs/pipe-max-size";

pub(super) fn checks(ground: &Ground) -> Vec<Check> {
    let Some(containerd) = &ground.containerd else {
        return vec![];
    };
    let status = fs::read_to_string(format!("/proc/{}/status", containerd.pid));
    let may = status
        .as_deref()
        .ok()
        .and_then(|status| may(status, SYS_RESOURCE));
    let pipe = fs::read_to_string(PIPE_FILE).ok();
    let pipe: Option<u64> = pipe.and_then(|text| text.trim().parse().ok());
    let capability = match may {
        None => Check::unknown(NAME, "containerd's capabilities cannot be read"),
        Some(true) => Check::ok(NAME, "containerd has CAP_SYS_RESOURCE"),
        Some(false) => denied(),
    };
    vec![capability, of_pipes(may, pipe)]
}

/// Either the service is restricted, or the whole host is.
fn denied() -> Check {
    let what = "containerd has no CAP_SYS_RESOURCE, so CRIU has none: it cannot raise limits, and \
                processes of other users in a container without a user namespace cannot be saved";
    let first = fs::read_to_string("/proc/1/status").ok();
    if first.and_then(|status| may(&status, SYS_RESOURCE)) != Some(true) {
        let what = format!("{what}; process 1 has none either, so that nobody here can have it");
        return Check::warning(NAME, what);
    }
    // "~" alone is the full set (systemd.exec(5)).
    Check::warning(NAME, what).remedy(
        "mkdir -p /etc/systemd/system/containerd.service.d && printf '[Service]\\nCapabilityBoundingSet=~\\n' \
         >/etc/systemd/system/containerd.service.d/capabilities.conf && systemctl daemon-reload && \
         systemctl restart containerd",
    )
}

fn of_pipes(may: Option<bool>, bytes: Option<u64>) -> Check {
    const NAME: &str = "pipes";
    match (may, bytes) {
        (_, None) => Check::unknown(NAME, format!("{PIPE_FILE} cannot be read")),
        (Some(true), Some(bytes)) => Check::ok(
            NAME,
            format!("fs.pipe-max-size is {bytes}, which does not bind CRIU"),
        ),
        (_, Some(bytes)) if bytes >= PIPE_BYTES => {
            Check::ok(NAME, format!("fs.pipe-max-size is {bytes}"))
        }
        (_, Some(bytes)) => Check::warning(
            NAME,
            format!(
                "fs.pipe-max-size is {bytes}: without CAP_SYS_RESOURCE CRIU cannot have larger \
                 pipes, and its page server fails"
            ),
        )
        .remedy(format!("sysctl -w fs.pipe-max-size={PIPE_BYTES}")),
    }
}

/// Whether the bounding set, out of which children get theirs, has a capability.
fn may(status: &str, capability: u32) -> Option<bool> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))?;
    let set = u64::from_str_radix(set.trim(), 16).ok()?;
    Some(set & (1 << capability) != 0)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn the_bounding_set_tells() {
        let status = |set: &str| format!("Name:\tx\nCapEff:\t0\nCapBnd:\t{set}\n");
        assert_eq!(may(&status("000001fffeffffff"), SYS_RESOURCE), Some(false));
        assert_eq!(may(&status("000001ffffffffff"), SYS_RESOURCE), Some(true));
        assert_eq!(may("", SYS_RESOURCE), None);
    }

    #[test]
    fn small_pipes_matter_only_to_who_cannot_have_larger_ones() {
        let outcome = |may, bytes| of_pipes(may, bytes).outcome;
        assert_eq!(outcome(Some(false), Some(1 << 20)), Outcome::Warning);
        assert_eq!(outcome(Some(false), Some(PIPE_BYTES)), Outcome::Ok);
        assert_eq!(outcome(Some(true), Some(1 << 20)), Outcome::Ok);
        assert_eq!(outcome(None, None), Outcome::Unknown);
    }
}
