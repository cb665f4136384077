//! What the program in the machine says is said here, too, as it comes: a run that is stopped still
//! has told what it knew.

use std::time::Instant;

use remap_test::Flavour;

/// Says whole lines, each with the flavour and the time.
pub(super) struct Voice {
    flavour: Flavour,
    begun: Instant,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Voice {
    pub(super) fn new(flavour: Flavour) -> Self {
        let begun = Instant::now();
        let rest = Vec::new();
        Self {
            flavour,
            begun,
            rest,
        }
    }

    pub(super) fn say(&mut self, text: &[u8]) {
        self.rest.extend(text);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let seconds = self.begun.elapsed().as_secs();
            eprintln!("{} machine, {seconds} s: {}", self.flavour, line.trim_end());
        }
    }
}
