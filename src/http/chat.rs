//! What a model behind an OpenAI-compatible chat endpoint is asked, and what it says. Pure; what an answer means, and when
//! nobody asks any more, is its asker's.

use serde::Deserialize;
use serde_json::{Value, json};

/// One question, which no other follows.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The model.
    pub model: &'a str,
    /// What it is to do.
    pub instruction: &'a str,
    /// What it is to do it with.
    pub told: &'a str,
    /// Tokens of its answer, at most.
    pub tokens: i64,
    /// Whether its answer is to be one JSON object.
    pub object: bool,
}

impl Question<'_> {
    /// The request's body.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "model": self.model,
            "temperature": 0,
            "max_tokens": self.tokens,
            "messages": [
                {"role": "system", "content": self.instruction},
                {"role": "user", "content": self.told},
            ],
        });
        if self.object {
            body["response_format"] = json!({"type": "json_object"});
        }
        body
    }
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}

/// What the model says in an answer's body.
///
/// # Errors
/// Nothing; why, in our words: an endpoint's own may repeat what it was told.
pub fn said(body: &[u8]) -> Result<String, &'static str> {
    let completion: Completion =
        serde_json::from_slice(body).map_err(|_| "the answer is no chat completion, or too long")?;
    let first = completion.choices.into_iter().next();
    first.and_then(|choice| choice.message.content).ok_or("the answer has no content")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_two_messages_and_asks_for_an_object_only_where_one_is_wanted() {
        let question = Question { model: "m", instruction: "do", told: "this", tokens: 7, object: false };
        let body = question.body();
        assert_eq!(body["messages"][1], json!({"role": "user", "content": "this"}));
        assert_eq!((&body["max_tokens"], body.get("response_format")), (&json!(7), None));
        let body = Question { object: true, ..question }.body();
        assert_eq!(body["response_format"]["type"], "json_object");
    }

    #[test]
    fn what_is_said_is_the_first_choice_and_anything_else_is_not_repeated() {
        let completion = json!({"choices": [{"message": {"role": "assistant", "content": "yes"}}], "usage": {}});
        assert_eq!(said(completion.to_string().as_bytes()), Ok("yes".to_owned()));
        for body in [
            "hunter2",
            "",
            r#"{"choices": []}"#,
            r#"{"error": "hunter2"}"#,
            r#"{"choices": [{"message": {"content": null}}]}"#,
            r#"{"choices": [{"message": {"content": ["hunter2"]}}]}"#,
            r#"{"choices": [{"message": {"content": "cut off"#,
        ] {
            assert!(!said(body.as_bytes()).expect_err(body).contains("hunter2"));
        }
    }
}
