//! The publisher's trace, as the message attribute `traceparent` names it (W3C Trace Context, level 1).
//!
//! It joins our logs with the publisher's trace and decides nothing: what is not a trace is ignored.

use std::{collections::BTreeMap, fmt};

/// The attribute.
const ATTRIBUTE: &str = "traceparent";

/// A trace's id; shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The trace that a delivery belongs to, if it says so.
pub fn trace_id(attributes: &BTreeMap<String, String>) -> Option<TraceId> {
    attributes.get(ATTRIBUTE).and_then(|value| parse(value))
}

/// `version-traceid-parentid-flags`: `00` is exactly that; a later version may go on after another dash.
fn parse(traceparent: &str) -> Option<TraceId> {
    let mut fields = traceparent.split('-');
    let version = hex(fields.next()?, 2)?;
    let trace = hex(fields.next()?, 32)?;
    let parent = hex(fields.next()?, 16)?;
    hex(fields.next()?, 2)?;
    let fits = match version {
        0 => fields.next().is_none(),
        0xff => false,
        _ => true,
    };
    (fits && trace != 0 && parent != 0).then_some(TraceId(trace))
}

/// Exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn what_the_standard_allows_names_a_trace() {
        for (traceparent, case) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "sampled"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "not sampled"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", "flags of the future"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "version of the future"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more-to-come", "and more of it"),
        ] {
            assert_eq!(parse(traceparent).map(|trace| trace.to_string()).as_deref(), Some(TRACE), "{case}");
        }
        let small = parse("00-00000000000000000000000000000001-0000000000000001-00");
        assert_eq!(small.map(|trace| trace.to_string()).as_deref(), Some("00000000000000000000000000000001"));
    }

    #[test]
    fn what_it_does_not_allow_is_ignored() {
        for (traceparent, case) in [
            ("", "nothing"),
            ("00", "a version alone"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "no flags"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-", "empty flags"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", "short flags"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "version 00 that goes on"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", "version 00 with a dash at its end"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", "a later version without its dash"),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "the forbidden version"),
            ("0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a short version"),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", "trace of zeros"),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "parent of zeros"),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "capitals"),
            ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", "a short trace"),
            ("00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a sign"),
            ("00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", "no digit"),
            (" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a space before it"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n", "a line's end after it"),
        ] {
            assert_eq!(parse(traceparent), None, "{case}");
        }
    }

    #[test]
    fn only_its_own_attribute_names_it() {
        let value = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert!(trace_id(&[("traceparent".to_owned(), value.clone())].into()).is_some());
        assert!(trace_id(&[("tracestate".to_owned(), value)].into()).is_none());
    }

    proptest! {
        #[test]
        fn whatever_it_is_nothing_but_digits_comes_out(text in "\\PC{0,80}") {
            if let Some(trace) = parse(&text) {
                prop_assert!(text.contains(&trace.to_string()));
            }
        }

        #[test]
        fn every_trace_comes_out_as_it_went_in(trace in 1u128.., parent in 1u64.., flags: u8) {
            let parsed = parse(&format!("00-{trace:032x}-{parent:016x}-{flags:02x}"));
            prop_assert_eq!(parsed, Some(TraceId(trace)));
        }
    }
}
