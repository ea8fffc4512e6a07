//! `survey.csat`, `survey.nps`, and the scores and custom answers that travel as messages with a `key` and a `value`.

use std::ops::RangeInclusive;

use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::{Value, json};

use crate::domain::{Rating, RatingKind};

use super::Raw;
use super::envelope::Envelope;
use super::fields::{Fields, ID_LIMIT, LABEL_LIMIT, is_blank, required};
use super::identity::Identity;
use super::name::Name;
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use super::{message, time};

/// The publishers' key of a CSAT score.
const CSAT: &str = "weni_csat";

/// The publishers' key of an NPS score.
const NPS: &str = "weni_nps";

/// CSAT scores.
pub(super) const CSAT_SCORES: RangeInclusive<u8> = 1..=5;

/// NPS scores.
pub(super) const NPS_SCORES: RangeInclusive<u8> = 0..=10;

/// Reads a rating in any of its forms. The message it travels as is none: its text, if there is any, is the comment.
///
/// # Errors
/// No key or value, a score that is not one, or a field of another type or over its limit.
pub(super) fn read(
    name: Name,
    envelope: &mut Envelope,
    identity: Identity<'_>,
    raw: &Raw<'_>,
) -> Result<Rating, Rejection> {
    let key = match name {
        Name::SurveyCsat => CSAT.to_owned(),
        Name::SurveyNps => NPS.to_owned(),
        _ => required(envelope.holder("key").id("key", ID_LIMIT)?, "key")?,
    };
    let kind = match key.as_str() {
        CSAT => RatingKind::Csat,
        NPS => RatingKind::Nps,
        _ => RatingKind::Custom,
    };
    let given = required(envelope.holder("value").take("value"), "value")?;
    let (value, score) = match kind {
        RatingKind::Csat => scored(&given, CSAT_SCORES, "must be a whole number, 1 to 5")?,
        RatingKind::Nps => scored(&given, NPS_SCORES, "must be a whole number, 0 to 10")?,
        RatingKind::Custom => (custom(given)?, None),
    };
    let mut message = envelope.data.object("message")?.map(Fields::of).unwrap_or_default();
    let mut external_id = message.id("message.id", ID_LIMIT)?;
    if external_id.is_none() {
        external_id = message.id("message.message_id", ID_LIMIT)?;
    }
    let answered_at = answered_at(&mut message, &mut envelope.data).unwrap_or_else(|| raw.sent_at.trunc_subsecs(6));
    let comment = [envelope.data.text("comment")?, message.text("message.text")?];
    Ok(Rating {
        event_id: identity.of(&["rating:", &key].concat(), external_id.as_deref()),
        kind,
        key,
        value,
        score,
        comment: comment.into_iter().find(|comment| !is_blank(comment)),
        agent_id: envelope.data.id("agent_id", ID_LIMIT)?.or(message.id("message.agent_id", ID_LIMIT)?),
        answered_at,
        received_at: raw.sent_at,
        sequence: raw.sequence,
    })
}

/// What `read` reads of a survey whose scores are these.
pub(super) fn survey_shape(scores: &RangeInclusive<u8>) -> Shape {
    shape().must("value", Form::any().but(score_form(scores)).says("The score, or its digits in a string."))
}

/// What `read` reads of a score or an answer that travels as a message, with its key and its value in the data.
pub(super) fn scored_shape() -> Shape {
    let keyed = |key: &str, form: Value| json!({"if": {"properties": {"key": {"const": key}}, "required": ["key"]}, "then": {"properties": {"value": form}}});
    let value = Form::answer(LABEL_LIMIT).says("The score; for any other key, an answer of any kind.");
    shape()
        .must("key", Form::id(ID_LIMIT).says("`weni_csat`, `weni_nps`, or any other name: a custom answer."))
        .must("value", value)
        .rule(keyed(CSAT, score_form(&CSAT_SCORES)))
        .rule(keyed(NPS, score_form(&NPS_SCORES)))
}

fn shape() -> Shape {
    let message = message::identified(Shape::default())
        .may("text", Form::text().says("The comment, if there is no other."))
        .may("agent_id", Form::id(ID_LIMIT).says("The agent, if the data names none."))
        .may("created_at", Form::time());
    Shape::default()
        .in_thread()
        .may("comment", Form::text().says("What was said with it."))
        .may("agent_id", Form::id(ID_LIMIT).says("The agent that is rated."))
        .may("answered_at", Form::time().says("When it was given. Missing or unreadable, the queue's time stands in."))
        .may("created_at", Form::time().says("The same, read last."))
        .may("message", Form::object(message).says("The message that it travels as. It is not kept as one."))
}

/// A score, or its digits: read by `scored`.
fn score_form(scores: &RangeInclusive<u8>) -> Value {
    let digits =
        if *scores.end() > 9 { "([0-9]|10)".to_owned() } else { format!("[{}-{}]", scores.start(), scores.end()) };
    json!({"type": ["integer", "string"], "minimum": scores.start(), "maximum": scores.end(),
        "pattern": format!(r"^\s*\+?0*{digits}\s*$")})
}

fn answered_at(message: &mut Fields, data: &mut Fields) -> Option<DateTime<Utc>> {
    let times = [message.take("message.created_at"), data.take("answered_at"), data.take("created_at")];
    times.iter().flatten().find_map(time::read)
}

/// A score, and its digits.
fn scored(given: &Value, range: RangeInclusive<u8>, reason: &'static str) -> Result<(String, Option<u8>), Rejection> {
    let number = match given {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => return Err(Rejection::field(Code::WrongType, "value", "must be a number, or its digits in a string")),
    };
    match number.map(u8::try_from) {
        Some(Ok(score)) if range.contains(&score) => Ok((score.to_string(), Some(score))),
        _ => Err(Rejection::field(Code::OutOfRange, "value", reason)),
    }
}

/// A custom answer as text: a string as it is, anything else as JSON.
fn custom(given: Value) -> Result<String, Rejection> {
    let text = match given {
        Value::String(text) => text,
        value => value.to_string(),
    };
    if text.len() > LABEL_LIMIT { Err(Rejection::too_long("value", LABEL_LIMIT)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventId;
    use crate::event::testing::{decode_body, sent_at, thread_key};
    use crate::event::{Event, Kind};

    fn rating(event: Event) -> Rating {
        let Kind::Rating(rating) = event.kind else { panic!("not a rating") };
        assert_eq!(rating.event_id, event.id);
        *rating
    }

    fn survey(name: &str, value: Value) -> Result<Rating, Rejection> {
        let data = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch", "value": value});
        decode_body(&json!({"event_type": name, "correlation_id": "r", "data": data}).to_string()).map(rating)
    }

    /// As a message: with key and value in the data, or beside it.
    fn piggy_backed(inside: bool, key: &str, value: Value) -> Result<Rating, Rejection> {
        let message = json!({"id": "m", "text": "", "source": "system", "created_at": "2026-03-01T12:40:00-03:00"});
        let mut data = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch", "message": message});
        let mut body = json!({"event_type": "message.received", "correlation_id": "r"});
        let at = if inside { &mut data } else { &mut body };
        at["key"] = json!(key);
        at["value"] = value;
        body["data"] = data;
        decode_body(&body.to_string()).map(rating)
    }

    #[test]
    fn a_score_is_the_same_in_every_form() {
        for value in [json!(5), json!("5"), json!(" 5 ")] {
            let explicit = survey("survey.csat", value.clone()).expect("a rating");
            assert_eq!((explicit.kind, explicit.key.as_str(), explicit.score), (RatingKind::Csat, CSAT, Some(5)));
            assert_eq!((explicit.value.as_str(), explicit.answered_at), ("5", sent_at()));
            for inside in [true, false] {
                let other = piggy_backed(inside, CSAT, value.clone()).expect("a rating");
                let answered_at = "2026-03-01T15:40:00Z".parse().expect("a time");
                assert_eq!(other, Rating { answered_at, ..explicit.clone() });
            }
        }
        assert_eq!(survey("survey.csat", json!(1)).expect("a rating").event_id, {
            EventId::derive(&thread_key("p", "c", "ch"), "rating:weni_csat", "r")
        });
    }

    #[test]
    fn zero_is_a_score_for_nps_and_none_for_csat() {
        for value in [json!(0), json!("0")] {
            assert_eq!(survey("survey.nps", value.clone()).expect("a rating").score, Some(0));
            assert_eq!(piggy_backed(true, NPS, value.clone()).expect("a rating").score, Some(0));
            assert_eq!(survey("survey.csat", value).expect_err("no score").code, Code::OutOfRange);
        }
    }

    #[test]
    fn what_is_no_score_is_rejected() {
        for (name, value, code) in [
            ("survey.csat", json!(6), Code::OutOfRange),
            ("survey.csat", json!(-1), Code::OutOfRange),
            ("survey.csat", json!(4.5), Code::OutOfRange),
            ("survey.csat", json!("five"), Code::OutOfRange),
            ("survey.csat", json!(true), Code::WrongType),
            ("survey.csat", json!(null), Code::MissingField),
            ("survey.nps", json!(11), Code::OutOfRange),
            ("survey.nps", json!(256), Code::OutOfRange),
            ("survey.nps", json!([7]), Code::WrongType),
        ] {
            let rejection = survey(name, value.clone()).expect_err("no score");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some("value")), "{name} {value}");
        }
    }

    #[test]
    fn a_custom_answer_is_kept_as_it_was_given() {
        for (value, text) in
            [(json!("a lot"), "a lot"), (json!(7.5), "7.5"), (json!(false), "false"), (json!([1]), "[1]")]
        {
            let rating = piggy_backed(false, "would_recommend", value).expect("a rating");
            assert_eq!((rating.kind, rating.key.as_str()), (RatingKind::Custom, "would_recommend"));
            assert_eq!((rating.value.as_str(), rating.score), (text, None));
        }
        let long = piggy_backed(true, "k", json!("x".repeat(LABEL_LIMIT + 1))).expect_err("too long");
        assert_eq!(long.code, Code::TooLong);
    }

    #[test]
    fn a_text_that_comes_with_a_score_is_its_comment() {
        let data = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch", "key": "weni_nps", "value": 9,
                          "message": {"text": "very kind", "agent_id": "a-1"}});
        let rating = decode_body(&json!({"event_type": "message.received", "data": data}).to_string()).map(rating);
        let rating = rating.expect("a rating");
        assert_eq!((rating.comment.as_deref(), rating.agent_id.as_deref()), (Some("very kind"), Some("a-1")));
    }
}
