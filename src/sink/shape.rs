//! What is written of a notice, for each kind of receiver. Pure.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::Dispatch;
use crate::{
    config::DatalakeNames,
    domain::{Notice, NoticeKind},
};

/// The notice's id as receivers know it, the same at every attempt: no dot, which separates what is signed.
pub(super) fn event_id(notice: &Notice) -> String {
    format!("evt_{}", notice.id.0.simple())
}

/// The body of a webhook: `{type, timestamp, id, sequence, data}`.
pub(super) fn notice(dispatch: &Dispatch<'_>) -> Value {
    let notice = dispatch.notice;
    json!({
        "type": notice.kind.as_str(),
        "timestamp": moment(notice.occurred_at),
        "id": event_id(notice),
        "sequence": dispatch.sequence,
        "data": notice.content,
    })
}

/// What billing takes of a close: exactly these fields, all texts; and the group they are ordered in. The same once more when
/// a classifier has said how it ended, for a sink that takes `conversation.updated`. `None` for anything else, and for what is
/// no contact's conversation.
pub(super) fn billing(notice: &Notice) -> Option<(Value, String)> {
    if notice.kind != NoticeKind::Closed && !notice.is_of_classification() {
        return None;
    }
    let (channel, contact) = (notice.text("channel_uuid")?, notice.text("contact_urn")?);
    let body = json!({
        "channel_uuid": channel,
        "start_date": to_the_second(notice.text("started_at")?)?,
        "end_date": to_the_second(notice.text("ended_at")?)?,
        "contact_urn": contact,
        "resolution": notice.number("resolution").map_or_else(String::new, |resolution| resolution.to_string()),
        "uuid": notice.text("conversation_id")?,
    });
    Some((body, format!("{channel}:{contact}")))
}

/// One event of the datalake, whichever way it goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DatalakeEvent {
    pub(super) event_name: String,
    pub(super) key: String,
    pub(super) date: DateTime<Utc>,
    pub(super) project: String,
    pub(super) contact_urn: String,
    /// Always a text, as the datalake has had it from the older service.
    pub(super) value: String,
    /// Texts, or nothing.
    pub(super) metadata: Vec<(&'static str, Option<String>)>,
}

/// What the datalake takes: scores, how conversations end, and publishers' own events. `None` for anything else.
pub(super) fn datalake(notice: &Notice, names: &DatalakeNames) -> Option<DatalakeEvent> {
    let (key, value) = match notice.kind {
        NoticeKind::Rated => {
            let key = match notice.text("rating")? {
                "csat" => &names.csat,
                "nps" => &names.nps,
                _ => return None,
            };
            (key.clone(), notice.number("score")?.to_string()) // 0 is a score
        }
        NoticeKind::Updated if !notice.is_of_classification() => return None,
        NoticeKind::Closed | NoticeKind::Updated => {
            (names.closed.clone(), resolution(notice.number("resolution")).to_owned())
        }
        NoticeKind::Custom => (notice.text("key")?.to_owned(), notice.text("value")?.to_owned()),
        _ => return None,
    };
    let owned = |name: &str| notice.text(name).map(str::to_owned);
    let mut metadata = vec![("conversation_uuid", owned("conversation_id"))];
    // these three are left out where the older service left them out
    for (name, from) in
        [("agent_uuid", "agent_id"), ("conversation_start_date", "started_at"), ("conversation_end_date", "ended_at")]
    {
        metadata.extend(owned(from).map(|value| (name, Some(value))));
    }
    metadata.push(("event_id", Some(event_id(notice))));
    Some(DatalakeEvent {
        event_name: names.event.clone(),
        key,
        date: notice.occurred_at,
        project: notice.project.clone()?,
        contact_urn: owned("contact_urn")?,
        value,
        metadata,
    })
}

impl DatalakeEvent {
    /// The same as JSON.
    pub(super) fn json(&self) -> Value {
        let metadata: Map<String, Value> =
            self.metadata.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "event_name": self.event_name,
            "key": self.key,
            "date": moment(self.date),
            "project": self.project,
            "contact_urn": self.contact_urn,
            "value_type": "string",
            "value": self.value,
            "metadata": metadata,
        })
    }
}

/// How a conversation ended, in the words of the older service.
pub(super) fn resolution(resolution: Option<u64>) -> &'static str {
    match resolution {
        Some(0) => "resolved",
        Some(1) => "unresolved",
        Some(2) => "in progress",
        Some(4) => "has chat room",
        _ => "unclassified",
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn to_the_second(text: &str) -> Option<String> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    Some(at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::domain::{
        Close, CloseReason, ConversationId, Details, EventId, Rating, RatingKind, Record, Sequence, Thread,
    };
    use uuid::Uuid;

    pub(in crate::sink) fn noon() -> DateTime<Utc> {
        "2026-03-01T12:00:00.500Z".parse().expect("a time")
    }

    pub(in crate::sink) fn thread() -> Thread {
        Thread {
            project: "p".into(),
            contact: Some("whatsapp:5511999990000".into()),
            channel: Some("channel".into()),
            conversation: None,
        }
    }

    pub(in crate::sink) fn record() -> Record {
        Record {
            id: ConversationId(Uuid::from_u128(1)),
            opened_at: noon() - chrono::TimeDelta::hours(2),
            opened_received_at: noon(),
            contact_name: Some("Ana <b>".into()),
            agent_id: None,
            previous: None,
            details: Details::default(),
            recap: None,
        }
    }

    pub(in crate::sink) fn closed() -> Notice {
        let close = Close {
            at: noon(),
            reason: CloseReason::Idle,
            resolution: Some(0),
            detail: None,
            topic: None,
            subtopic: None,
        };
        Notice::closed(&thread(), &record(), &close, 12)
    }

    pub(in crate::sink) fn rated(kind: RatingKind, score: u8) -> Notice {
        let rating = Rating {
            event_id: EventId(Uuid::from_u128(2)),
            kind,
            key: "stars".into(),
            value: score.to_string(),
            score: (kind != RatingKind::Custom).then_some(score),
            comment: None,
            agent_id: None,
            answered_at: noon(),
            received_at: noon(),
            sequence: Sequence(1),
        };
        Notice::rated(&thread(), Some(&record()), None, &rating)
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::*, *};
    use crate::domain::RatingKind;

    fn names() -> DatalakeNames {
        DatalakeNames { event: "e".into(), csat: "weni_csat".into(), nps: "weni_nps".into(), closed: "c".into() }
    }

    #[test]
    fn billing_has_exactly_its_six_texts() {
        let (body, group) = billing(&closed()).expect("a close");
        assert_eq!(
            body,
            json!({
                "channel_uuid": "channel",
                "start_date": "2026-03-01T10:00:00Z",
                "end_date": "2026-03-01T12:00:00Z",
                "contact_urn": "whatsapp:5511999990000",
                "resolution": "0",
                "uuid": "00000000-0000-0000-0000-000000000001",
            })
        );
        assert_eq!(group, "channel:whatsapp:5511999990000");
        assert_eq!(billing(&rated(RatingKind::Csat, 5)), None);
    }

    #[test]
    fn what_a_classifier_found_is_told_as_the_close_was_and_other_updates_are_not() {
        use crate::domain::{Ended, Sequence};
        let ended = Ended { at: Some(noon()), resolution: Some(1), ..Ended::default() };
        let found = Notice::classified(&thread(), &record(), &ended, 7, noon());
        let (close, group) = billing(&closed()).expect("a close");
        let (again, same) = billing(&found).expect("once more");
        assert_eq!((&again["resolution"], &again["uuid"], same), (&json!("1"), &close["uuid"], group));
        assert_eq!(again["end_date"], close["end_date"]);
        let event = datalake(&found, &names()).expect("an event");
        assert_eq!((event.key.as_str(), event.value.as_str()), ("c", "unresolved"));

        let mut changed = record();
        changed.details.changed_by = Some(Sequence(1));
        let other = Notice::updated(&thread(), &changed, &ended, 7, noon()).expect("a notice");
        assert_eq!((billing(&other), datalake(&other, &names())), (None, None));
    }

    #[test]
    fn weni_nps_zero_kept() {
        let event = datalake(&rated(RatingKind::Nps, 0), &names()).expect("an event");
        assert_eq!((event.key.as_str(), event.value.as_str()), ("weni_nps", "0"));
        let custom = datalake(&rated(RatingKind::Custom, 5), &names()).expect("an event");
        assert_eq!((custom.key.as_str(), custom.value.as_str()), ("stars", "5"));
    }

    #[test]
    fn a_datalake_event_says_what_it_says_of_a_close() {
        let event = datalake(&closed(), &names()).expect("an event").json();
        assert_eq!(event["value"], "resolved");
        assert_eq!(event["value_type"], "string");
        assert_eq!(event["date"], "2026-03-01T12:00:00.500Z");
        assert_eq!(event["metadata"]["conversation_end_date"], "2026-03-01T12:00:00.500Z");
        assert!(event["metadata"].get("agent_uuid").is_none());
    }

    #[test]
    fn a_webhook_body_names_its_place() {
        let notice = closed();
        let dispatch = Dispatch { notice: &notice, lane: notice.conversation_lane, sequence: 17, attempt: 3 };
        let body = super::notice(&dispatch);
        assert_eq!((body["type"].as_str(), body["sequence"].as_i64()), (Some("conversation.closed"), Some(17)));
        let id = body["id"].as_str().expect("an id");
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{id}");
    }
}
