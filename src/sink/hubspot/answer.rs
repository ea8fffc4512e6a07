//! What HubSpot answers, and what it means. Pure. Of an error nothing but its kind is kept: its message quotes values.

use std::time::Duration;

use serde_json::Value;

use super::WINDOW;
use crate::{
    http::{Answer, NoAnswer},
    sink::{Outcome, Verdict},
};

/// A day's limit is used up: look again after this.
const NEXT_LOOK: Duration = Duration::from_secs(3600);

/// A record is locked for a moment.
const LOCKED: Duration = Duration::from_secs(2);

/// The answer's JSON, or what to do.
pub(super) fn judge(answer: Result<Answer, NoAnswer>) -> Result<Value, Verdict> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(no_answer) => return Err(Verdict::of_http(&Err(no_answer))),
    };
    let (status, after) = (answer.status, answer.retry_after);
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let failed = |outcome| Err(Verdict::failed(outcome, Some(status), reason(status, &body)));
    match status {
        // a batch may have failed in part whatever its status
        200..=299 if body["numErrors"].as_u64().unwrap_or_default() > 0 => failed(Outcome::Refused { tries: 1 }),
        200..=299 => Ok(body),
        423 => failed(Outcome::Retry { after: Some(after.unwrap_or(LOCKED).max(LOCKED)) }),
        429 => {
            let wait = match body["policyName"].as_str() {
                Some("DAILY") => NEXT_LOOK,
                Some("SECONDLY") => Duration::from_secs(1),
                _ => WINDOW,
            };
            failed(Outcome::Throttled { after: Some(after.unwrap_or(wait)) })
        }
        477 => failed(Outcome::Throttled { after: Some(after.unwrap_or(NEXT_LOOK)) }),
        // what is wrong with a record stays wrong
        400 | 402 | 404..=407 | 409 | 411..=422 => failed(Outcome::Refused { tries: 1 }),
        410 => failed(Outcome::Misconfigured), // a version of the API that has ended
        _ => Err(Verdict { reason: Some(reason(status, &body)), ..Verdict::of_http(&Ok(answer)) }),
    }
}

/// The status and HubSpot's own category, if it is one: a word of capitals.
fn reason(status: u16, body: &Value) -> String {
    let of = |value: &Value| value["category"].as_str().or(value["errorType"].as_str()).map(str::to_owned);
    let category = of(body).or_else(|| of(&body["errors"][0]));
    let plain = |word: &String| word.len() <= 40 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    match category.filter(plain) {
        Some(category) => format!("answered {status} {category}"),
        None => format!("answered {status}"),
    }
}

/// The id of the one record that was upserted, and whether it is new.
pub(super) fn upserted(body: &Value) -> Result<(String, bool), Verdict> {
    let record = &body["results"][0];
    match record["id"].as_str().filter(|id| id.bytes().all(|b| b.is_ascii_digit()) && !id.is_empty()) {
        Some(id) => Ok((id.to_owned(), record["new"].as_bool().unwrap_or_default())),
        None => Err(Verdict::failed(Outcome::Retry { after: None }, None, "the answer names no record")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: u16, body: &Value, after: Option<u64>) -> Result<Answer, NoAnswer> {
        Ok(Answer { status, retry_after: after.map(Duration::from_secs), body: body.to_string().into_bytes() })
    }

    #[test]
    fn hubspot_classify_table() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let ten = json!({ "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING" });
        let daily = json!({ "errorType": "RATE_LIMIT", "policyName": "DAILY" });
        for (status, body, after, outcome) in [
            (
                200,
                json!({ "numErrors": 1, "errors": [{ "category": "VALIDATION_ERROR" }] }),
                None,
                Outcome::Refused { tries: 1 },
            ),
            (207, json!({ "numErrors": 1 }), None, Outcome::Refused { tries: 1 }),
            (400, json!({ "category": "VALIDATION_ERROR" }), None, Outcome::Refused { tries: 1 }),
            (409, json!({ "category": "CONFLICT" }), None, Outcome::Refused { tries: 1 }),
            (401, json!({}), None, Outcome::Misconfigured),
            (403, json!({ "category": "MISSING_SCOPES" }), None, Outcome::Misconfigured),
            (423, json!({}), None, Outcome::Retry { after: seconds(2) }),
            (429, ten, None, Outcome::Throttled { after: seconds(10) }),
            (429, daily, None, Outcome::Throttled { after: seconds(3_600) }),
            (429, json!({}), Some(3), Outcome::Throttled { after: seconds(3) }),
            (477, json!({}), Some(60), Outcome::Throttled { after: seconds(60) }),
            (502, json!({}), None, Outcome::Retry { after: None }),
            (521, json!({}), None, Outcome::Retry { after: None }),
        ] {
            let verdict = judge(said(status, &body, after)).expect_err("no success");
            assert_eq!(verdict.outcome, outcome, "{status} {body}");
        }
        assert!(judge(said(201, &json!({ "numErrors": 0 }), None)).is_ok());
    }

    #[test]
    fn a_reason_repeats_no_value() {
        let body = json!({ "category": "VALIDATION_ERROR", "message": "hunter2" });
        assert_eq!(reason(400, &body), "answered 400 VALIDATION_ERROR");
        assert_eq!(reason(400, &json!({ "category": "hunter2" })), "answered 400");
    }

    #[test]
    fn an_id_that_is_none_is_not_put_into_a_path() {
        for id in [json!("../x"), json!(""), json!(512), json!(null)] {
            assert!(upserted(&json!({ "results": [{ "id": id }] })).is_err());
        }
        assert_eq!(upserted(&json!({ "results": [{ "id": "512", "new": true }] })), Ok(("512".into(), true)));
    }
}
