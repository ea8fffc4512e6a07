//! `state.set`, `state.delete`: variables of a conversation that outlive a restart.

use std::{ops::RangeInclusive, time::Duration};

use super::SetVariable;
use super::fields::{Fields, required};
use super::rejection::Rejection;
use super::shape::{Form, Shape};

/// The name of a setting on the wire.
pub(super) const SET: &str = "state.set";

/// The name of a deletion on the wire.
pub(super) const DELETE: &str = "state.delete";

/// Longest name, in bytes: two of them and the thread are a key in the hot store, whose names may have 1,024.
const NAME_BYTES: usize = 256;

/// Largest value, in bytes as JSON.
const VALUE_BYTES: usize = 65_536;

/// How long a variable may live, in seconds: up to a year.
const TTL: RangeInclusive<u64> = 1..=365 * 86_400;

/// Reads `state.set`.
///
/// # Errors
/// No type, key or value, or a field of another type or over its limit.
pub(super) fn read_set(data: &mut Fields) -> Result<SetVariable, Rejection> {
    let mut set = names(data)?;
    let value = required(data.take("state_value"), "state_value")?;
    if value.to_string().len() > VALUE_BYTES {
        return Err(Rejection::too_large("state_value", VALUE_BYTES));
    }
    set.value = Some(value);
    set.ttl = data.seconds("ttl", TTL)?.map(Duration::from_secs);
    set.carry_over = data.flag("carry_over")?.unwrap_or(false);
    Ok(set)
}

/// Reads `state.delete`.
///
/// # Errors
/// No type or key, or one of another type or over its limit.
pub(super) fn read_delete(data: &mut Fields) -> Result<SetVariable, Rejection> {
    names(data)
}

/// What `read_set` reads.
pub(super) fn set_shape() -> Shape {
    delete_shape()
        .must("state_value", Form::any_within(VALUE_BYTES).says("Its value: any JSON but null."))
        .may("ttl", Form::seconds(&TTL).says("Seconds that it lives; absent: as long as the conversation's messages."))
        .may("carry_over", Form::flag().says("Whether the thread's next conversations have it too."))
}

/// What `read_delete` reads.
pub(super) fn delete_shape() -> Shape {
    Shape::default()
        .in_thread()
        .must("state_type", Form::id(NAME_BYTES).says("The kind of state that it belongs to."))
        .must("state_key", Form::id(NAME_BYTES).says("Its name within the kind."))
}

fn names(data: &mut Fields) -> Result<SetVariable, Rejection> {
    Ok(SetVariable {
        state_type: required(data.id("state_type", NAME_BYTES)?, "state_type")?,
        key: required(data.id("state_key", NAME_BYTES)?, "state_key")?,
        value: None,
        ttl: None,
        carry_over: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Code;

    fn fields(data: Value) -> Fields {
        Fields::of(data.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn a_variable_is_set_with_any_value_and_deleted_with_none() {
        for value in [json!(0), json!(false), json!(""), json!([]), json!({"step": 2})] {
            let data =
                json!({"state_type": "flow", "state_key": 7, "state_value": value, "ttl": "60", "carry_over": true});
            let set = read_set(&mut fields(data.clone())).expect("set");
            assert_eq!((set.state_type.as_str(), set.key.as_str(), set.value), ("flow", "7", Some(value)));
            assert_eq!((set.ttl, set.carry_over), (Some(Duration::from_secs(60)), true));
            assert_eq!(read_delete(&mut fields(data)).expect("deleted").value, None);
        }
    }

    #[test]
    fn a_variable_without_a_name_or_over_a_limit_is_rejected() {
        for (data, code, field) in [
            (json!({"state_key": "k", "state_value": 1}), Code::MissingField, "state_type"),
            (json!({"state_type": "t", "state_value": 1}), Code::MissingField, "state_key"),
            (json!({"state_type": "t", "state_key": "k"}), Code::MissingField, "state_value"),
            (json!({"state_type": "t", "state_key": "k", "state_value": null}), Code::MissingField, "state_value"),
            (json!({"state_type": "t", "state_key": "k".repeat(257), "state_value": 1}), Code::TooLong, "state_key"),
            (
                json!({"state_type": "t", "state_key": "k", "state_value": "x".repeat(65_535)}),
                Code::TooLarge,
                "state_value",
            ),
            (json!({"state_type": "t", "state_key": "k", "state_value": 1, "ttl": 0}), Code::OutOfRange, "ttl"),
            (json!({"state_type": "t", "state_key": "k", "state_value": 1, "ttl": true}), Code::WrongType, "ttl"),
        ] {
            let rejection = read_set(&mut fields(data)).expect_err("no variable");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)));
        }
    }
}
