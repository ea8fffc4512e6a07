//! Why an event was not taken: what goes with it into the dead-letter queue.
//!
//! Nothing in a rejection comes from the body: fields and reasons are this program's own words. A phone number must
//! not reach a log by way of an error.

use serde::{Deserialize, Serialize};

use crate::domain::TooMuch;

/// What is wrong with an event, in a word an operator can filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body, or the text inside its wrapper, is not JSON.
    InvalidJson,
    /// The body is over its limit.
    TooLarge,
    /// Nested, or wrapped, more often than the limit.
    TooDeep,
    /// Nothing says what happened.
    MissingEventType,
    /// Not a name of the contract.
    UnknownEventType,
    /// A required field is absent, null or blank.
    MissingField,
    /// A field has another type than the contract says.
    WrongType,
    /// A string is over its limit.
    TooLong,
    /// A list or an object has more entries than its limit.
    TooMany,
    /// A value of the right type, but none of those allowed.
    OutOfRange,
    /// An answer is wanted where none may be sent.
    ReplyNotAllowed,
    /// Only requests come by the request queue.
    NotARequest,
    /// Its signature is not what it should be.
    NotVerified,
    /// Whoever sent it may not send for this project.
    SenderNotAllowed,
}

impl Code {
    /// The code as a dead letter says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::MissingEventType => "missing_event_type",
            Self::UnknownEventType => "unknown_event_type",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::OutOfRange => "out_of_range",
            Self::ReplyNotAllowed => "reply_not_allowed",
            Self::NotARequest => "not_a_request",
            Self::NotVerified => "not_verified",
            Self::SenderNotAllowed => "sender_not_allowed",
        }
    }
}

/// An event that cannot be taken, now or on any later try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {reason}", .field.as_deref().unwrap_or("body"))]
pub struct Rejection {
    /// What is wrong.
    pub code: Code,
    /// The field at fault, by the contract's name for it.
    pub field: Option<String>,
    /// For a person to read.
    pub reason: String,
}

impl Rejection {
    /// The queue that a request wants its answer in is not on the list.
    pub fn reply_not_allowed() -> Self {
        Self::field(Code::ReplyNotAllowed, "reply_to", "is not among the reply queues of the settings")
    }

    /// An event that changes a thread came by the request queue, where no group keeps its order.
    pub fn not_a_request() -> Self {
        Self::field(Code::NotARequest, "event_type", "must be a request: events belong into the inbound queue")
    }

    /// A webhook that nobody's secret verifies. `reason` is of our own words.
    pub fn not_verified(reason: String) -> Self {
        Self { code: Code::NotVerified, field: Some("signature".to_owned()), reason }
    }

    /// Its sender is not bound to its project.
    pub fn sender_not_allowed() -> Self {
        Self::body(Code::SenderNotAllowed, "was sent by whoever may not send for its project")
    }

    /// Fault of the body as a whole.
    pub(super) fn body(code: Code, reason: &'static str) -> Self {
        Self { code, field: None, reason: reason.to_owned() }
    }

    /// Fault of one field. Both texts are static, so that neither can quote a value.
    pub(super) fn field(code: Code, field: &'static str, reason: &'static str) -> Self {
        Self { code, field: Some(field.to_owned()), reason: reason.to_owned() }
    }

    /// A required field is not there.
    pub(super) fn missing(field: &'static str) -> Self {
        Self::field(Code::MissingField, field, "is required")
    }

    /// A string over `limit` bytes.
    pub(super) fn too_long(field: &'static str, limit: usize) -> Self {
        let reason = format!("must be at most {limit} bytes");
        Self { code: Code::TooLong, field: Some(field.to_owned()), reason }
    }

    /// A number of seconds outside its range.
    pub(super) fn seconds(field: &'static str, range: &std::ops::RangeInclusive<u64>) -> Self {
        let reason = format!("must be a whole number of seconds, {} to {}", range.start(), range.end());
        Self { code: Code::OutOfRange, field: Some(field.to_owned()), reason }
    }

    /// A value over `limit` bytes as JSON.
    pub(super) fn too_large(field: &'static str, limit: usize) -> Self {
        let reason = format!("must be at most {limit} bytes as JSON");
        Self { code: Code::TooLarge, field: Some(field.to_owned()), reason }
    }

    /// What all updates of a conversation add up to would be too much.
    pub fn grown(too_much: TooMuch) -> Self {
        Self { code: Code::TooLarge, field: Some(too_much.field.to_owned()), reason: too_much.to_string() }
    }

    /// A list or an object with more than `limit` entries.
    pub(super) fn too_many(field: &'static str, limit: usize) -> Self {
        let reason = format!("must have at most {limit} entries");
        Self { code: Code::TooMany, field: Some(field.to_owned()), reason }
    }

    /// Text that is not JSON. The parser's own message may quote the text: only its kind and place are kept.
    pub(super) fn json(field: Option<&'static str>, error: &serde_json::Error) -> Self {
        let field = field.map(str::to_owned);
        // The parser counts this among syntax errors; its message is the only thing that tells it apart.
        if error.to_string().starts_with("recursion limit exceeded") {
            return Self { code: Code::TooDeep, field, reason: "is nested too deeply".to_owned() };
        }
        let what = if error.is_eof() { "ends before its JSON does" } else { "is not JSON" };
        let reason = format!("{what} (line {}, column {})", error.line(), error.column());
        Self { code: Code::InvalidJson, field, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_in_snake_case() {
        let rejection = Rejection::field(Code::UnknownEventType, "key", "is not handled");
        let json = serde_json::to_string(&rejection).expect("json");
        assert_eq!(json, r#"{"code":"unknown_event_type","field":"key","reason":"is not handled"}"#);
        assert_eq!(serde_json::from_str::<Rejection>(&json).expect("rejection"), rejection);
    }

    #[test]
    fn a_rejection_reads_as_a_field_and_its_fault() {
        assert_eq!(Rejection::missing("project_uuid").to_string(), "project_uuid: is required");
        assert_eq!(Rejection::body(Code::TooLarge, "is too large").to_string(), "body: is too large");
    }
}
