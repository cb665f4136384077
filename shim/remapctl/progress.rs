//! What lasts shows how far it is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Before, nothing is shown.
const SOON: Duration = Duration::from_secs(1);

/// How far something is, with rate and time left, on a terminal; elsewhere nothing is printed.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Nothing of `total` bytes is done.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        Self(bar)
    }

    /// So many bytes are done.
    pub(crate) fn at(&self, done: u64) {
        if self.0.elapsed() >= SOON {
            self.0.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
