//! Typed reading of an object's fields, each under its limit.
//!
//! A field is named as the contract names it; the part after the last dot is its key. `null` is the same as absent, and
//! so is a blank string, but for a message's text. Values are taken out of the object, never copied.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::rejection::{Code, Rejection};

/// Longest id, in bytes: it is part of keys and indexes (DynamoDB's key is 2,048 bytes, a btree row 2,704).
pub(super) const ID_LIMIT: usize = 512;

/// Longest contact URN, in bytes: some carry names and addresses.
pub(super) const URN_LIMIT: usize = 1_024;

/// Longest name or label, in bytes: the head carries one, and a head must stay small.
pub(super) const LABEL_LIMIT: usize = 4_096;

/// Most entries of a list.
pub(super) const LIST_LIMIT: usize = 100;

/// Most keys of an object that is kept as it came.
pub(super) const KEYS_LIMIT: usize = 200;

/// The fields of one object.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of `object`.
    pub(super) fn of(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// The object itself, as far as it is not read yet.
    pub(super) fn object_itself(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether the field has a value.
    pub(super) fn has(&self, field: &'static str) -> bool {
        #[cfg(test)]
        asked::note(field);
        match self.0.get(key(field)) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !is_blank(text),
            Some(_) => true,
        }
    }

    /// The field as it came.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        #[cfg(test)]
        asked::note(field);
        self.0.remove(key(field)).filter(|value| !value.is_null())
    }

    /// An id of at most `limit` bytes, kept verbatim. Some publishers send ids as numbers: a whole number is taken as
    /// its digits.
    pub(super) fn id(&mut self, field: &'static str, limit: usize) -> Result<Option<String>, Rejection> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => bounded(text, field, limit),
            // Not a fraction, and not beyond 64 bits: those would not keep all their digits.
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(Some(number.to_string())),
            Some(_) => Err(Rejection::field(Code::WrongType, field, "must be a string or a whole number")),
        }
    }

    /// A name or label.
    pub(super) fn label(&mut self, field: &'static str) -> Result<Option<String>, Rejection> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => bounded(text, field, LABEL_LIMIT),
            Some(_) => Err(not_a_string(field)),
        }
    }

    /// Text of any length, empty when absent.
    pub(super) fn text(&mut self, field: &'static str) -> Result<String, Rejection> {
        match self.take(field) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(not_a_string(field)),
        }
    }

    /// A list, empty when absent.
    pub(super) fn list(&mut self, field: &'static str) -> Result<Vec<Value>, Rejection> {
        match self.take(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() > LIST_LIMIT => Err(Rejection::too_many(field, LIST_LIMIT)),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(Rejection::field(Code::WrongType, field, "must be a list")),
        }
    }

    /// An object.
    pub(super) fn object(&mut self, field: &'static str) -> Result<Option<Map<String, Value>>, Rejection> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(Rejection::field(Code::WrongType, field, "must be an object")),
        }
    }

    /// An object that is kept as it came, empty when absent.
    pub(super) fn metadata(&mut self, field: &'static str) -> Result<Map<String, Value>, Rejection> {
        let object = self.object(field)?.unwrap_or_default();
        if object.len() > KEYS_LIMIT { Err(Rejection::too_many(field, KEYS_LIMIT)) } else { Ok(object) }
    }

    /// An object that is kept as it came, of at most `bytes` as JSON, empty when absent.
    pub(super) fn object_within(&mut self, field: &'static str, bytes: usize) -> Result<Map<String, Value>, Rejection> {
        let object = Value::Object(self.metadata(field)?);
        match object {
            Value::Object(object) if Value::Object(object.clone()).to_string().len() <= bytes => Ok(object),
            _ => Err(Rejection::too_large(field, bytes)),
        }
    }

    /// A count.
    pub(super) fn count(&mut self, field: &'static str) -> Result<Option<u32>, Rejection> {
        let Some(value) = self.take(field) else { return Ok(None) };
        if !value.is_i64() && !value.is_u64() {
            return Err(Rejection::field(Code::WrongType, field, "must be a whole number"));
        }
        match value.as_u64().map(u32::try_from) {
            Some(Ok(count)) => Ok(Some(count)),
            Some(Err(_)) | None => Err(Rejection::field(Code::OutOfRange, field, "must fit in 32 bits, unsigned")),
        }
    }

    /// Yes or no; some publishers write it as a string.
    pub(super) fn flag(&mut self, field: &'static str) -> Result<Option<bool>, Rejection> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "" => Ok(None),
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(Rejection::field(Code::OutOfRange, field, "must be true or false")),
            },
            Some(_) => Err(Rejection::field(Code::WrongType, field, "must be true or false")),
        }
    }

    /// A number of seconds.
    pub(super) fn seconds(
        &mut self,
        field: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Rejection> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let seconds = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => return Err(Rejection::field(Code::WrongType, field, "must be a whole number of seconds")),
        };
        match seconds.filter(|seconds| range.contains(seconds)) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(Rejection::seconds(field, &range)),
        }
    }

    /// A UUID, written as a string.
    pub(super) fn uuid(&mut self, field: &'static str) -> Result<Option<Uuid>, Rejection> {
        let Some(text) = self.label(field)? else { return Ok(None) };
        match Uuid::try_parse(&text) {
            Ok(uuid) => Ok(Some(uuid)),
            Err(_) => Err(Rejection::field(Code::WrongType, field, "must be a UUID")),
        }
    }
}

/// The value of a required field.
pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Rejection> {
    value.ok_or_else(|| Rejection::missing(field))
}

/// Whether a string says nothing.
pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn bounded(text: String, field: &'static str, limit: usize) -> Result<Option<String>, Rejection> {
    if is_blank(&text) {
        Ok(None)
    } else if text.len() > limit {
        Err(Rejection::too_long(field, limit))
    } else {
        Ok(Some(text))
    }
}

fn not_a_string(field: &'static str) -> Rejection {
    Rejection::field(Code::WrongType, field, "must be a string")
}

fn key(field: &'static str) -> &'static str {
    field.rsplit_once('.').map_or(field, |(_, key)| key)
}

/// Which fields the decoder asks for: the contract's declarations must name the same.
#[cfg(test)]
pub(super) mod asked {
    use std::{cell::RefCell, collections::BTreeSet};

    thread_local!(static ASKED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) });

    pub(super) fn note(field: &'static str) {
        ASKED.with_borrow_mut(|asked| asked.insert(field));
    }

    /// The fields that `work` asks for.
    pub(in crate::event) fn during(work: impl FnOnce()) -> BTreeSet<&'static str> {
        ASKED.take();
        work();
        ASKED.take()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(json!({ "f": value }).as_object().cloned().unwrap_or_default())
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Rejection>) -> Code {
        let rejection = result.expect_err("a rejection");
        assert_eq!(rejection.field.as_deref(), Some("message.f"));
        rejection.code
    }

    #[test]
    fn an_id_is_kept_verbatim_or_rejected() {
        for (value, id) in [
            (json!("a"), Some("a")),
            (json!(" a b "), Some(" a b ")),
            (json!(123), Some("123")),
            (json!(-1), Some("-1")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(""), None),
            (json!(" \t"), None),
            (json!(null), None),
        ] {
            assert_eq!(fields(value).id("message.f", 7_000).expect("an id").as_deref(), id);
        }
        for value in [json!(1.5), json!(1e30), json!(true), json!([]), json!({})] {
            assert_eq!(code(fields(value).id("message.f", 7_000)), Code::WrongType);
        }
        assert!(fields(json!("é".repeat(4))).id("message.f", 8).is_ok());
        assert_eq!(code(fields(json!("é".repeat(4))).id("message.f", 7)), Code::TooLong);
    }

    #[test]
    fn a_label_or_text_is_a_string() {
        for value in [json!(1), json!(false), json!([]), json!({})] {
            assert_eq!(code(fields(value.clone()).label("message.f")), Code::WrongType);
            assert_eq!(code(fields(value).text("message.f")), Code::WrongType);
        }
        assert_eq!(code(fields(json!("x".repeat(LABEL_LIMIT + 1))).label("message.f")), Code::TooLong);
        assert_eq!(fields(json!("x".repeat(500_000))).text("message.f").expect("text").len(), 500_000);
        assert_eq!(fields(json!(null)).text("message.f").expect("text"), "");
        assert_eq!(fields(json!("  ")).text("message.f").expect("text"), "  ");
    }

    #[test]
    fn a_list_or_object_over_its_limit_is_rejected() {
        assert_eq!(fields(json!(vec![0; LIST_LIMIT])).list("message.f").expect("list").len(), LIST_LIMIT);
        assert_eq!(code(fields(json!(vec![0; LIST_LIMIT + 1])).list("message.f")), Code::TooMany);
        assert_eq!(code(fields(json!("[]")).list("message.f")), Code::WrongType);
        let keys = |count: usize| Value::Object((0..count).map(|n| (n.to_string(), json!(n))).collect());
        assert_eq!(fields(keys(KEYS_LIMIT)).metadata("message.f").expect("metadata").len(), KEYS_LIMIT);
        assert_eq!(code(fields(keys(KEYS_LIMIT + 1)).metadata("message.f")), Code::TooMany);
        assert_eq!(code(fields(json!([])).metadata("message.f")), Code::WrongType);
    }

    #[test]
    fn a_count_is_a_whole_number_of_32_bits() {
        assert_eq!(fields(json!(u32::MAX)).count("message.f").expect("count"), Some(u32::MAX));
        assert_eq!(fields(json!(null)).count("message.f").expect("count"), None);
        for (value, expected) in [
            (json!(-1), Code::OutOfRange),
            (json!(4_294_967_296_u64), Code::OutOfRange),
            (json!(1.0), Code::WrongType),
            (json!("1"), Code::WrongType),
        ] {
            assert_eq!(code(fields(value).count("message.f")), expected);
        }
    }

    #[test]
    fn a_uuid_is_a_string_in_its_usual_form() {
        let uuid = fields(json!("6F0C63A4-5d53-4c5e-9d0a-0d5b6a1e7c11")).uuid("message.f").expect("uuid");
        assert_eq!(uuid, Some(Uuid::from_u128(0x6f0c_63a4_5d53_4c5e_9d0a_0d5b_6a1e_7c11)));
        assert_eq!(code(fields(json!("6f0c63a4")).uuid("message.f")), Code::WrongType);
        assert_eq!(code(fields(json!(7)).uuid("message.f")), Code::WrongType);
    }
}
