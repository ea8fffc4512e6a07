//! What an endpoint answered → how a conversation ended. Pure. Whatever is not such an answer is refused as a whole, and nothing
//! of it is repeated.

use serde_json::{Map, Value};

use crate::{config::Protocol, domain::Classification, http::chat};

/// How the conversation ended, as the endpoint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) resolution: u8,
    pub(super) topic: Option<String>,
    pub(super) subtopic: Option<String>,
}

/// Reads an answer.
///
/// # Errors
/// It is none; why, in our words.
pub(super) fn read(protocol: &Protocol, body: &[u8]) -> Result<Heard, &'static str> {
    let object = match protocol {
        Protocol::Plain => serde_json::from_slice(body).map_err(|_| "the answer is not JSON, or too long")?,
        Protocol::OpenAi { .. } => object_in(&chat::said(body)?).ok_or("the model's answer is not a JSON object")?,
    };
    let Value::Object(object) = object else { return Err("the answer is not a JSON object") };
    let resolution = object.get("resolution").and_then(resolution).ok_or("the answer has no resolution of 0 to 3")?;
    let (topic, subtopic) = (topic(&object, "topic")?, topic(&object, "subtopic")?);
    // a subtopic of nothing is of no use
    Ok(Heard { resolution, subtopic: subtopic.filter(|_| topic.is_some()), topic })
}

/// The object in what a model says, who may put it into a fence.
fn object_in(content: &str) -> Option<Value> {
    serde_json::from_str(content.get(content.find('{')?..=content.rfind('}')?)?).ok()
}

/// A number, its digit, or its name.
fn resolution(said: &Value) -> Option<u8> {
    let number = match said {
        Value::String(text) => {
            let text = text.trim().to_lowercase().replace(['_', '-'], " ");
            match text.as_str() {
                "resolved" => Some(0),
                "unresolved" => Some(1),
                "in progress" => Some(2),
                "unclassified" => Some(3),
                digit => digit.parse().ok(),
            }
        }
        said => said.as_u64(),
    };
    number.and_then(|number| u8::try_from(number).ok()).filter(|number| *number <= Classification::HIGHEST)
}

fn topic(object: &Map<String, Value>, field: &str) -> Result<Option<String>, &'static str> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) if text.trim().chars().count() > Classification::TOPIC => {
            Err("a topic is longer than 200 characters")
        }
        Some(Value::String(text)) if text.trim().chars().any(is_strange) => Err("a topic is not plain text"),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(_) => Err("a topic is not a text"),
    }
}

/// Neither PostgreSQL nor SQS takes all of these, and no topic needs one.
fn is_strange(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(resolution: u8, topic: Option<&str>, subtopic: Option<&str>) -> Heard {
        Heard { resolution, topic: topic.map(str::to_owned), subtopic: subtopic.map(str::to_owned) }
    }

    fn chat(content: &str) -> Vec<u8> {
        json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] }).to_string().into_bytes()
    }

    #[test]
    fn an_answer_is_taken_in_either_protocol() {
        let openai = Protocol::OpenAi { model: "m".into() };
        for (said, expected) in [
            (json!({"resolution": 0}), heard(0, None, None)),
            (
                json!({"resolution": "1", "topic": " Fatura ", "subtopic": "2ª via"}),
                heard(1, Some("Fatura"), Some("2ª via")),
            ),
            (json!({"resolution": "In_Progress", "topic": null}), heard(2, None, None)),
            (json!({"resolution": 3, "topic": "", "subtopic": "of nothing"}), heard(3, None, None)),
            (json!({"resolution": "resolved", "confidence": 0.9}), heard(0, None, None)),
            (json!({"resolution": 0, "topic": "é".repeat(200)}), heard(0, Some(&"é".repeat(200)), None)),
        ] {
            let said = said.to_string();
            assert_eq!(read(&Protocol::Plain, said.as_bytes()), Ok(expected.clone()), "{said}");
            for content in [said.clone(), format!("```json\n{said}\n```"), format!("Here it is: {said}")] {
                assert_eq!(read(&openai, &chat(&content)), Ok(expected.clone()), "{content}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused_and_not_repeated() {
        for said in [
            json!({}),
            json!([]),
            json!("resolved"),
            json!({"resolution": 4}),
            json!({"resolution": 256}),
            json!({"resolution": -1}),
            json!({"resolution": 0.5}),
            json!({"resolution": null}),
            json!({"resolution": "hunter2"}),
            json!({"resolution": 0, "topic": ["hunter2"]}),
            json!({"resolution": 0, "topic": "é".repeat(201)}),
            json!({"resolution": 0, "topic": "hunter2\u{0}"}),
            json!({"resolution": 0, "topic": "a", "subtopic": "hunter2\u{ffff}"}),
        ] {
            let wrong = read(&Protocol::Plain, said.to_string().as_bytes()).expect_err("no answer");
            assert!(!wrong.contains("hunter2"));
            read(&Protocol::OpenAi { model: "m".into() }, &chat(&said.to_string())).expect_err("no answer");
        }
        for body in [&b"hunter2"[..], b"", b"{\"resolution\": 0", b"\xff"] {
            read(&Protocol::Plain, body).expect_err("no answer");
        }
        let openai = Protocol::OpenAi { model: "m".into() };
        for content in ["I cannot tell", "}{", "{resolution: 0}"] {
            read(&openai, &chat(content)).expect_err("no answer");
        }
        read(&openai, br#"{"choices": []}"#).expect_err("no answer");
    }
}
