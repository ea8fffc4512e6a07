//! What the tests of this module share: a delivery around a body.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::{Sequence, Thread, ThreadKey};

use super::{Event, Raw, Rejection, decode};

/// When every delivery of the tests was sent, unless they say otherwise: 2026-03-01T12:30:46.001Z.
pub(super) fn sent_at() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_772_368_246_001).unwrap_or_default()
}

pub(super) fn decode_body(body: &str) -> Result<Event, Rejection> {
    decode_sent_at(body, sent_at())
}

pub(super) fn decode_sent_at(body: &str, sent_at: DateTime<Utc>) -> Result<Event, Rejection> {
    let attributes = BTreeMap::new();
    decode(&Raw { body, attributes: &attributes, sent_at, sequence: Sequence(7), group_id: "group" })
}

pub(super) fn thread(project: &str, contact: &str, channel: &str) -> Thread {
    Thread {
        project: project.to_owned(),
        contact: Some(contact.to_owned()),
        channel: Some(channel.to_owned()),
        conversation: None,
    }
}

pub(super) fn thread_key(project: &str, contact: &str, channel: &str) -> ThreadKey {
    thread(project, contact, channel).key()
}
