//! The publisher's trace, as the message attribute `traceparent` names it (W3C Trace Context, level 1); else a notification's
//! attribute of that name; else the trace header that AWS keeps with the message (X-Ray).
//!
//! It joins our logs with the publisher's trace and decides nothing: what is not a trace is ignored.

use std::{borrow::Cow, fmt};

use serde::Deserialize;
use serde_json::Value;

use super::Raw;

/// The attribute.
const ATTRIBUTE: &str = "traceparent";

/// Where the queue puts the trace header of AWS.
const HEADER: &str = "AWSTraceHeader";

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
pub fn trace_id(raw: &Raw<'_>) -> Option<TraceId> {
    let attribute = raw.attributes.get(ATTRIBUTE).and_then(|value| parse(value));
    let header = || raw.attributes.get(HEADER).and_then(|value| parse_header(value));
    attribute.or_else(|| notified(raw.body)).or_else(header)
}

/// The attribute inside an SNS notification. Bodies that do not name it are not parsed for it.
fn notified(body: &str) -> Option<TraceId> {
    #[derive(Deserialize)]
    struct Notification<'a> {
        #[serde(rename = "Type", borrow)]
        kind: Cow<'a, str>,
        #[serde(rename = "MessageAttributes")]
        attributes: Value,
    }
    if !body.contains("\"MessageAttributes\"") || !body.contains(ATTRIBUTE) {
        return None;
    }
    let notification: Notification<'_> = serde_json::from_str(body).ok()?;
    let value = notification.attributes.get(ATTRIBUTE)?.get("Value")?.as_str()?;
    (notification.kind == "Notification").then(|| parse(value)).flatten()
}

/// `Root=1-timestamp-unique;Parent=…;Sampled=…`, in any order: the two parts of the root together are the trace's id.
fn parse_header(header: &str) -> Option<TraceId> {
    let root = header.split(';').find_map(|field| field.trim().strip_prefix("Root="))?;
    let mut parts = root.split('-');
    let (version, seconds, unique) = (parts.next()?, parts.next()?, parts.next()?);
    let trace = (hex(seconds, 8)? << 96) | hex(unique, 24)?;
    (version == "1" && parts.next().is_none() && trace != 0).then_some(TraceId(trace))
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
    use chrono::DateTime;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::Sequence;

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

    fn told(body: &str, attributes: &[(&str, &str)]) -> Option<String> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (sent_at, sequence) = (DateTime::UNIX_EPOCH, Sequence(1));
        let raw = Raw { body, attributes: &attributes, sent_at, sequence, group_id: "g" };
        trace_id(&raw).map(|trace| trace.to_string())
    }

    fn parent(trace: &str) -> String {
        format!("00-{trace}-b7ad6b7169203331-01")
    }

    fn notification(kind: &str, name: &str, trace: &str) -> String {
        let attributes = json!({ name: { "Type": "String", "Value": parent(trace) } });
        json!({ "Type": kind, "Message": "{}", "MessageAttributes": attributes }).to_string()
    }

    #[test]
    fn the_attribute_comes_first_then_the_notification_then_the_header_of_aws() {
        let [one, two, three] = [1, 2, 3].map(|n| format!("{n}af7651916cd43dd8448eb211c80319c"));
        let (attribute, wrapped) = (parent(&one), notification("Notification", "traceparent", &two));
        let header = format!("Root=1-{}-{};Parent=53995c3f42cd8ad8;Sampled=1", &three[..8], &three[8..]);
        let (by_attribute, by_header) = (("traceparent", attribute.as_str()), ("AWSTraceHeader", header.as_str()));
        assert_eq!(told(&wrapped, &[by_attribute, by_header]), Some(one.clone()));
        assert_eq!(told(&wrapped, &[("traceparent", "no trace"), by_header]), Some(two.clone()));
        assert_eq!(told("{}", &[by_header]), Some(three));
        for (body, attributes) in [
            ("{}".to_owned(), vec![]),
            ("{}".to_owned(), vec![("tracestate", attribute.as_str())]),
            (notification("SubscriptionConfirmation", "traceparent", &two), vec![]),
            (notification("Notification", "Traceparent", &two), vec![]),
            (r#"{"Type":"Notification","MessageAttributes":"traceparent"}"#.to_owned(), vec![]),
            (r#""MessageAttributes" traceparent"#.to_owned(), vec![]),
        ] {
            assert_eq!(told(&body, &attributes), None, "{body}");
        }
    }

    #[test]
    fn the_header_of_aws_names_a_trace_by_its_root() {
        let trace = "5759e988bd862e3fe1be46a994272793";
        for header in [
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            "Self=1-0-0; Sampled=0; Root=1-5759e988-bd862e3fe1be46a994272793",
        ] {
            assert_eq!(parse_header(header).map(|trace| trace.to_string()).as_deref(), Some(trace), "{header}");
        }
        for header in [
            "",
            "Root=",
            "Parent=53995c3f42cd8ad8",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793-1",
            "Root=1-5759e98-bd862e3fe1be46a994272793",
            "Root=1-5759E988-bd862e3fe1be46a994272793",
            "Root=1-00000000-000000000000000000000000",
        ] {
            assert_eq!(parse_header(header), None, "{header}");
        }
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
