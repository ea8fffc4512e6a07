//! What others are told: one thing that happened, once, in order within its conversation or contact.
//!
//! A notice is derived from what happened, its id included: a redelivery tells the same again, and the outbox keeps one.

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Classification, Close, ConversationId, EventId, Rating, RatingKind, Record, RecordChange, Thread, ids::NAMESPACE,
};

/// An alert of one rule about one subject is told once in this time.
const ALERT_WINDOW: i64 = 3600;

/// Bytes of an object that publishers fill, as JSON: what is longer is not told, and read from the archive instead.
const LONGEST_OBJECT: usize = 8_192;

/// Of an open conversation: its age.
const OPEN_SECONDS: &str = "open_seconds";

/// Of a close: a classifier is asked how the conversation ended.
const AWAITED: &str = "resolution_awaited";

/// Of an update: it tells what a classifier found.
const CLASSIFIED: &str = "classified";

/// Identity of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(pub Uuid);

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal;)+) => {
        /// What a notice tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum NoticeKind { $($(#[doc = $doc])+ $kind,)+ }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name outside.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    /// A conversation opened. Told by whatever writes the first of it into the archive.
    Opened = "conversation.opened";
    /// What is known of a conversation changed.
    Updated = "conversation.updated";
    /// A conversation closed, and its transcript is in the archive.
    Closed = "conversation.closed";
    /// More of a conversation came to stand in the archive: while it is open, or after it closed.
    Archived = "conversation.archived";
    /// A conversation has been open for as long as a rule of some sink says.
    OpenForLong = "conversation.open_for_long";
    /// A contact rated a conversation.
    Rated = "conversation.rated";
    /// A publisher's own event, with a key and a value.
    Custom = "conversation.event";
    /// A property of a contact's record changed in its CRM.
    ContactChanged = "crm.contact_changed";
    /// Something is wrong and a person should know.
    Alert = "alert.raised";
}

impl NoticeKind {
    /// The kind that has this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// One thing that happened, for others. Its content names people: it is never logged (nor is it in `Debug`).
#[derive(Clone, PartialEq)]
pub struct Notice {
    /// The same whenever this is told.
    pub id: NoticeId,
    /// What it tells.
    pub kind: NoticeKind,
    /// The project (tenant) it belongs to; none for an alert about the daemon itself.
    pub project: Option<String>,
    /// The conversation it speaks of.
    pub conversation: Option<ConversationId>,
    /// Its order among notices of the same conversation.
    pub conversation_lane: Uuid,
    /// Its order among notices of the same contact, for sinks that keep one record of a person.
    pub contact_lane: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The sink that an alert is about: that one is not told.
    pub about: Option<String>,
    /// What there is to know: a JSON object, below 20 kB.
    pub content: Map<String, Value>,
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Notice");
        shown.field("id", &self.id.0).field("kind", &self.kind).field("conversation", &self.conversation);
        shown.finish_non_exhaustive()
    }
}

/// How a conversation ended, as far as it is known by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// When it closed.
    pub at: Option<DateTime<Utc>>,
    /// 0 to 4.
    pub resolution: Option<u8>,
    /// What it was about.
    pub topic: Option<String>,
    /// What it was about, more closely.
    pub subtopic: Option<String>,
}

impl Notice {
    /// Tells `content` of a conversation of `thread`, or of the thread alone. `discriminator` tells it from others of its
    /// kind there, and is the same for every copy: an event id, or nothing for what happens once.
    pub fn of(
        kind: NoticeKind,
        thread: &Thread,
        conversation: Option<ConversationId>,
        discriminator: &str,
        occurred_at: DateTime<Utc>,
        mut content: Map<String, Value>,
    ) -> Self {
        content.insert("project_uuid".into(), json!(thread.project));
        content.insert("conversation_id".into(), json!(conversation));
        for (name, value) in
            [("contact_urn", &thread.contact), ("channel_uuid", &thread.channel), ("external_id", &thread.conversation)]
        {
            if let Some(value) = value {
                content.insert(name.into(), json!(value));
            }
        }
        let contact_lane = Self::contact_lane(thread);
        let conversation_lane = conversation.map_or(contact_lane, |conversation| conversation.0);
        Self {
            id: NoticeId(derived(&["notice", &conversation_lane.to_string(), kind.as_str(), discriminator])),
            kind,
            project: Some(thread.project.clone()),
            conversation,
            conversation_lane,
            contact_lane,
            occurred_at,
            about: None,
            content,
        }
    }

    /// The lane of everything told of a contact, in all channels of its project.
    pub fn contact_lane(thread: &Thread) -> Uuid {
        match &thread.contact {
            Some(contact) => derived(&["contact", &thread.project, contact]),
            None => derived(&["thread", thread.key().as_str()]),
        }
    }

    /// The conversation opened. Once for a conversation.
    pub fn opened(thread: &Thread, record: &Record) -> Self {
        Self::of(NoticeKind::Opened, thread, Some(record.id), "", record.opened_at, of_record(record))
    }

    /// The conversation has been open for `age`. Once for a conversation and an age.
    pub fn open_for_long(thread: &Thread, record: &Record, age: Duration) -> Self {
        let (seconds, mut content) = (age.as_secs(), of_record(record));
        content.insert(OPEN_SECONDS.into(), json!(seconds));
        let at = record.opened_received_at + age;
        Self::of(NoticeKind::OpenForLong, thread, Some(record.id), &seconds.to_string(), at, content)
    }

    /// How long a conversation has been open, of a notice that tells that.
    pub fn open_for(&self) -> Option<Duration> {
        self.number(OPEN_SECONDS).map(Duration::from_secs)
    }

    /// The conversation closed, and `messages` of it are in the archive. Once for a conversation.
    pub fn closed(thread: &Thread, record: &Record, close: &Close, messages: u64) -> Self {
        let mut content = of_record(record);
        content.insert("ended_at".into(), json!(written(close.at)));
        content.insert("close_reason".into(), json!(close.reason.as_str()));
        content.insert("resolution".into(), json!(close.resolution));
        content.insert("topic".into(), json!(close.topic));
        content.insert("subtopic".into(), json!(close.subtopic));
        content.insert("message_count".into(), json!(messages));
        Self::of(NoticeKind::Closed, thread, Some(record.id), "", close.at, content)
    }

    /// More of the conversation is in the archive: `added`, the first of them being `first`, of `messages` now. `late` when
    /// it had closed before. An event is inserted once in the whole archive, so the first names the insert.
    pub fn archived(
        thread: &Thread,
        record: &Record,
        first: EventId,
        added: u64,
        messages: u64,
        late: bool,
        at: DateTime<Utc>,
    ) -> Self {
        let mut content = of_record(record);
        content.insert("messages_added".into(), json!(added));
        content.insert("message_count".into(), json!(messages));
        content.insert("arrived_after_close".into(), json!(late));
        Self::of(NoticeKind::Archived, thread, Some(record.id), &first.to_string(), at, content)
    }

    /// The same of a close that left open how the conversation ended: a classifier is asked, and until it answers the
    /// conversation reads as unclassified.
    #[must_use]
    pub fn awaiting_resolution(mut self) -> Self {
        self.content.insert("resolution".into(), json!(Classification::UNCLASSIFIED));
        self.content.insert(AWAITED.into(), json!(true));
        self
    }

    /// Whether it tells of a close that left open how the conversation ended, so that a classifier is to be asked.
    pub fn awaits_resolution(&self) -> bool {
        self.kind == NoticeKind::Closed && self.says(AWAITED)
    }

    /// Whether it tells that a closed conversation was classified.
    pub fn is_of_classification(&self) -> bool {
        self.kind == NoticeKind::Updated && self.says(CLASSIFIED)
    }

    /// What is known of the conversation changed after it closed, at `at`; it has `messages`. None when no event ever said
    /// anything of it.
    pub fn updated(thread: &Thread, record: &Record, ended: &Ended, messages: u64, at: DateTime<Utc>) -> Option<Self> {
        let discriminator = record.details.changed_by?.0.to_string();
        Some(Self::changed(thread, record, ended, messages, &discriminator, at))
    }

    /// The conversation was classified after it closed, at `at`; it has `messages`. The same resolution is told once.
    pub fn classified(thread: &Thread, record: &Record, ended: &Ended, messages: u64, at: DateTime<Utc>) -> Self {
        let resolution = ended.resolution.map_or_else(String::new, |resolution| resolution.to_string());
        let mut told = Self::changed(thread, record, ended, messages, &format!("classified:{resolution}"), at);
        told.content.insert(CLASSIFIED.into(), json!(true));
        told
    }

    fn changed(
        thread: &Thread,
        record: &Record,
        ended: &Ended,
        messages: u64,
        discriminator: &str,
        at: DateTime<Utc>,
    ) -> Self {
        let details = &record.details;
        let mut content = of_record(record);
        content.insert("title".into(), json!(details.title));
        content.insert("ticket".into(), json!(details.ticket));
        content.insert("ended_at".into(), json!(ended.at.map(written)));
        content.insert("resolution".into(), json!(ended.resolution));
        content.insert("topic".into(), json!(ended.topic));
        content.insert("subtopic".into(), json!(ended.subtopic));
        content.insert("message_count".into(), json!(messages));
        for (name, said) in [("metadata", &details.metadata), ("customer_info", &details.customer_info)] {
            let said = json!(said);
            let fits = said.to_string().len() <= LONGEST_OBJECT;
            content.insert(name.into(), if fits { said } else { Value::Null });
        }
        Self::of(NoticeKind::Updated, thread, Some(record.id), discriminator, at, content)
    }

    /// The contact rated the conversation (`record`, if it belongs to one; `ended_at` once that is closed): a score, or the
    /// answer to a question of the publisher's own.
    pub fn rated(thread: &Thread, record: Option<&Record>, ended_at: Option<DateTime<Utc>>, rating: &Rating) -> Self {
        let mut content = record.map(of_record).unwrap_or_default();
        content.insert("ended_at".into(), json!(ended_at.map(written)));
        if rating.agent_id.is_some() {
            content.insert("agent_id".into(), json!(rating.agent_id));
        }
        content.insert("rating".into(), json!(rating.kind.as_str()));
        content.insert("key".into(), json!(rating.key));
        content.insert("value".into(), json!(rating.value));
        content.insert("score".into(), json!(rating.score));
        content.insert("comment".into(), json!(rating.comment));
        let kind = match rating.kind {
            RatingKind::Csat | RatingKind::Nps => NoticeKind::Rated,
            RatingKind::Custom => NoticeKind::Custom,
        };
        let discriminator = rating.event_id.to_string();
        Self::of(kind, thread, record.map(|record| record.id), &discriminator, rating.answered_at, content)
    }

    /// `property` of the contact's record has another value in its CRM, or none.
    pub fn contact_changed(person: &Thread, change: &RecordChange, property: &str, value: Option<&str>) -> Self {
        let content = [
            ("crm", json!(change.crm)),
            ("account_id", json!(change.account)),
            ("crm_id", json!(change.crm_id)),
            ("property", json!(property)),
            ("value", json!(value)),
        ];
        let content = content.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self::of(NoticeKind::ContactChanged, person, None, &change.fingerprint(), change.occurred_at, content)
    }

    /// `rule` found something about `subject` (a sink, a queue; never a person) at `at`. The same within an hour is one.
    pub fn alert(rule: &str, subject: &str, text: &str, at: DateTime<Utc>) -> Self {
        let window = at - TimeDelta::seconds(at.timestamp().rem_euclid(ALERT_WINDOW));
        let lane = derived(&["alert", rule, subject]);
        let content = [("rule", rule), ("subject", subject), ("text", text)];
        Self {
            id: NoticeId(derived(&["alert", rule, subject, &window.timestamp().to_string()])),
            kind: NoticeKind::Alert,
            project: None,
            conversation: None,
            conversation_lane: lane,
            contact_lane: lane,
            occurred_at: at,
            about: None,
            content: content.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect(),
        }
    }

    /// An alert about a sink: told to all others.
    pub fn alert_of_sink(rule: &str, sink: &str, text: &str, at: DateTime<Utc>) -> Self {
        Self { about: Some(sink.to_owned()), ..Self::alert(rule, sink, text, at) }
    }

    /// A text of the content.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.content.get(name).and_then(Value::as_str)
    }

    /// A whole number of the content.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.content.get(name).and_then(Value::as_u64)
    }

    fn says(&self, name: &str) -> bool {
        self.content.get(name) == Some(&Value::Bool(true))
    }

    /// A number between 0 and 1 that is the same for this notice and `attempt`: spreads retries without drawing.
    pub fn spread(&self, attempt: u32) -> f64 {
        let (high, _) = Uuid::new_v5(&self.id.0, &attempt.to_be_bytes()).as_u64_pair();
        (high >> 32) as f64 / f64::from(u32::MAX)
    }
}

fn of_record(record: &Record) -> Map<String, Value> {
    let mut content = Map::new();
    content.insert("started_at".into(), json!(written(record.opened_at)));
    content.insert("agent_id".into(), json!(record.agent_id));
    content.insert("contact_name".into(), json!(record.contact_name));
    content.insert("tags".into(), json!(record.details.tags));
    content.insert("has_chats_room".into(), json!(record.details.has_chats_room));
    content
}

fn derived(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\0").as_bytes())
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(contact: &str) -> Thread {
        Thread { project: "p".into(), contact: Some(contact.into()), channel: Some("c".into()), conversation: None }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    fn told(kind: NoticeKind, contact: &str, conversation: u128, discriminator: &str) -> Notice {
        let id = ConversationId(Uuid::from_u128(conversation));
        Notice::of(kind, &thread(contact), Some(id), discriminator, at(0), Map::new())
    }

    #[test]
    fn the_same_thing_told_twice_is_one_notice_and_anything_else_is_another() {
        let one = told(NoticeKind::Rated, "a", 1, "e");
        assert_eq!(one.id, told(NoticeKind::Rated, "a", 1, "e").id);
        for other in [
            told(NoticeKind::Rated, "a", 1, "f"),
            told(NoticeKind::Rated, "a", 2, "e"),
            told(NoticeKind::Updated, "a", 1, "e"),
        ] {
            assert_ne!(one.id, other.id);
        }
    }

    #[test]
    fn two_conversations_of_a_contact_share_the_contacts_lane_only() {
        let (one, other) = (told(NoticeKind::Closed, "a", 1, ""), told(NoticeKind::Closed, "a", 2, ""));
        assert_eq!(one.contact_lane, other.contact_lane);
        assert_ne!(one.conversation_lane, other.conversation_lane);
        assert_ne!(one.contact_lane, told(NoticeKind::Closed, "b", 1, "").contact_lane);
    }

    #[test]
    fn an_alert_is_told_once_an_hour() {
        let alert = |seconds| Notice::alert("rule", "subject", "text", at(seconds)).id;
        assert_eq!(alert(0), alert(3599));
        assert_ne!(alert(0), alert(3600));
    }

    #[test]
    fn a_spread_is_within_its_bounds_and_not_always_the_same() {
        let notice = told(NoticeKind::Closed, "a", 1, "");
        let spreads: Vec<f64> = (0..100).map(|attempt| notice.spread(attempt)).collect();
        assert!(spreads.iter().all(|spread| (0.0..=1.0).contains(spread)));
        assert!(spreads.iter().any(|spread| *spread < 0.3) && spreads.iter().any(|spread| *spread > 0.7));
    }

    #[test]
    fn debug_output_names_nobody() {
        assert!(!format!("{:?}", told(NoticeKind::Closed, "whatsapp:+551199", 1, "")).contains("551199"));
    }

    #[test]
    fn every_kind_is_found_by_its_name() {
        assert!(NoticeKind::ALL.iter().all(|kind| NoticeKind::named(kind.as_str()) == Some(*kind)));
        assert_eq!(NoticeKind::named("conversation.eaten"), None);
    }
}
