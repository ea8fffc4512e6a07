//! How far a long command came, on standard error; nothing when that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or a spinner where the length is not known.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Begins `what`, of `length` steps if that is known.
    pub(super) fn begin(what: &str, length: Option<u64>) -> Self {
        let (bar, template) = match length {
            Some(length) => (ProgressBar::new(length), "{prefix} {bar:30} {percent:>3}%  {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {prefix} {msg}"),
        };
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let bar = bar.with_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// So many steps are done.
    pub(super) fn at(&self, steps: u64, message: String) {
        self.0.set_position(steps);
        self.0.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
