//! Standard output whose reader may leave at any time (`| head`): then the command ends, without a word and without a panic.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use serde::Serialize;

/// The reader of standard output has left. Told apart from pipes that break elsewhere: those are failures.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
struct ReaderLeft;

pub(super) fn written(result: io::Result<()>) -> io::Result<()> {
    result.map_err(|failure| match failure.kind() {
        ErrorKind::BrokenPipe => io::Error::new(ErrorKind::BrokenPipe, ReaderLeft),
        _ => failure,
    })
}

/// Buffered lines to standard output.
pub(super) struct Output {
    lines: BufWriter<Stdout>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { lines: BufWriter::new(io::stdout()) }
    }

    /// Writes text and ends the line.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        written(writeln!(self.lines, "{}", text.as_ref()))
    }

    /// Writes a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_string(value).map_err(io::Error::from)?;
        self.line(line)
    }

    /// Sends on what was written: at the end, and wherever a reader should not wait.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        written(self.lines.flush())
    }
}

/// Writes one text, ending its line, and is done.
pub(super) fn say(text: impl AsRef<str>) -> io::Result<()> {
    let mut output = Output::new();
    output.line(text)?;
    output.flush()
}

/// `1 letter`, `2 letters`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whether all that failed is that the reader of standard output has left.
pub fn nobody_reads(failure: &anyhow::Error) -> bool {
    let left = |cause: &io::Error| cause.get_ref().is_some_and(|inner| inner.is::<ReaderLeft>());
    failure.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(left))
}

/// `text` for a terminal: what would move its cursor or colour it is written out instead.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // beyond control characters: those that turn the direction of writing around
        if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\r\u{202e}c"), "a\\u{1b}[31mb\\r\\u{202e}c");
        assert_eq!(harmless("Olá 🙂"), "Olá 🙂");
    }

    #[test]
    fn a_reader_that_left_is_told_from_other_failures() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        let left = written(Err(broken())).expect_err("a broken pipe");
        assert!(nobody_reads(&anyhow::Error::from(left).context("printing")));
        assert!(!nobody_reads(&broken().into()), "a connection broke");
    }
}
