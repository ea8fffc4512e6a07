//! Text → JSON object without NUL characters, or a rejection that quotes nothing.

use serde_json::{Map, Value};

use super::rejection::{Code, Rejection};

/// Parses `text`, which stands in `field` (the body itself when absent), as a JSON object.
///
/// U+0000 is removed from every string and key: PostgreSQL stores it in neither `text` nor `jsonb`.
///
/// # Errors
/// The text is not JSON, is nested more than 127 levels deep (serde_json's limit) or is not an object.
pub(super) fn object(text: &str, field: Option<&'static str>) -> Result<Map<String, Value>, Rejection> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| Rejection::json(field, &error))?;
    // A NUL can only be written as this escape: raw control characters are not JSON.
    if text.contains("\\u0000") {
        remove_nul(&mut value);
    }
    match value {
        Value::Object(object) => Ok(object),
        _ => {
            Err(Rejection { field: field.map(str::to_owned), ..Rejection::body(Code::WrongType, "must be an object") })
        }
    }
}

fn remove_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(values) => values.iter_mut().for_each(remove_nul),
        Value::Object(object) => {
            object.values_mut().for_each(remove_nul);
            let spoilt: Vec<String> = object.keys().filter(|key| key.contains('\0')).cloned().collect();
            for key in spoilt {
                if let Some(value) = object.remove(&key) {
                    // A key that was written without the NUL keeps its value.
                    object.entry(key.replace('\0', "")).or_insert(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_removed_from_strings_and_keys_at_any_depth() {
        let text = r#"{"a\u0000":["x\u0000y",{"\u0000b":"\u0000"}],"c":1}"#;
        assert_eq!(Value::Object(object(text, None).expect("object")), json!({"a": ["xy", {"b": ""}], "c": 1}));
    }

    #[test]
    fn a_key_spoilt_by_nul_does_not_replace_a_sound_one() {
        let text = r#"{"a\u0000":"spoilt","a":"sound","\u0000a":"spoilt"}"#;
        assert_eq!(Value::Object(object(text, None).expect("object")), json!({"a": "sound"}));
    }

    #[test]
    fn a_written_backslash_is_not_taken_for_an_escape() {
        let text = r#"{"a":"\\u0000"}"#;
        assert_eq!(Value::Object(object(text, None).expect("object")), json!({"a": "\\u0000"}));
    }

    #[test]
    fn what_is_not_a_json_object_is_rejected() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (text, code) in [
            ("", Code::InvalidJson),
            ("{", Code::InvalidJson),
            ("{'a':1}", Code::InvalidJson),
            (r#"{"a":1e400}"#, Code::InvalidJson),
            (r#"{"a":"\ud800"}"#, Code::InvalidJson),
            (r#"{"a":NaN}"#, Code::InvalidJson),
            ("{\"a\":\"\0\"}", Code::InvalidJson),
            (r#"{"a":1} {"b":2}"#, Code::InvalidJson),
            ("[]", Code::WrongType),
            ("null", Code::WrongType),
            ("7", Code::WrongType),
            (&deep, Code::TooDeep),
        ] {
            let rejection = object(text, Some("Message")).expect_err(text);
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some("Message")), "{text}");
        }
    }
}
