//! The options of a dump in CRIU's configuration file. Pure.
//!
//! What a request asks for goes to the runtime, what an annotation does into the file: the runtime
//! has no name for all of them (`tcp-close`).

use crate::manifest::DumpOptions;

impl DumpOptions {
    /// What is on here or there.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            tcp_established: self.tcp_established || other.tcp_established,
            tcp_close: self.tcp_close || other.tcp_close,
            ext_unix_sk: self.ext_unix_sk || other.ext_unix_sk,
            shell_job: self.shell_job || other.shell_job,
            file_locks: self.file_locks || other.file_locks,
            ..self.clone()
        }
    }

    /// One line for each that is on.
    pub(super) fn lines(&self) -> String {
        let lines = [
            ("tcp-established", self.tcp_established),
            ("tcp-close", self.tcp_close),
            ("ext-unix-sk", self.ext_unix_sk),
            ("shell-job", self.shell_job),
            ("file-locks", self.file_locks),
        ];
        let on = lines.iter().filter(|(_, is_on)| *is_on);
        on.map(|(name, _)| format!("{name}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_that_is_on_anywhere_has_a_line() {
        let one = DumpOptions {
            tcp_close: true,
            empty_ns: vec!["network".into()],
            ..DumpOptions::default()
        };
        let other = DumpOptions {
            tcp_established: true,
            ext_unix_sk: true,
            shell_job: true,
            file_locks: true,
            ..DumpOptions::default()
        };
        assert_eq!(DumpOptions::default().lines(), "");
        let both = one.or(&other);
        assert_eq!(
            both.lines(),
            "tcp-established\ntcp-close\next-unix-sk\nshell-job\nfile-locks\n"
        );
        assert_eq!(both.empty_ns, ["network"]);
        assert_eq!(other.or(&one).lines(), both.lines());
    }
}
