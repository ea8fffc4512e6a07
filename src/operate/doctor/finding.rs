//! What a check found, and what to do about it.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it must be.
    Ok,
    /// It works, and will hurt some day.
    Warning,
    /// It does not work, or loses something.
    Fault,
}

impl Level {
    /// The mark before a line.
    pub(super) fn mark(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warning => '!',
            Self::Fault => '✗',
        }
    }
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do; absent when there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), advice: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fault(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Fault, found: found.into(), advice: Some(advice.into()) }
    }

    /// What cannot be looked at because its settings cannot be used.
    pub(super) fn not_looked_at(check: &'static str) -> Self {
        Self::fault(check, "not looked at: its settings cannot be used", "mend the settings, then look again")
    }

    /// AWS did not answer, or not as asked. `named_by` is the setting, `right` the permission that the check needs.
    pub(super) fn unanswered<E, R>(check: &'static str, failure: &SdkError<E, R>, named_by: &str, right: &str) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        match failure.code().map(|code| code.rsplit(['.', '#']).next().unwrap_or(code)) {
            Some(code)
                if code.contains("NonExistent") || code.contains("DoesNotExist") || code.contains("NotFound") =>
            {
                let advice = format!("set {named_by} to one that does, or make it: conversationd provision");
                Self::fault(check, "does not exist", advice)
            }
            Some(code) => {
                Self::fault(check, format!("AWS answers {code}"), format!("give the role the right to {right}"))
            }
            None => {
                let advice = "see that the network, AWS_REGION, AWS_ENDPOINT_URL and credentials are right";
                Self::fault(check, format!("AWS does not answer: {}", root(failure)), advice)
            }
        }
    }
}

/// The innermost cause: what the operating system or the network said.
fn root(failure: &dyn std::error::Error) -> String {
    let mut cause = failure;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
