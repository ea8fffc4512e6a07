//! `project.updated`: when a project's conversations close.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::domain::ProjectSettings;

use super::fields::{Fields, required};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape, given};
use super::thread;

/// The event's name on the wire.
pub(super) const NAME: &str = "project.updated";

const DAY: u64 = 86_400;

const IDLE: RangeInclusive<u64> = 1..=365 * DAY;
const MAX_AGE: RangeInclusive<u64> = 60..=365 * DAY;
const GRACE: RangeInclusive<u64> = 0..=DAY;

/// Writes the body that decodes to `settings` of `project`: operators send it into the queue.
pub fn to_body(project: &str, settings: &ProjectSettings) -> String {
    let mut policy = Map::new();
    let seconds = [
        ("idle_seconds", settings.idle_seconds),
        ("max_age_seconds", settings.max_age_seconds),
        ("grace_seconds", settings.grace_seconds),
    ];
    for (field, seconds) in seconds {
        seconds.map(|seconds| policy.insert(field.to_owned(), seconds.into()));
    }
    settings.close_at_midnight.map(|at| policy.insert("close_at_midnight".to_owned(), at.into()));
    let mut data = Map::new();
    settings.timezone.map(|zone| data.insert("timezone".to_owned(), zone.name().into()));
    if !policy.is_empty() {
        data.insert("close_policy".to_owned(), Value::Object(policy));
    }
    thread::body(NAME, &thread::project_alone(project.to_owned()), data)
}

/// Reads what a project says. What is absent stays as it was; whoever names a zone that does not exist keeps the old one.
///
/// # Errors
/// It says nothing, names a zone that does not exist, or has a field of another type or outside its range.
pub(super) fn read(data: &mut Fields) -> Result<ProjectSettings, Rejection> {
    let timezone = match data.label("timezone")? {
        Some(name) => Some(name.trim().parse().map_err(|_| {
            let reason = "must be the name of an IANA time zone, such as America/Sao_Paulo; the old one stays";
            Rejection::field(Code::OutOfRange, "timezone", reason)
        })?),
        None => None,
    };
    let mut policy = data.object("close_policy")?.map(Fields::of).unwrap_or_default();
    let settings = ProjectSettings {
        timezone,
        close_at_midnight: policy.flag("close_policy.close_at_midnight")?,
        idle_seconds: policy.seconds("close_policy.idle_seconds", IDLE)?,
        max_age_seconds: policy.seconds("close_policy.max_age_seconds", MAX_AGE)?,
        grace_seconds: policy.seconds("close_policy.grace_seconds", GRACE)?,
    };
    let said = (settings != ProjectSettings::default()).then_some(settings);
    required(said, "timezone")
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    let zone = "The IANA time zone of its midnight, such as America/Sao_Paulo.";
    let policy = Shape::default()
        .may("close_at_midnight", Form::flag().says("Whether its conversations close at midnight."))
        .may("idle_seconds", Form::seconds(&IDLE).says("Silence that closes a conversation."))
        .may("max_age_seconds", Form::seconds(&MAX_AGE).says("Age at which a conversation closes, whatever is said."))
        .may(
            "grace_seconds",
            Form::seconds(&GRACE).says("Silence after a session's end that closes its conversation."),
        );
    let fields = ["close_at_midnight", "idle_seconds", "max_age_seconds", "grace_seconds"];
    let one_of_them = json!({"anyOf": fields.map(|field| given(&[field]))});
    let some_policy = json!({"required": ["close_policy"], "properties": {"close_policy": {"allOf": [{"type": "object"}, one_of_them]}}});
    Shape::default()
        .of_project()
        .may("timezone", Form::label().says(zone))
        .may("close_policy", Form::object(policy).says("When its conversations close. What is absent stays as it was."))
        .rule(json!({"anyOf": [given(&["timezone"]), some_policy]}))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;
    use crate::event::Kind;
    use crate::event::testing::decode_body;

    fn decoded(data: Value) -> Result<ProjectSettings, Rejection> {
        let event = decode_body(&json!({"event_type": NAME, "data": data}).to_string())?;
        assert_eq!((event.thread.project.as_str(), event.thread.contact), ("p", None));
        match event.kind {
            Kind::ProjectUpdated(settings) => Ok(settings),
            other => panic!("not a project: {other:?}"),
        }
    }

    #[test]
    fn a_project_needs_no_thread_and_says_when_its_conversations_close() {
        let policy = json!({"close_at_midnight": true, "idle_seconds": 3600, "grace_seconds": "0"});
        let settings = decoded(json!({"project_uuid": "p", "timezone": "America/Sao_Paulo", "close_policy": policy}));
        let settings = settings.expect("settings");
        assert_eq!((settings.timezone, settings.close_at_midnight), (Some(Tz::America__Sao_Paulo), Some(true)));
        assert_eq!((settings.idle_seconds, settings.grace_seconds), (Some(3600), Some(0)));
        let body: Value = serde_json::from_str(&to_body("p", &settings)).expect("json");
        assert_eq!(decoded(body["data"].clone()), Ok(settings));
    }

    #[test]
    fn a_wrong_zone_or_time_is_said_to_be_wrong() {
        for (data, code, field) in [
            (json!({"project_uuid": "p", "timezone": "Mars/Olympus"}), Code::OutOfRange, "timezone"),
            (json!({"project_uuid": "p", "timezone": -3}), Code::WrongType, "timezone"),
            (json!({"project_uuid": "p", "timezone": "-03:00"}), Code::OutOfRange, "timezone"),
            (json!({"project_uuid": "p"}), Code::MissingField, "timezone"),
            (json!({"timezone": "UTC"}), Code::MissingField, "project_uuid"),
            (
                json!({"project_uuid": "p", "close_policy": {"idle_seconds": 0}}),
                Code::OutOfRange,
                "close_policy.idle_seconds",
            ),
            (
                json!({"project_uuid": "p", "close_policy": {"close_at_midnight": "maybe"}}),
                Code::OutOfRange,
                "close_policy.close_at_midnight",
            ),
        ] {
            let rejection = decoded(data).expect_err("no settings");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)));
        }
    }
}
