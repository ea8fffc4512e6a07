//! Events as publishers write them.

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, Timelike, Utc};
use conversationd::{
    clock::{Clock, SystemClock},
    domain::{self, ThreadKey},
    queue::fifo_id,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// What a publisher sends.
#[derive(Clone, Debug)]
pub struct Event {
    pub group: String,
    pub body: String,
    /// The message attribute `event_type`, where a publisher sets it.
    pub event_type: Option<&'static str>,
}

impl Event {
    /// Any body at all, in the group of `thread`.
    pub fn raw(thread: &Thread, body: impl Into<String>) -> Self {
        Self { group: thread.group(), body: body.into(), event_type: None }
    }
}

/// A contact on a channel of a project that no other story uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub project: String,
    pub contact: String,
    pub channel: String,
}

impl Thread {
    pub fn of(contact: &str) -> Self {
        Self {
            project: Uuid::now_v7().to_string(),
            contact: contact.to_owned(),
            channel: "7f1c9c1e-1d2e-4f3a-9b4c-5d6e7f8a9b0c".to_owned(),
        }
    }

    pub fn group(&self) -> String {
        fifo_id(&format!("{}:{}:{}", self.project, self.channel, self.contact))
    }

    pub fn key(&self) -> ThreadKey {
        let (contact, channel) = (Some(self.contact.clone()), Some(self.channel.clone()));
        domain::Thread { project: self.project.clone(), contact, channel, conversation: None }.key()
    }

    /// An event of `event_type` with these fields besides the thread's own.
    pub fn event(&self, event_type: &str, fields: Value) -> Event {
        let mut data = json!({
            "project_uuid": self.project,
            "contact_urn": self.contact,
            "channel_uuid": self.channel,
        });
        if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
            data.extend(fields);
        }
        Event::raw(self, json!({ "event_type": event_type, "data": data }).to_string())
    }

    /// The contact says `text`, which is the message's id too. Its time is the queue's.
    pub fn says(&self, text: &str) -> Event {
        self.event("message.received", json!({ "message": { "id": text, "text": text, "source": "incoming" } }))
    }

    /// The same, said at `at` by the contact's clock.
    pub fn said(&self, text: &str, at: DateTime<Utc>) -> Event {
        let created_at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let message = json!({ "id": text, "text": text, "source": "incoming", "created_at": created_at });
        self.event("message.received", json!({ "message": message }))
    }

    /// A score in the form of a message.
    pub fn scored(&self, key: &str, value: Value) -> Event {
        self.event(
            "message.received",
            json!({ "key": key, "value": value, "message": { "text": "", "source": "system" } }),
        )
    }

    /// A score given at `at`.
    pub fn scored_at(&self, key: &str, value: Value, at: DateTime<Utc>) -> Event {
        let message = json!({ "text": "", "source": "system", "created_at": at });
        self.event("message.received", json!({ "key": key, "value": value, "message": message }))
    }

    /// A person took over at `at`: the flat form, as it really comes.
    pub fn taken_over(&self, at: DateTime<Utc>) -> Event {
        let body = json!({
            "ticket_uuid": "ticket-1",
            "project_uuid": self.project,
            "contact_urn": self.contact,
            "channel_uuid": self.channel,
            "created_on": at,
        });
        Event::raw(self, body.to_string())
    }

    pub fn session_opened(&self) -> Event {
        self.event("session.opened", json!({ "session_id": "session-1" }))
    }

    pub fn session_closed(&self) -> Event {
        self.event("session.closed", json!({ "session_id": "session-1" }))
    }

    /// `conversation.close`, by a publisher.
    pub fn close(&self) -> Event {
        self.event("conversation.close", json!({ "resolution": 0 }))
    }
}

/// This many seconds ago.
pub fn ago(seconds: i64) -> DateTime<Utc> {
    SystemClock.now() - TimeDelta::seconds(seconds)
}

/// A time zone in which it is about noon, and when its day began.
pub fn noon_somewhere() -> (String, DateTime<Utc>) {
    let now = SystemClock.now();
    let ahead = 12 - i64::from(now.hour());
    // the names of these zones count the other way round
    let zone = if ahead == 0 { "Etc/GMT".to_owned() } else { format!("Etc/GMT{:+}", -ahead) };
    let hours = TimeDelta::hours(ahead);
    let midnight = (now + hours).date_naive().and_time(NaiveTime::MIN).and_utc() - hours;
    (zone, midnight)
}

/// `m1` … `m{count}`.
pub fn names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("m{n}")).collect()
}
