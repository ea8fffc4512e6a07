//! Names of things. Every id is derived from what happened, never drawn: a redelivery derives the same again.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The root of every id this program derives; changing it would make every redelivery look new.
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_63a4_5d53_4c5e_9d0a_0d5b_6a1e_7c11);

/// Where a conversation happens: project × channel × contact, or a conversation id that the publisher chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Project (tenant) the thread belongs to.
    pub project: String,
    /// Contact, as a URN (`whatsapp:+5511…`). Absent only when `conversation` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Channel the contact writes on. Absent only when `conversation` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The publisher's own conversation id; when given, it alone names the thread within the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

impl Thread {
    /// The thread's key: `project#contact#channel`, or `project#conversation`.
    ///
    /// `#` and `%` inside a part are percent-encoded, so different parts never give the same key.
    pub fn key(&self) -> ThreadKey {
        let mut key = String::with_capacity(128);
        push_escaped(&mut key, &self.project);
        match &self.conversation {
            Some(conversation) => {
                key.push('#');
                push_escaped(&mut key, conversation);
            }
            None => {
                for part in [&self.contact, &self.channel] {
                    key.push('#');
                    push_escaped(&mut key, part.as_deref().unwrap_or(""));
                }
            }
        }
        ThreadKey(key)
    }

    /// The readable name of the thread's FIFO group: `project:channel:contact`, or `project:conversation`.
    ///
    /// It may be too long for SQS, or hold what SQS does not take: `queue::fifo_id` makes it legal. Threads whose parts hold
    /// a colon may share a name, which only makes them take turns. It names a person, like the key.
    pub fn group_name(&self) -> String {
        match &self.conversation {
            Some(conversation) => [self.project.as_str(), conversation].join(":"),
            None => {
                let part = |part: &Option<String>| part.clone().unwrap_or_default();
                [self.project.clone(), part(&self.channel), part(&self.contact)].join(":")
            }
        }
    }

    /// Whether a project is named and no thread of it.
    pub fn is_project_alone(&self) -> bool {
        self.contact.is_none() && self.channel.is_none() && self.conversation.is_none()
    }

    /// The thread that `key` names; `None` for a key that no thread has.
    pub fn named_by(key: &ThreadKey) -> Option<Self> {
        let mut parts = key.0.split('#').map(unescaped);
        let (project, second, third) = (parts.next()?, parts.next()?, parts.next());
        let thread = match third {
            Some(channel) => Self { project, contact: Some(second), channel: Some(channel), conversation: None },
            None => Self { project, contact: None, channel: None, conversation: Some(second) },
        };
        parts.next().is_none().then_some(thread)
    }
}

/// Where a command for a thread is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The thread.
    pub thread: Thread,
    /// Its FIFO group.
    pub group_id: String,
}

fn unescaped(part: &str) -> String {
    part.replace("%23", "#").replace("%25", "%")
}

fn push_escaped(key: &mut String, part: &str) {
    for c in part.chars() {
        match c {
            '#' => key.push_str("%23"),
            '%' => key.push_str("%25"),
            c => key.push(c),
        }
    }
}

/// A thread's key in the hot store. It names a person: it is never logged (its `Debug` is a digest).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadKey(String);

impl ThreadKey {
    /// The key as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key read back from a store.
    pub fn stored(key: String) -> Self {
        Self(key)
    }

    /// A stable, evenly spread number of the key: shards the timer's index.
    pub fn spread(&self) -> u64 {
        Uuid::new_v5(&NAMESPACE, self.0.as_bytes()).as_u64_pair().1
    }
}

impl fmt::Debug for ThreadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread-{:016x}", self.spread())
    }
}

/// Identity of something that happened: the same for every copy of it, however often and by whichever way it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// Derives the id from the thread, the event's canonical type and what tells it apart from others of that type
    /// (its correlation id; else its message id; else the hash of its body).
    pub fn derive(thread: &ThreadKey, event_type: &str, discriminator: &str) -> Self {
        let name = [thread.as_str(), event_type, discriminator].join("\0");
        Self(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }
}

/// Identity of one stretch of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConversationId(pub Uuid);

impl ConversationId {
    /// Derives the id of the conversation that `opened_by` opens in `thread` with the head at `version`.
    ///
    /// The version keeps a message that comes again, long after its conversation closed, from reopening it.
    pub fn derive(thread: &ThreadKey, opened_by: EventId, version: u64) -> Self {
        let name = [thread.as_str().as_bytes(), b"\0", opened_by.0.as_bytes(), &version.to_be_bytes()].concat();
        Self(Uuid::new_v5(&NAMESPACE, &name))
    }

    /// The id of a conversation that an older service called `name` in `project`: `name` itself when it is a UUID.
    pub fn of_older(project: &str, name: &str) -> Self {
        let derived = || Uuid::new_v5(&NAMESPACE, ["older", project, name].join("\0").as_bytes());
        Self(name.parse().unwrap_or_else(|_| derived()))
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SQS's place of a delivery within its group: up to 128 bits (real values exceed `u64::MAX`), rising with time.
///
/// Written as a decimal string, since few readers of JSON keep integers beyond 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u128);

impl Serialize for Sequence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        digits.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(contact: &str, channel: &str) -> Thread {
        Thread { project: "p".into(), contact: Some(contact.into()), channel: Some(channel.into()), conversation: None }
    }

    #[test]
    fn a_separator_inside_a_part_does_not_make_two_threads_one() {
        assert_ne!(thread("a#b", "c").key(), thread("a", "b#c").key());
        assert_ne!(thread("a%23b", "c").key(), thread("a#b", "c").key());
        let chosen = Thread { project: "p".into(), contact: None, channel: None, conversation: Some("a#c".into()) };
        assert_ne!(chosen.key(), thread("a", "c").key());
    }

    #[test]
    fn a_key_names_its_thread() {
        for (contact, channel) in [("a#b", "c"), ("100%", "%23"), ("%2523", "#"), ("whatsapp:+55", "w")] {
            let thread = thread(contact, channel);
            assert_eq!(Thread::named_by(&thread.key()), Some(thread));
        }
        let chosen = Thread { project: "p".into(), contact: None, channel: None, conversation: Some("a#c".into()) };
        assert_eq!(Thread::named_by(&chosen.key()), Some(chosen));
    }

    #[test]
    fn a_group_is_named_so_that_a_person_can_read_it() {
        assert_eq!(thread("whatsapp:+55", "w").group_name(), "p:w:whatsapp:+55");
        let chosen = Thread { conversation: Some("6e9b".into()), ..thread("whatsapp:+55", "w") };
        assert_eq!(chosen.group_name(), "p:6e9b");
    }

    #[test]
    fn a_sequence_beyond_64_bits_survives_json() {
        let sequence = Sequence(18_882_245_240_547_823_616_999);
        let json = serde_json::to_string(&sequence).expect("json");
        assert_eq!(json, "\"18882245240547823616999\"");
        assert_eq!(serde_json::from_str::<Sequence>(&json).expect("sequence"), sequence);
    }

    #[test]
    fn a_thread_key_never_shows_the_contact() {
        assert!(!format!("{:?}", thread("whatsapp:+551199", "c").key()).contains("551199"));
    }
}
