//! An input → its events, each with the line it begins in: JSON Lines, an array, or one event over many lines.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
};

use anyhow::Context;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// Largest input, in bytes: all of it is held.
const LARGEST: u64 = 256 << 20;

/// One event, as it stands in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The line in which it begins, from 1 on.
    pub(super) line: u64,
    /// Its text, without what stands around it.
    pub(super) bytes: &'a [u8],
}

/// Reads the whole input.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("{} cannot be read", file.display()))?)
    };
    let mut bytes = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", file.display()))?;
    anyhow::ensure!(
        bytes.len() as u64 <= LARGEST,
        "the input is over 256 MiB: lint a part of it, such as `head -n 100000`"
    );
    Ok(bytes)
}

/// Cuts an input into its events.
pub(super) fn cut(input: &[u8]) -> Vec<Piece<'_>> {
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    if let Some(values) = values(input) {
        let ranges = match &values[..] {
            [one] if input[one.start] == b'[' => elements(input, one.start + 1),
            _ => values,
        };
        return placed(input, &ranges);
    }
    let lines = lines(input);
    let is_event = |line: &Range<usize>| input[line.start] == b'{' && values_in(input, line.clone()).is_some();
    if lines.iter().any(is_event) {
        return placed(input, &lines);
    }
    // no line is an event: one event that is broken, or none
    let (first, last) = (lines.first().map(|line| line.start), lines.last().map(|line| line.end));
    let whole = first.zip(last).map(|(start, end)| start..end);
    whole.map(|whole| placed(input, std::slice::from_ref(&whole))).unwrap_or_default()
}

fn values(input: &[u8]) -> Option<Vec<Range<usize>>> {
    values_in(input, 0..input.len())
}

/// The JSON values that follow one another in a part of the input, if there is nothing else in it, and one at least.
fn values_in(input: &[u8], part: Range<usize>) -> Option<Vec<Range<usize>>> {
    let mut stream = Deserializer::from_slice(&input[part.clone()]).into_iter::<IgnoredAny>();
    let (mut values, mut begin) = (Vec::new(), part.start);
    while let Some(value) = stream.next() {
        value.ok()?;
        let end = part.start + stream.byte_offset();
        values.push(trimmed(input, begin..end));
        begin = end;
    }
    (!values.is_empty()).then_some(values)
}

/// The elements of an array that is known to be one, from behind its bracket on.
fn elements(input: &[u8], mut at: usize) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    loop {
        at = trimmed(input, at..input.len()).start;
        if input.get(at) == Some(&b',') {
            at += 1;
        }
        let mut stream = Deserializer::from_slice(&input[at..]).into_iter::<IgnoredAny>();
        let Some(Ok(_)) = stream.next() else { return elements };
        let end = at + stream.byte_offset();
        elements.push(trimmed(input, at..end));
        at = end;
    }
}

/// The lines that hold something.
fn lines(input: &[u8]) -> Vec<Range<usize>> {
    let (mut lines, mut at) = (Vec::new(), 0);
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        lines.push(trimmed(input, at..at + line.len()));
        at += line.len();
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn trimmed(input: &[u8], part: Range<usize>) -> Range<usize> {
    let bytes = &input[part.clone()];
    let start = part.start + (bytes.len() - bytes.trim_ascii_start().len());
    start..start + bytes.trim_ascii().len()
}

/// The parts, which follow one another, with their lines.
fn placed<'a>(input: &'a [u8], parts: &[Range<usize>]) -> Vec<Piece<'a>> {
    let (mut line, mut at) = (1, 0);
    let placed = parts.iter().map(|part| {
        line += input[at..part.start].iter().filter(|byte| **byte == b'\n').count() as u64;
        at = part.start;
        Piece { line, bytes: &input[part.clone()] }
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_in_lines_in_an_array_and_alone() {
        for (input, expected) in [
            ("{\"a\":1}\n\n {\"b\":2}\r\n", vec![(1, "{\"a\":1}"), (3, "{\"b\":2}")]),
            ("[\n{\"a\":\n[1]},{},\n\n 5 ]\n", vec![(2, "{\"a\":\n[1]}"), (3, "{}"), (5, "5")]),
            ("\n{\n\"a\": 1\n}\n", vec![(2, "{\n\"a\": 1\n}")]),
            ("{\n\"a\": 1\n}\n{\n}", vec![(1, "{\n\"a\": 1\n}"), (4, "{\n}")]),
            ("{}\n{\"broken\":\n{}", vec![(1, "{}"), (2, "{\"broken\":"), (3, "{}")]),
            ("{\n\"broken\": }\n", vec![(1, "{\n\"broken\": }")]),
            ("[{},\n{]", vec![(1, "[{},\n{]")]),
            ("[]", vec![]),
            (" \n", vec![]),
            ("\u{feff}{}", vec![(1, "{}")]),
        ] {
            let pieces = cut(input.as_bytes());
            let found: Vec<_> =
                pieces.iter().map(|piece| (piece.line, std::str::from_utf8(piece.bytes).expect("text"))).collect();
            assert_eq!(found, expected, "{input:?}");
        }
    }
}
