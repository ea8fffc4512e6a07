//! Marked bodies of everything that the contract knows: each field that can bear a mark bears one; and what is refused, field
//! by field, as many ways as there are.

use std::{collections::BTreeMap, fs, path::Path};

use conversationd::{
    domain::Sequence,
    event::{
        Raw,
        contract::{Described, described},
        decode,
    },
};
use serde_json::{Value, json};

use crate::marks::{NUMBER, SAID};

/// Who and where: the same in every body, so that they are of one conversation.
pub const PROJECT: &str = "0b1f6c1e-5f0e-4a55-8d0f-1b1f3c2d4e5f";
const CHANNEL: &str = "7f1c9c1e-1d2e-4f3a-9b4c-5d6e7f8a9b0c";

/// Fields that say where an event belongs, or where its answer goes.
const WHERE: [&str; 6] = ["project_uuid", "tenant_id", "channel_uuid", "contact_urn", "conversation_id", "reply_to"];

/// What is sent.
#[derive(Default)]
pub struct Bodies {
    /// In order; the daemon takes all of them.
    pub taken: Vec<String>,
    /// It refuses all of these.
    pub refused: Vec<String>,
}

/// Everything, with answers wanted in `reply_to`.
pub fn all(reply_to: &str) -> Bodies {
    let mut bodies = Bodies::default();
    for event in described() {
        mark(&event, reply_to, &mut bodies);
    }
    bodies.taken.extend(fixtures().into_iter().filter(|body| is_taken(body)));
    // a conversation that says something, is rated, and ends
    let message = json!({"id": format!("m-{SAID}"), "text": format!("ich bin ein {SAID}"), "contact_name": SAID});
    bodies.taken.push(event("message.received", NUMBER, json!({ "message": message })));
    for n in 0..4 {
        let message = json!({"id": format!("long-{n}"), "text": format!("{SAID} ").repeat(60)});
        let said = event("message.received", NUMBER, json!({ "message": message }));
        bodies.taken.push(said.replace("message.received kanarien", &format!("{n} kanarien")));
    }
    // more than fits: whoever summarises is asked
    let wanted = json!({"strategy": "summary_buffer", "max_tokens": 300});
    let mut asked: Value = serde_json::from_str(&event("get_context", NUMBER, wanted)).expect("JSON");
    asked["reply_to"] = reply_to.into();
    bodies.taken.push(asked.to_string());
    bodies.taken.push(event("survey.nps", NUMBER, json!({"value": 0, "comment": SAID})));
    bodies.taken.push(event("conversation.close", NUMBER, json!({"reason": SAID})));
    bodies.refused.extend(broken());
    bodies
}

/// An event in the thread of this number.
pub fn event(event_type: &str, number: &str, more: Value) -> String {
    let mut data =
        json!({"project_uuid": PROJECT, "channel_uuid": CHANNEL, "contact_urn": format!("whatsapp:+{number}")});
    data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"event_type": event_type, "correlation_id": format!("{event_type} {SAID}"), "data": data}).to_string()
}

/// The example of one event, with a mark in every field that its schema names.
fn mark(event: &Described, reply_to: &str, bodies: &mut Bodies) {
    let mut body = event.example.clone();
    place(&mut body, reply_to);
    for path in fields(&Value::Object(event.schema()), &[]) {
        let name = path.last().expect("a field").as_str();
        let marked = format!("{SAID} {name}");
        let forms =
            [json!(marked), json!({ SAID: marked }), json!([marked]), json!([{ "type": marked, "url": marked }])];
        let mut with = forms.map(|form| with(&body, &path, form)).into_iter().flatten();
        if WHERE.contains(&name) {
            bodies.refused.extend(with.filter(|body| !is_taken(&body.to_string())).map(|body| body.to_string()));
            continue;
        }
        match with.find(|body| is_taken(&body.to_string())) {
            Some(taken) => body = taken,
            None => {
                let refused = self::with(&body, &path, json!(marked));
                bodies.refused.extend(refused.map(|body| body.to_string()));
            }
        }
    }
    bodies.taken.push(body.to_string());
}

/// Puts an example into our thread.
fn place(body: &mut Value, reply_to: &str) {
    if body.get("reply_to").is_some() {
        body["reply_to"] = reply_to.into();
    }
    let data = if body.get("data").is_some() { &mut body["data"] } else { body };
    if data.get("contact_urn").is_some() {
        data["contact_urn"] = format!("whatsapp:+{NUMBER}").into();
    }
}

/// Every field that `schema` names, innermost.
fn fields(schema: &Value, path: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (field, form) in schema["properties"].as_object().into_iter().flatten() {
        let path = [path, std::slice::from_ref(field)].concat();
        match form.get("properties") {
            Some(_) => found.extend(fields(form, &path)),
            None => found.push(path),
        }
    }
    found
}

fn with(body: &Value, path: &[String], value: Value) -> Option<Value> {
    let mut body = body.clone();
    let (field, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(&mut body, |object, key| object.get_mut(key))?;
    parent.as_object_mut()?.insert(field.clone(), value);
    Some(body)
}

fn is_taken(body: &str) -> bool {
    let (attributes, sent_at) = (BTreeMap::new(), chrono::Utc::now());
    decode(&Raw { body, attributes: &attributes, sent_at, sequence: Sequence(7), group_id: "group" }).is_ok()
}

/// The bodies that other tests read too, made over.
fn fixtures() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let files = fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("an entry").path());
    files.map(|file| made_over(&fs::read_to_string(file).expect("a body"))).collect()
}

/// A fixture with its person replaced by ours, wrappers and all.
fn made_over(body: &str) -> String {
    let mut body = body.replace("5511999990000", NUMBER).replace("Quero falar sobre o pedido", SAID);
    for name in ["order_status", "image/jpeg", "the customer said goodbye", "order-1042"] {
        body = body.replace(name, SAID);
    }
    body
}

/// What is no event at all, or one beyond a limit.
fn broken() -> Vec<String> {
    let deep = format!("{}\"{SAID}\"{}", "[".repeat(300), "]".repeat(300));
    let long = json!({"project_uuid": PROJECT, "contact_urn": SAID.repeat(1_000), "channel_uuid": CHANNEL});
    let many: serde_json::Map<String, Value> = (0..300).map(|n| (format!("{SAID}{n}"), json!(SAID))).collect();
    let message = json!({"id": SAID, "text": SAID, "metadata": many});
    vec![
        format!("{SAID} +{NUMBER}"),
        format!("{{\"{SAID}\": \"{NUMBER}"),
        format!("{{\"event_type\": \"message.received\", \"data\": {{\"text\": \"\\ud800 {SAID}\"}}}}"),
        format!("{{\"event_type\": \"message.received\", \"data\": {{\"{SAID}\": 1e999}}}}"),
        format!("\"{SAID}\""),
        json!([SAID, NUMBER]).to_string(),
        json!({"event_type": SAID, "data": {"contact_urn": NUMBER}}).to_string(),
        json!({"event_type": {SAID: SAID}, "data": {}}).to_string(),
        json!({"event_type": "message.received", "data": long}).to_string(),
        json!({"event_type": "message.received", "data": deep}).to_string(),
        format!("{{\"event_type\": \"message.received\", \"data\": {deep}}}"),
        json!({"Type": "Notification", "Message": format!("{{{SAID}")}).to_string(),
        event("message.received", NUMBER, json!({ "message": message })),
        // a question of somebody who may not be answered there
        json!({"event_type": "get_context", "reply_to": format!("https://sqs.{SAID}/1/q"), "correlation_id": SAID,
            "data": {"project_uuid": PROJECT, "contact_urn": NUMBER, "channel_uuid": CHANNEL}})
        .to_string(),
    ]
}

#[test]
fn every_event_of_the_contract_bears_marks_and_is_taken_and_is_refused_in_many_ways() {
    let bodies = all("answers");
    let types = described().iter().filter(|event| !event.event_types.is_empty()).count();
    assert!(bodies.taken.len() > types + 15, "{} of {types} types", bodies.taken.len());
    for body in &bodies.taken {
        assert!(is_taken(body), "{body}");
    }
    for event in described() {
        let name = event.event_types.first().copied().unwrap_or("ticket");
        let marked = bodies.taken.iter().any(|body| body.contains(name) && body.contains(SAID));
        assert!(marked || ["due", "project.updated", "contact.erase"].contains(&name), "{name} bears no mark");
    }
    assert!(bodies.refused.len() > 100, "{}", bodies.refused.len());
    assert!(bodies.refused.iter().all(|body| body.contains(SAID)));
}
