//! What an answer comes to, and the envelope it goes in.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    archive::ArchiveError,
    event::{Question, Request},
    hot::HotError,
};

/// Bytes of a reply that are not the answer's: names, status, reason, the longest correlation id.
pub(super) const ENVELOPE: usize = 1_024;

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    Empty,
    NotFound,
    Rejected,
    Expired,
    Error,
}

impl Status {
    pub(super) const ALL: [Self; 6] =
        [Self::Ok, Self::Empty, Self::NotFound, Self::Rejected, Self::Expired, Self::Error];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Error => "error",
        }
    }
}

pub(super) fn reply_name(request: &str) -> String {
    format!("{request}.reply")
}

/// Why there is no answer. What it says quotes nothing of the question.
#[derive(Debug, Error)]
pub(super) enum Unanswered {
    #[error(transparent)]
    Hot(#[from] HotError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("it took too long")]
    Late,
    /// All permits are out.
    #[error("too many are being answered")]
    Busy,
    #[error("a fault of the daemon")]
    Fault,
    /// The question is wrong.
    #[error("{0}")]
    Refused(&'static str),
    /// There is no such thing in the project.
    #[error("there is no such conversation")]
    NotFound,
}

impl Unanswered {
    /// Whether it is not the asker's doing.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::NotFound)
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Hot(_) => "the hot store cannot be read now",
            Self::Archive(_) => "the archive cannot be read now",
            Self::Late => "it took too long",
            Self::Busy => "too many questions are being answered; ask again",
            Self::Fault => "a fault of the daemon",
            Self::Refused(reason) => reason,
            Self::NotFound => "there is no such conversation",
        }
    }
}

/// What is told to the asker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) reason: Option<&'static str>,
    pub(super) content: Value,
}

impl Outcome {
    pub(super) fn ok(content: Value) -> Self {
        Self { status: Status::Ok, reason: None, content }
    }

    pub(super) fn expired() -> Self {
        let reason = Some("its deadline had passed when its turn came");
        Self { status: Status::Expired, reason, content: Value::Null }
    }

    /// A context that could not be had is an empty one: whoever builds a prompt goes on with what it has.
    pub(super) fn unanswered(request: &Request, why: &Unanswered) -> Self {
        let context = matches!(request.question, Question::Context(_));
        let status = match why {
            Unanswered::Refused(_) => Status::Rejected,
            Unanswered::NotFound => Status::NotFound,
            _ if context => Status::Empty,
            _ => Status::Error,
        };
        let content = match status {
            Status::Empty => {
                json!({"messages": [], "receipt": {"tokens": 0, "messages_kept": 0, "warning": why.reason()}})
            }
            _ => Value::Null,
        };
        Self { status, reason: Some(why.reason()), content }
    }

    /// The reply's body, never over `most` bytes.
    pub(super) fn into_body(self, request: &Request, most: usize) -> String {
        let body = self.envelope(request);
        if body.len() <= most {
            return body;
        }
        let reason = Some("the answer is larger than a reply may be; ask for less");
        Self { status: Status::Error, reason, content: Value::Null }.envelope(request)
    }

    fn envelope(&self, request: &Request) -> String {
        let mut envelope = Map::new();
        envelope.insert("event_type".to_owned(), reply_name(request.name()).into());
        if let Some(id) = &request.correlation_id {
            envelope.insert("correlation_id".to_owned(), id.as_str().into());
        }
        envelope.insert("status".to_owned(), self.status.as_str().into());
        if let Some(reason) = self.reason {
            envelope.insert("reason".to_owned(), reason.into());
        }
        envelope.insert("data".to_owned(), self.content.clone());
        Value::Object(envelope).to_string()
    }
}

/// What is left of a reply's bytes for whole entries of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(usize);

impl Room {
    /// In a reply of `bytes`, beside its envelope and `beside`.
    pub(super) fn in_reply(bytes: usize, beside: &Value) -> Self {
        Self(bytes.saturating_sub(ENVELOPE + beside.to_string().len()))
    }

    /// Takes room for an entry, if there is so much.
    pub(super) fn take(&mut self, entry: &Value) -> bool {
        let needed = entry.to_string().len() + 1;
        let fits = needed <= self.0;
        if fits {
            self.0 -= needed;
        }
        fits
    }
}
