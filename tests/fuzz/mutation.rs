//! How a body is spoilt: in its JSON, where the decoder looks, and in its text, anywhere.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use crate::bodies::{CANARY, nested};

/// Fields the decoder reads, and two it does not know.
const PATHS: [&str; 36] = [
    "/event_type",
    "/correlation_id",
    "/data",
    "/key",
    "/unknown",
    "/data/project_uuid",
    "/data/tenant_id",
    "/data/contact_urn",
    "/data/channel_uuid",
    "/data/conversation_id",
    "/data/correlation_id",
    "/data/message",
    "/data/message/id",
    "/data/message/message_id",
    "/data/message/text",
    "/data/message/source",
    "/data/message/created_at",
    "/data/message/contact_name",
    "/data/message/content_type",
    "/data/message/sender_type",
    "/data/message/sender_id",
    "/data/message/agent_id",
    "/data/message/model_used",
    "/data/message/tokens_used",
    "/data/message/sentiment",
    "/data/message/intent",
    "/data/message/entities",
    "/data/message/entities/0",
    "/data/message/attachments",
    "/data/message/metadata",
    "/data/message/metadata/a",
    "/data/message/metadata/b",
    "/data/message/metadata/c",
    "/data/message/metadata/\u{0}",
    "/data/message/metadata/__proto__",
    "/data/message/unknown",
];

/// Where the paths begin that hold whatever they are given.
const KEPT: usize = 29;

/// Tokens that no JSON writer makes: put in place of a string once the rest is written.
const TOKENS: [&str; 31] = [
    "1e400",
    "-1e400",
    "1e308",
    "-0",
    "-0.0",
    "1E+2",
    "1e16",
    "1.5e19",
    "1e-400",
    "0.1e-323",
    "18446744073709551616",
    "123456789012345678901234567890123456789012345678901234567890",
    "0.30000000000000000000000000000000000000000004",
    "01",
    "NaN",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\\\u0000\"",
    "\"\\/\\b\\f\\n\\r\\t\\u001f\"",
    "\"\\uFFFF\\uFFFE\"",
    "{\"a\":1,\"a\":2}",
    "{\"\\u0000\":1,\"\":2}",
    "{\"$serde_json::private::RawValue\":\"[1]\"}",
    "{\"a\":1,\"$serde_json::private::RawValue\":\"{\"}",
    "{\"\\u0024serde_json::private::RawValue\":\"[\\\"\\u005cu0000\\\"]\"}",
    "[[[]]]",
    "tru",
    "",
];

/// A value to put somewhere.
#[derive(Clone, Debug)]
pub enum Hostile {
    Json(Value),
    Token(usize),
    /// So many bytes of a letter.
    Long(char, usize),
    Nested(usize),
    Many(usize),
    /// An object under keys that are long, odd or many.
    Keys(Vec<String>),
    /// What stands there already, as text.
    Quoted,
}

/// One fault in the text.
#[derive(Clone, Debug)]
pub enum Scratch {
    Insert(String),
    Cut(usize),
    CutShort,
    Repeat(usize),
}

/// What the body travels in.
#[derive(Clone, Copy, Debug)]
pub enum Wrapper {
    Notification,
    EventBridge,
    CloudEvents,
    Flat,
}

/// A body, by what was done to one of the seeds.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub seed: usize,
    fields: Vec<(&'static str, Hostile)>,
    /// Anything at all, by its place in the tree.
    nodes: Vec<(usize, Hostile)>,
    wrapper: Option<Wrapper>,
    scratches: Vec<(f64, Scratch)>,
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => ".{0,12}",
        2 => select(&[CANARY, "", " ", "\u{0}", "\u{202e}", "\u{feff}", "👩‍👩‍👧‍👦", "\u{10ffff}", "#", "%23", "2026-03-01T12:00:00Z",
            "300000-01-01T00:00:00Z", "incoming", "system", "AGENT", "message.sent", "conversation.save_message", "12", "null"][..])
            .prop_map(str::to_owned),
        1 => vec(any::<char>(), 0..8).prop_map(String::from_iter),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_i64..3_000_000_000).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((any_text(), inner), 0..5).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_hostile() -> impl Strategy<Value = Hostile> {
    let limits = prop_oneof![0..8_usize, select(&[511_usize, 512, 513, 1_023, 1_024, 1_025, 4_096, 4_097, 70_000][..])];
    prop_oneof![
        8 => any_json().prop_map(Hostile::Json),
        4 => any_text().prop_map(|text| Hostile::Json(Value::from(text))),
        4 => (0..TOKENS.len()).prop_map(Hostile::Token),
        2 => (select(&['x', 'é', '👋', '#', '"', '\u{1}'][..]), limits).prop_map(|(c, size)| Hostile::Long(c, size)),
        1 => (1..130_usize).prop_map(Hostile::Nested),
        1 => select(&[99_usize, 100, 101, 2_000][..]).prop_map(Hostile::Many),
        1 => vec(any_text(), 0..6).prop_map(Hostile::Keys),
        1 => Just(Hostile::Quoted),
    ]
}

fn any_scratch() -> impl Strategy<Value = Scratch> {
    prop_oneof![
        2 => any_text().prop_map(Scratch::Insert),
        2 => select(&["\"", "{", "]", ",", ":", "\\", "\\u", "\u{feff}", "0", "e", "-"][..])
            .prop_map(|text| Scratch::Insert(text.to_owned())),
        2 => (1..6_usize).prop_map(Scratch::Cut),
        1 => Just(Scratch::CutShort),
        1 => (1..40_usize).prop_map(Scratch::Repeat),
    ]
}

/// A body made from one of `seeds` seeds, of which the first are `messages`. Most are made from those and keep their text
/// whole: what is broken is soon told, and says nothing of the stores.
pub fn any_recipe(messages: usize, seeds: usize) -> impl Strategy<Value = Recipe> {
    let wrapper = select(vec![Wrapper::Notification, Wrapper::EventBridge, Wrapper::CloudEvents, Wrapper::Flat]);
    let scratches = prop_oneof![6 => Just(Vec::new()), 1 => vec((0.0..1.0_f64, any_scratch()), 1..3)];
    let nodes = prop_oneof![3 => Just(Vec::new()), 1 => vec((any::<usize>(), any_hostile()), 1..3)];
    let fields = vec((prop_oneof![select(&PATHS[..]), select(&PATHS[KEPT..])], any_hostile()), 0..4);
    let seed = prop_oneof![8 => 0..messages, 1 => 0..seeds];
    (seed, fields, nodes, option::weighted(0.2, wrapper), scratches)
        .prop_map(|(seed, fields, nodes, wrapper, scratches)| Recipe { seed, fields, nodes, wrapper, scratches })
}

impl Recipe {
    /// The body.
    pub fn body(&self, seed: &str) -> String {
        let mut text = match serde_json::from_str::<Value>(seed) {
            Ok(mut json) => {
                self.fields.iter().for_each(|(path, hostile)| set(&mut json, path, hostile));
                self.nodes.iter().for_each(|(place, hostile)| replace(&mut json, *place, hostile));
                with_tokens(&wrapped(json, self.wrapper).to_string())
            }
            Err(_) => seed.to_owned(),
        };
        self.scratches.iter().for_each(|(place, scratch)| scratch.spoil(&mut text, *place));
        text
    }
}

impl Hostile {
    fn value(&self, before: &Value) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Token(token) => Value::from(format!("@{token}@")),
            Self::Long(c, size) => Value::from(c.to_string().repeat(size / c.len_utf8())),
            Self::Nested(levels) => serde_json::from_str(&nested(*levels)).unwrap_or(Value::Null),
            Self::Many(count) => json!(vec![CANARY; *count]),
            Self::Keys(keys) => Value::Object(keys.iter().map(|key| (key.clone(), Value::from(CANARY))).collect()),
            Self::Quoted => Value::from(before.as_str().map_or_else(|| before.to_string(), str::to_owned)),
        }
    }
}

fn set(json: &mut Value, path: &str, hostile: &Hostile) {
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    match json.pointer_mut(parent) {
        Some(Value::Object(object)) => {
            let value = hostile.value(object.get(key).unwrap_or(&Value::Null));
            object.insert(key.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(hostile.value(&Value::Null)),
        // the list or the object that was to hold it is not there yet
        Some(parent @ Value::Null) => *parent = hostile.value(&Value::Null),
        _ => {}
    }
}

fn size(json: &Value) -> usize {
    1 + match json {
        Value::Array(values) => values.iter().map(size).sum(),
        Value::Object(object) => object.values().map(size).sum(),
        _ => 0_usize,
    }
}

/// Replaces the value that stands at a place of the tree, counted from its root.
fn replace(json: &mut Value, place: usize, hostile: &Hostile) {
    let mut place = place % size(json);
    let mut here = json;
    while place > 0 {
        place -= 1;
        let mut children: Box<dyn Iterator<Item = &mut Value>> = match here {
            Value::Array(values) => Box::new(values.iter_mut()),
            Value::Object(object) => Box::new(object.values_mut()),
            _ => return,
        };
        let inside = loop {
            let Some(child) = children.next() else { return };
            match size(child) {
                size if place < size => break child,
                size => place -= size,
            }
        };
        drop(children);
        here = inside;
    }
    *here = hostile.value(here);
}

fn wrapped(json: Value, wrapper: Option<Wrapper>) -> Value {
    match (wrapper, json) {
        (None, json) => json,
        (Some(Wrapper::Notification), json) => {
            json!({"Type": "Notification", "Message": with_tokens(&json.to_string()), "Subject": CANARY})
        }
        (Some(Wrapper::EventBridge), json) => json!({"detail-type": CANARY, "detail": json}),
        (Some(Wrapper::CloudEvents), json) => json!({"specversion": "1.0", "type": CANARY, "data": json}),
        (Some(Wrapper::Flat), Value::Object(mut outer)) => match outer.remove("data") {
            Some(Value::Object(data)) => Value::Object(outer.into_iter().chain(data).collect::<Map<_, _>>()),
            other => json!({"data": other}),
        },
        (Some(Wrapper::Flat), json) => json,
    }
}

fn with_tokens(text: &str) -> String {
    TOKENS.iter().enumerate().fold(text.to_owned(), |text, (number, token)| {
        if text.contains('@') { text.replace(&format!("\"@{number}@\""), token) } else { text }
    })
}

impl Scratch {
    fn spoil(&self, text: &mut String, place: f64) {
        let at = text.floor_char_boundary((place * text.len() as f64) as usize);
        let end = |length: &usize| text.floor_char_boundary(text.len().min(at + length));
        match self {
            Self::Insert(inserted) => text.insert_str(at, inserted),
            Self::Cut(length) => text.replace_range(at..end(length).max(at), ""),
            Self::CutShort => text.truncate(at),
            Self::Repeat(length) => {
                let again = text[at..end(length).max(at)].to_owned();
                text.insert_str(at, &again);
            }
        }
    }
}
