//! What a check found, why it matters, and what to do about it.

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
    /// Why it matters; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What to do; absent when there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), why: None, advice: None }
    }

    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        advice: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Warning, found: found.into(), why: Some(why), advice: Some(advice.into()) }
    }

    pub(super) fn fault(
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Fault, ..Self::warning(check, found, why, advice) }
    }

    /// What cannot be looked at because its settings cannot be used.
    pub(super) fn not_looked_at(check: &'static str) -> Self {
        let why = "whatever is wrong there is not seen";
        Self::fault(check, "not looked at: its settings cannot be used", why, "mend the settings, then look again")
    }

    /// What did not come to an end.
    pub(super) fn too_slow(check: &'static str, seconds: u64) -> Self {
        let why = "the daemon waits for the same answers, and gives up sooner";
        let advice = "see that the network lets this machine through: name servers, routes, firewalls";
        Self::fault(check, format!("no end of looking within {seconds} s"), why, advice)
    }

    /// AWS did not answer, or not as asked. `named_by` is the setting, `right` the permission that the check needs: the daemon
    /// does without it, so a refusal is a warning.
    pub(super) fn unanswered<E, R>(check: &'static str, failure: &SdkError<E, R>, named_by: &str, right: &str) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let why = "nothing is received, kept or archived without it";
        match code(failure) {
            Some(code) if is_absent(code) => {
                let advice = format!("set {named_by} to one that does, or make it: conversationd provision");
                Self::fault(check, "does not exist", why, advice)
            }
            Some(code) if is_refusal(code) => {
                let advice = format!("give the role the right to {right}, or look with an operator's: --role operator");
                let why = "whatever else is wrong there is not seen";
                Self::warning(check, format!("this role may not look at it: {code}"), why, advice)
            }
            Some(code) => {
                let advice = "see that AWS_REGION, AWS_ENDPOINT_URL and the credentials are right";
                Self::fault(check, format!("AWS answers {code}"), why, advice)
            }
            None => {
                let advice = "see that the network, AWS_REGION, AWS_ENDPOINT_URL and credentials are right";
                Self::fault(check, format!("AWS does not answer: {}", root(failure)), why, advice)
            }
        }
    }
}

/// AWS's word for what failed, without what stands before it.
pub(super) fn code<E: ProvideErrorMetadata, R>(failure: &SdkError<E, R>) -> Option<&str> {
    failure.code().map(|code| code.rsplit(['.', '#']).next().unwrap_or(code))
}

/// Whether what was asked for is not there.
pub(super) fn is_absent(code: &str) -> bool {
    ["NonExistent", "DoesNotExist", "NotFound"].iter().any(|word| code.contains(word))
}

/// Whether somebody known was told no; unknown credentials are another matter.
pub(super) fn is_refusal(code: &str) -> bool {
    ["AccessDenied", "NotAuthorized", "UnauthorizedOperation"].iter().any(|word| code.contains(word))
}

/// The innermost cause: what the operating system or the network said.
fn root(failure: &dyn std::error::Error) -> String {
    let mut cause = failure;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
