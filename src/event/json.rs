//! Text → JSON object that both stores can keep as it is, or a rejection that quotes nothing.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::rejection::{Code, Rejection};

/// `serde_json` takes an object whose first key begins so for one of its own types, and puts in its place what its text
/// says: with NUL, and beyond every limit of depth.
const RESERVED: &str = "$serde_json::private::";

/// Parses `text`, which stands in `field` (the body itself when absent), as a JSON object.
///
/// U+0000 is removed from every string and key: PostgreSQL stores it in neither `text` nor `jsonb`. A key that `serde_json`
/// would not read back as a key loses its `$`.
///
/// # Errors
/// The text is not JSON, is nested more than 127 levels deep (serde_json's limit) or is not an object.
pub(super) fn object(text: &str, field: Option<&'static str>) -> Result<Map<String, Value>, Rejection> {
    let Plain(value) = serde_json::from_str(text).map_err(|error| Rejection::json(field, &error))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => {
            Err(Rejection { field: field.map(str::to_owned), ..Rejection::body(Code::WrongType, "must be an object") })
        }
    }
}

/// A value as it is written, whatever its keys are called.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E>(self, mut text: String) -> Result<Value, E> {
        text.retain(|c| c != '\0');
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Plain(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Plain(value))) = entries.next_entry::<String, Plain>()? {
            if let Some(mended) = mended(&key) {
                // A key that was written as it is kept keeps its value.
                object.entry(mended).or_insert(value);
            } else {
                object.insert(key, value);
            }
        }
        Ok(object.into())
    }
}

/// A key as it can be kept; `None` when it is as it was written.
fn mended(key: &str) -> Option<String> {
    let without_nul = if key.contains('\0') { Cow::from(key.replace('\0', "")) } else { Cow::from(key) };
    if without_nul.starts_with(RESERVED) {
        return Some(without_nul[1..].to_owned());
    }
    match without_nul {
        Cow::Owned(mended) => Some(mended),
        Cow::Borrowed(_) => None,
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
    fn a_key_that_serde_json_reserves_is_a_key_like_any_other() {
        for (written, kept) in [
            (r#"{"$serde_json::private::RawValue":"[1]"}"#, json!({"serde_json::private::RawValue": "[1]"})),
            (r#"{"a":{"$serde_json::private::RawValue":"{"}}"#, json!({"a": {"serde_json::private::RawValue": "{"}})),
            (r#"{"\u0024serde_json::private::Number":"1"}"#, json!({"serde_json::private::Number": "1"})),
            (r#"{"\u0000$serde_json::private::RawValue":1}"#, json!({"serde_json::private::RawValue": 1})),
            (
                r#"[{"$serde_json::private::RawValue":"\"\u005cu0000\""}]"#,
                json!([{"serde_json::private::RawValue": "\"\\u0000\""}]),
            ),
        ] {
            let text = format!(r#"{{"x":{written}}}"#);
            let object = object(&text, None).expect("object");
            assert_eq!(object["x"], kept, "{written}");
            let stored = serde_json::to_string(&object).expect("json");
            assert_eq!(serde_json::from_str::<Map<String, Value>>(&stored).expect("read back"), object);
        }
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
