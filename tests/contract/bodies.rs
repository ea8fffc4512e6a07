//! Bodies to be judged: each example, with its fields replaced by whatever stands at a limit or beside it.

use conversationd::event::contract::{Described, described};
use serde_json::{Value, json};

/// Pairs of replacements for each event, besides every single one.
const PAIRS: usize = 400;

/// Beside the data, and in it.
const READ_IN_ONE_OF_TWO_PLACES: [&str; 3] = ["correlation_id", "reply_to", "deadline"];

/// A body, and which schema is asked about it.
pub struct Body {
    pub schema: &'static str,
    pub value: Value,
    /// Whether a second name of a field was written: the schema checks it always, the decoder when it reads it.
    pub second_name: bool,
}

/// One replacement.
#[derive(Clone)]
struct Change {
    path: Vec<String>,
    /// `None` removes the field.
    value: Option<Value>,
    second_name: bool,
}

/// All of them.
pub fn all() -> Vec<Body> {
    described().iter().flat_map(of).collect()
}

fn of(event: &Described) -> Vec<Body> {
    let schema = Value::Object(event.schema());
    let mut changes = Vec::new();
    collect(&schema, &[], &mut changes);
    let mut bodies = vec![body(event, &[])];
    bodies.extend(changes.iter().map(|change| body(event, std::slice::from_ref(change))));
    // any generator does; this one is known, and the same everywhere
    let mut state = 88_172_645_463_325_252_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        changes[(state % changes.len() as u64) as usize].clone()
    };
    bodies.extend((0..PAIRS).map(|_| body(event, &[draw(), draw()])));
    bodies
}

fn body(event: &Described, changes: &[Change]) -> Body {
    let mut value = event.example.clone();
    for change in changes {
        let (field, parents) = change.path.split_last().expect("a path");
        let parent = parents.iter().try_fold(&mut value, |object, key| object.get_mut(key));
        let Some(Value::Object(parent)) = parent else { continue };
        match &change.value {
            Some(value) => parent.insert(field.clone(), value.clone()),
            None => parent.remove(field),
        };
    }
    Body { schema: event.name, value, second_name: changes.iter().any(|change| change.second_name) }
}

/// Every change of every field that `schema` names.
fn collect(schema: &Value, path: &[String], changes: &mut Vec<Change>) {
    for (field, form) in schema["properties"].as_object().into_iter().flatten() {
        let path = [path, std::slice::from_ref(field)].concat();
        let second_name =
            form["deprecated"] == true || (path.len() > 1 && READ_IN_ONE_OF_TWO_PLACES.contains(&field.as_str()));
        let values = values(form).into_iter().map(Some).chain([None]);
        changes.extend(values.map(|value| Change { path: path.clone(), value, second_name }));
        collect(form, &path, changes);
    }
}

/// What every field is tried with, and what stands at the limits of this one.
fn values(form: &Value) -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(""),
        json!(" \n"),
        json!("x"),
        json!("é"),
        json!(" x "),
        json!("true"),
        json!(" FALSE"),
        json!(0),
        json!(1),
        json!(5),
        json!(6),
        json!(10),
        json!(11),
        json!(59),
        json!(-1),
        json!(1.5),
        json!("0"),
        json!(" 5 "),
        json!("007"),
        json!("11"),
        json!("-0"),
        json!(u64::MAX),
        json!(i64::MIN),
        json!([]),
        json!(["x", "x"]),
        json!([" "]),
        json!([1]),
        json!({}),
        json!({"k": "v"}),
        json!({"k": null}),
        json!("2026-03-01T12:00:00Z"),
        json!("incoming"),
        json!("USER"),
        json!("weni_nps"),
        json!("weni_csat"),
        json!("UTC"),
        json!("6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11"),
        json!("x".repeat(50)),
        json!(vec!["x".repeat(50)]),
        json!(vec!["é".repeat(51)]),
    ];
    for count in [10, 11, 50, 51, 100, 101] {
        values.push((0..count).map(|n| Value::from(n.to_string())).collect());
        values.push(Value::Array(vec![json!("same"); count]));
    }
    for count in [200, 201] {
        values.push(Value::Object((0..count).map(|n| (n.to_string(), json!(n))).collect()));
    }
    for word in ["maxLength", "x-max-bytes", "x-max-json-bytes"] {
        // the largest limit is the body's own
        let Some(limit) = form[word].as_u64().map(|limit| limit as usize).filter(|limit| *limit < 100_000) else {
            continue;
        };
        for length in [limit - 2, limit - 1, limit, limit + 1] {
            values.push(json!("x".repeat(length)));
            values.push(json!("é".repeat(length)));
            values.push(json!("é".repeat(length / 2)));
            values.push(json!(["x".repeat(length.saturating_sub(4))]));
            values.push(json!({"k": "x".repeat(length.saturating_sub(8))}));
        }
    }
    for word in ["minimum", "maximum"] {
        if let Some(limit) = form[word].as_i64() {
            for number in [limit.saturating_sub(1), limit, limit.saturating_add(1)] {
                values.extend([json!(number), json!(number.to_string())]);
            }
        }
    }
    values
}
