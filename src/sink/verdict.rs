//! What came of one attempt, as the relay must act on it.

use std::time::Duration;

use crate::http::{Answer, NoAnswer};

/// What the relay does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// The sink is in trouble: try again, and count it for the breaker.
    Retry {
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
    /// The sink asks for fewer requests: nobody sends for a while. Not counted for the breaker.
    Throttled {
        /// For how long.
        after: Option<Duration>,
    },
    /// The sink does not take this notice: given up after so many tries. Not counted for the breaker.
    Refused {
        /// Tries, this one included.
        tries: u32,
    },
    /// The sink does not take anything from us as it is set up: it is paused, and nothing is lost.
    Misconfigured,
    /// The sink is gone and says so: it is disabled.
    Gone,
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the relay does next.
    pub outcome: Outcome,
    /// The receiver's status, where it has one.
    pub status: Option<u16>,
    /// Why, in our words.
    pub reason: Option<String>,
    /// The record of a CRM that was written into.
    pub wrote: Option<Box<Written>>,
}

/// A record of a CRM, and what was written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The account.
    pub account: String,
    /// The record's id.
    pub crm_id: String,
    /// Properties, and digests of their values.
    pub properties: Vec<(String, [u8; 32])>,
}

impl Verdict {
    /// It arrived.
    pub fn delivered(status: Option<u16>) -> Self {
        Self { outcome: Outcome::Delivered, status, reason: None, wrote: None }
    }

    /// It did not.
    pub fn failed(outcome: Outcome, status: Option<u16>, reason: impl Into<String>) -> Self {
        Self { outcome, status, reason: Some(reason.into()), wrote: None }
    }

    /// The sink has no use for a notice of this kind or content.
    pub(super) fn not_for_it() -> Self {
        Self { reason: Some("nothing in it for this sink".into()), ..Self::delivered(None) }
    }

    /// What an HTTP receiver said, or did not say.
    pub fn of_http(answer: &Result<Answer, NoAnswer>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(NoAnswer::Blocked) => {
                return Self::failed(Outcome::Misconfigured, None, NoAnswer::Blocked.to_string());
            }
            Err(NoAnswer::Unfit) => return Self::failed(Outcome::Misconfigured, None, NoAnswer::Unfit.to_string()),
            Err(other) => return Self::failed(Outcome::Retry { after: None }, None, other.to_string()),
        };
        let status = answer.status;
        if answer.is_success() {
            return Self::delivered(Some(status));
        }
        Self::failed(of_status(status, answer.retry_after), Some(status), format!("answered {status}"))
    }
}

fn of_status(status: u16, after: Option<Duration>) -> Outcome {
    match status {
        401 | 403 | 407 => Outcome::Misconfigured,
        410 => Outcome::Gone,
        429 => Outcome::Throttled { after },
        408 | 425 | 500..=599 => Outcome::Retry { after },
        300..=399 => Outcome::Retry { after: None }, // a redirect is never followed
        _ => Outcome::Refused { tries: 3 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16) -> Result<Answer, NoAnswer> {
        Ok(Answer { status, retry_after: Some(Duration::from_secs(7)), body: Vec::new() })
    }

    #[test]
    fn classify_table() {
        let after = Some(Duration::from_secs(7));
        for (statuses, outcome) in [
            (&[200, 201, 202, 204, 299][..], Outcome::Delivered),
            (&[408, 425, 500, 502, 503, 504, 521, 599], Outcome::Retry { after }),
            (&[301, 302, 307, 308], Outcome::Retry { after: None }),
            (&[429], Outcome::Throttled { after }),
            (&[401, 403, 407], Outcome::Misconfigured),
            (&[410], Outcome::Gone),
            (&[400, 404, 409, 413, 422, 100], Outcome::Refused { tries: 3 }),
        ] {
            for status in statuses {
                assert_eq!(Verdict::of_http(&said(*status)).outcome, outcome, "{status}");
            }
        }
        for (none, outcome) in [
            (NoAnswer::Blocked, Outcome::Misconfigured),
            (NoAnswer::Unfit, Outcome::Misconfigured),
            (NoAnswer::Timeout, Outcome::Retry { after: None }),
            (NoAnswer::Unreachable, Outcome::Retry { after: None }),
            (NoAnswer::Broken, Outcome::Retry { after: None }),
        ] {
            assert_eq!(Verdict::of_http(&Err(none)).outcome, outcome, "{none:?}");
        }
    }
}
