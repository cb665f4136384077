//! Carrying files from one host to another, over the link between them. (To put a
//! file of this machine into a host: [`Host::install_file`].)

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::host::Host;
use crate::link::Link;

/// Where the receiver listens. The link is the test's own, so nobody else does.
const PORT: u16 = 7077;

const TIMEOUT: Duration = Duration::from_secs(300);

/// What a copy came to.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// The bytes of the file, or of the regular files in the directory.
    pub bytes: u64,
    /// The time on the wire; the comparison afterwards does not count.
    pub elapsed: Duration,
}

impl Link {
    /// Copies the file `source` of host `from` to `destination` on host `to`, whose
    /// directory has to exist, and compares both.
    ///
    /// # Errors
    /// The transfer fails, or what arrived is not what was sent.
    pub fn copy_file(
        &self,
        from: &Host,
        source: &str,
        to: &Host,
        destination: &str,
    ) -> Result<Transfer> {
        const DIGEST: &str = r#"sha256sum <"$1" && stat -c %s "$1""#;
        let send = r#"cat "$1""#;
        let receive = r#"cat >"$1""#;
        self.transfer((from, source, send), (to, destination, receive), DIGEST)
    }

    /// Copies what is in the directory `source` of host `from` into `destination`
    /// on host `to`, which is made if need be, and compares the regular files.
    ///
    /// # Errors
    /// The transfer fails, or what arrived is not what was sent.
    pub fn copy_directory(
        &self,
        from: &Host,
        source: &str,
        to: &Host,
        destination: &str,
    ) -> Result<Transfer> {
        const DIGEST: &str = r#"cd "$1" &&
            find . -type f -print0 | sort -z | xargs -0r sha256sum | sha256sum &&
            find . -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'"#;
        // The older formats have whole seconds only.
        let send = r#"tar --format=posix -C "$1" -cf - ."#;
        let receive = r#"mkdir -p "$1" && tar -C "$1" -xpf -"#;
        self.transfer((from, source, send), (to, destination, receive), DIGEST)
    }

    /// Pipes one end's shell line into the other's, over TCP. Each line gets its
    /// path as `$1`; `digest` prints the same on both sides, and last the size.
    fn transfer(
        &self,
        (from, source, send): (&Host, &str, &str),
        (to, destination, receive): (&Host, &str, &str),
        digest: &str,
    ) -> Result<Transfer> {
        let address = self.address(to)?;
        self.address(from)?;

        // `pipefail`, and socat as the last command of the sender and the first of
        // the receiver, so that every part's failure is a failure of the line.
        let receive =
            format!("socat -u TCP-LISTEN:{PORT},bind={address},reuseaddr - | ({receive})");
        let receiver = to
            .command("bash")
            .args(["-o", "pipefail", "-c", &receive, "receive", destination])
            .spawn()?;
        // The receiver may need a moment until it listens.
        let send = format!("{send} | socat -u - TCP:{address}:{PORT},retry=100,interval=0.02");
        from.command("bash")
            .args(["-o", "pipefail", "-c", &send, "send", source])
            .timeout(TIMEOUT)
            .check()?;
        let received = receiver.finish(TIMEOUT)?.ok()?;

        let sum = |host: &Host, path: &str| -> Result<String> {
            let output = host
                .command("bash")
                .args(["-c", digest, "digest", path])
                .timeout(TIMEOUT);
            Ok(output.check()?.text().into_owned())
        };
        let sent = sum(from, source)?;
        let arrived = sum(to, destination)?;
        ensure!(
            sent == arrived,
            "{source} of host {} arrived differently as {destination} on host {}:\n{sent}\n{arrived}",
            from.name(),
            to.name()
        );
        let bytes = sent.lines().last().unwrap_or_default();
        Ok(Transfer {
            bytes: bytes
                .parse()
                .with_context(|| format!("{bytes:?} is no size of {source}"))?,
            elapsed: received.elapsed,
        })
    }
}
