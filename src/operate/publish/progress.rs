//! How far it came, on standard error: a bar when that is a terminal, else only what must be told.

use std::{cell::Cell, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::lines::Refused;

/// The bar and the totals.
pub(super) struct Progress {
    bar: ProgressBar,
    published: Cell<u64>,
    rejected: Cell<u64>,
    waited: Cell<bool>,
    json: bool,
}

impl Progress {
    /// Progress through `length` bytes, or through an input of unknown length.
    pub(super) fn begin(length: Option<u64>, json: bool) -> Self {
        let (bar, template) = match length {
            Some(length) => (ProgressBar::new(length), "{bar:30} {percent:>3}%  {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, published: Cell::new(0), rejected: Cell::new(0), waited: Cell::new(false), json }
    }

    /// So many bytes are read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// So many more are published.
    pub(super) fn published(&self, count: u64) {
        self.published.set(self.published.get() + count);
        self.show();
    }

    /// A line is not sent.
    pub(super) fn rejected(&self, refused: &Refused) {
        self.rejected.set(self.rejected.get() + 1);
        if self.json {
            self.tell(&serde_json::to_string(refused).unwrap_or_default());
        } else {
            let Refused { line, code, field, reason } = refused;
            let field = field.as_deref().map(|field| format!(" {field}")).unwrap_or_default();
            self.tell(&format!("line {line}: {code}{field}: {reason}"));
        }
        self.show();
    }

    /// Says something beside the bar.
    pub(super) fn tell(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// The queue is as full as it may be: said once.
    pub(super) fn waiting(&self, depth: u64, most: u64) {
        if !self.waited.replace(true) {
            self.tell(&format!(
                "waiting: the queue holds {depth} messages (--max-depth {most}); the daemon must take some"
            ));
        }
    }

    /// Published and rejected.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.published.get(), self.rejected.get())
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self) {
        self.bar.set_message(format!("{} published, {} rejected", self.published.get(), self.rejected.get()));
    }
}
