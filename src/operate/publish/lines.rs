//! Lines of events → letters for the queue, one at a time, however long the file.
//!
//! A thread of its own reads and decodes: a terminal or a pipe that says nothing must not keep the command from ending.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    thread,
};

use anyhow::Context;
use chrono::DateTime;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::{
    domain::Sequence,
    event::{self, Code, Raw},
    queue::fifo_id,
};

/// Largest message SQS takes, in bytes.
pub(super) const LARGEST: usize = 1_048_576;

/// Lines read ahead: bounds memory at 64 MiB when every line is as long as a line can be.
const READ_AHEAD: usize = 64;

/// What goes into the queue for one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operate) struct Letter {
    /// Its line.
    pub line: u64,
    /// FIFO group.
    pub group: String,
    /// Deduplication id.
    pub dedup: String,
    /// The line.
    pub body: String,
}

/// Why a line is not sent; quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::operate) struct Refused {
    /// The line.
    pub line: u64,
    /// What is wrong, in a word.
    pub code: String,
    /// The field at fault, by the contract's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// For a person to read.
    pub reason: String,
}

/// What became of a line, and how many bytes of the input are read with it.
#[derive(Debug)]
pub(super) struct Line {
    pub letter: Result<Letter, Refused>,
    pub read: u64,
}

/// The input, and its length if that is known.
pub(super) fn open(file: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let cannot = || format!("{} cannot be read", file.display());
    let opened = File::open(file).with_context(cannot)?;
    let metadata = opened.metadata().with_context(cannot)?;
    anyhow::ensure!(
        !metadata.is_dir(),
        "{} is a directory; name a file of JSON Lines, or - for standard input",
        file.display()
    );
    Ok((Box::new(BufReader::with_capacity(1 << 16, opened)), metadata.is_file().then_some(metadata.len())))
}

/// Reads `input` in a thread of its own. Ends when the input does, or nobody takes its lines any more.
pub(super) fn read(mut input: Box<dyn BufRead + Send>, as_is: bool) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    thread::spawn(move || {
        let (mut number, mut read) = (0, 0);
        loop {
            let mut bytes = Vec::new();
            match next_line(&mut input, &mut bytes) {
                Ok(0) => return,
                Ok(length) => read += length,
                Err(failure) => {
                    let _ = sender.blocking_send(Err(failure)); // nobody takes it: the command is over
                    return;
                }
            }
            number += 1;
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            if sender.blocking_send(Ok(Line { letter: letter(number, bytes, as_is), read })).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reads one line without its end, and of an overlong one only as much as shows that it is. Returns the bytes it takes up.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    let taken = input.by_ref().take(LARGEST as u64 + 2).read_until(b'\n', line)? as u64;
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
        return Ok(taken);
    }
    // the input ended, or the line is too long: pass over its rest
    Ok(taken + input.skip_until(b'\n')? as u64)
}

/// What is sent for the event in `bytes`, which stands in `line`.
pub(in crate::operate) fn letter(line: u64, bytes: Vec<u8>, as_is: bool) -> Result<Letter, Refused> {
    let refused = |code: &str, field: Option<String>, reason: &str| Refused {
        line,
        code: code.to_owned(),
        field,
        reason: reason.to_owned(),
    };
    if bytes.len() > LARGEST {
        return Err(refused(Code::TooLarge.as_str(), None, "is over 1,048,576 bytes, the most SQS takes"));
    }
    let Ok(body) = String::from_utf8(bytes) else {
        return Err(refused(Code::InvalidJson.as_str(), None, "is not UTF-8"));
    };
    if !body.chars().all(is_taken) {
        let reason = "holds a character that SQS does not take: a control character, U+FFFE or U+FFFF";
        return Err(refused("invalid_character", None, reason));
    }
    let raw = Raw {
        body: &body,
        attributes: &BTreeMap::new(),
        // neither thread nor id depend on when, where and in what place the queue takes it
        sent_at: DateTime::UNIX_EPOCH,
        sequence: Sequence::default(),
        group_id: "",
    };
    match event::decode(&raw) {
        Ok(event) => {
            let (group, dedup) = (fifo_id(&event.thread.group_name()), event.id.to_string());
            Ok(Letter { line, group, dedup, body })
        }
        Err(_) if as_is => {
            // equal lines are one message for five minutes
            let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Letter { line, group: hash.clone(), dedup: hash, body })
        }
        Err(rejection) => Err(refused(rejection.code.as_str(), rejection.field, &rejection.reason)),
    }
}

/// Whether SQS takes the character in a body.
fn is_taken(c: char) -> bool {
    !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> Refused {
        letter(7, bytes.to_vec(), false).expect_err("a refusal")
    }

    const SPACED: &str = r#"{"event_type":"session.closed","correlation_id":"1","data":{"project_uuid":"p","channel_uuid":"ch","contact_urn":"ext:URN","session_id":"s"}}"#;

    #[test]
    fn a_line_is_grouped_by_its_thread_and_named_by_its_event() {
        let spaced = SPACED.replace("URN", "a b").into_bytes();
        let (first, again) = (letter(1, spaced.clone(), false).expect("a letter"), letter(9, spaced, false));
        assert!(first.group.starts_with("p:ch:ext:ab~"), "{}", first.group);
        assert_eq!(Ok((first.group, first.dedup)), again.map(|again| (again.group, again.dedup)));
    }

    #[test]
    fn a_long_contact_with_blanks_gives_a_group_that_sqs_takes() {
        let long = SPACED.replace("URN", &"José da Silva ".repeat(22)).into_bytes();
        let group = letter(1, long, false).expect("a letter").group;
        assert!(group.len() <= 128 && group.bytes().all(|byte| byte.is_ascii_graphic()), "{group}");
    }

    #[test]
    fn what_cannot_be_sent_is_told_without_quoting_it() {
        let control = SPACED.replace("URN", "\u{ffff}55119999");
        for (bytes, code, field) in [
            (b"{\"event_type\":\"55119999\"}".to_vec(), "unknown_event_type", Some("event_type")),
            (b"{\"event_type\": 55119999".to_vec(), "invalid_json", None),
            (b"\"\xff55119999\"".to_vec(), "invalid_json", None),
            (vec![b' '; LARGEST + 1], "too_large", None),
            (control.into_bytes(), "invalid_character", None),
        ] {
            let refused = refusal(&bytes);
            assert_eq!((refused.line, refused.code.as_str(), refused.field.as_deref()), (7, code, field));
            assert!(!format!("{refused:?}").contains("55119999"), "{refused:?}");
        }
    }

    #[test]
    fn as_is_groups_a_line_by_its_hash() {
        let sent = |body: &str| letter(1, body.as_bytes().to_vec(), true).expect("a letter");
        let (one, other) = (sent("not json"), sent("not json!"));
        assert_ne!(one.group, other.group);
        assert!(!one.group.contains("json"), "{}", one.group);
        assert_eq!(one.group, sent("not json").dedup);
        assert!(letter(1, vec![b' '; LARGEST + 1], true).is_err());
    }

    #[test]
    fn lines_are_cut_at_their_ends_and_an_overlong_one_is_passed_over() {
        let long = vec![b'x'; 3 * LARGEST];
        let input = [b"one\r\n".as_slice(), &long, b"\n\nlast"].concat();
        let mut input = input.as_slice();
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            match next_line(&mut input, &mut line).expect("a line") {
                0 => break,
                bytes => lines.push((line.len(), bytes)),
            }
        }
        let long = (LARGEST + 2, 3 * LARGEST as u64 + 1);
        assert_eq!(lines, [(3, 5), long, (0, 1), (4, 4)]);
    }
}
