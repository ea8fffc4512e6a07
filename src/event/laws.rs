//! What holds of every body whatever: the decoder neither panics, nor wavers, nor lets a NUL in or a value out.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::testing::decode_body;
use super::{ConversationClose, Due, Event, Kind, conversation_close, due};
use crate::domain::{ConversationId, Thread};

const CANARY: &str = "canary5511999990000";

const NAMES: [&str; 21] = [
    "message.received",
    "message.sent",
    "conversation.save_message",
    "session.opened",
    "session_closed",
    "conversation.close",
    "due",
    "conversation.window",
    "conversation.update",
    "survey.csat",
    "survey.nps",
    "state.set",
    "state.delete",
    "project.updated",
    "contact.erase",
    "crm.linked",
    "crm.contact_updated",
    "conversation.classified",
    "get_context",
    "canary5511999990000",
    "",
];

/// Every field the decoder reads, by its path.
const PATHS: [&str; 78] = [
    "/Type",
    "/Message",
    "/MessageAttributes",
    "/detail-type",
    "/detail",
    "/specversion",
    "/type",
    "/event_type",
    "/correlation_id",
    "/data",
    "/key",
    "/value",
    "/data/correlation_id",
    "/data/key",
    "/data/value",
    "/data/project_uuid",
    "/data/tenant_id",
    "/data/contact_urn",
    "/data/channel_uuid",
    "/data/conversation_id",
    "/data/session_id",
    "/data/agent_id",
    "/data/resolution",
    "/data/reason",
    "/data/close_conversation_id",
    "/data/classified_conversation_id",
    "/data/due_conversation_id",
    "/data/due_at",
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
    "/data/message/attachments",
    "/data/message/metadata",
    "/data/message/canary",
    "/data/end",
    "/data/external_id",
    "/data/start",
    "/data/has_chats_room",
    "/data/ticket_uuid",
    "/data/created_on",
    "/data/name",
    "/data/contact_name",
    "/data/comment",
    "/data/answered_at",
    "/data/topic",
    "/data/subtopic",
    "/data/title",
    "/data/tags",
    "/data/participants",
    "/data/metadata",
    "/data/customer_info",
    "/data/state_type",
    "/data/state_key",
    "/data/state_value",
    "/data/ttl",
    "/data/carry_over",
    "/data/timezone",
    "/data/close_policy",
    "/data/close_policy/idle_seconds",
    "/data/close_policy/close_at_midnight",
    "/data/crm",
    "/data/crm_id",
    "/data/prospect_data",
    "/data/properties",
    "/canary",
];

/// A body that decodes, whichever of the handled names it has.
fn sound(name: &str) -> Value {
    json!({"event_type": name, "data": {
        "project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch", "session_id": "s",
        "value": 5, "title": "t", "state_type": "t", "state_key": "k", "state_value": 0, "timezone": "UTC", "close_policy": {},
        "resolution": 1, "classified_conversation_id": "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11",
        "crm": "c", "crm_id": "i", "prospect_data": {"a": "b"}, "properties": {"a": "b"},
        "due_conversation_id": "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11", "due_at": "2026-03-01T12:00:00Z",
        "message": {"text": "hi", "source": "incoming"},
    }})
}

fn put(body: &mut Value, path: &str, value: Value) {
    let (parent, key) = path.rsplit_once('/').expect("a path");
    if let Some(Value::Object(object)) = body.pointer_mut(parent) {
        object.insert(key.to_owned(), value);
    }
}

fn any_name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&NAMES[..])
}

fn any_path() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&PATHS[..])
}

/// Any JSON whose strings are drawn from `texts`.
fn json_of(texts: BoxedStrategy<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-10_i64..10).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((texts.clone(), inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    json_of(prop_oneof!["[a\0 é]{0,6}", ".{0,12}", Just("\0".to_owned())].boxed())
}

fn canary_json() -> impl Strategy<Value = Value> {
    json_of(prop_oneof![Just(CANARY.to_owned()), Just(format!("{CANARY}{}", "x".repeat(5_000)))].boxed())
}

/// A sound body with some of its fields replaced.
fn body_of(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (any_name(), vec((any_path(), values), 0..5)).prop_map(|(name, fields)| {
        let mut body = sound(name);
        for (path, value) in fields {
            put(&mut body, path, value);
        }
        body
    })
}

fn strings_of(event: &Event) -> Value {
    let kind = match &event.kind {
        Kind::Message(message) => json!(message),
        Kind::SessionOpened(opened) => json!([opened.session_id, opened.agent_id]),
        Kind::SessionClosed(closed) => json!(closed.session_id),
        Kind::ConversationClose(close) => json!([close.reason, close.topic, close.subtopic]),
        Kind::Rating(rating) => json!(rating),
        Kind::ConversationWindow(said) => json!([said.window, said.contact_name, said.ticket]),
        Kind::ConversationUpdate(changes) => json!([
            changes.title,
            changes.tags,
            changes.participants,
            changes.metadata,
            changes.customer_info,
            changes.agent_id
        ]),
        Kind::ConversationClassified(said) => json!([said.topic, said.subtopic]),
        Kind::SetVariable(set) => json!([set.state_type, set.key, set.value]),
        Kind::HubSpotRaw(signed) => json!([signed.body, signed.signature, signed.older_signature, signed.timestamp]),
        Kind::CrmRecordChanged(change) => json!([change.account, change.crm_id, change.what.as_str()]),
        Kind::CrmLinked(link) => json!([link.crm, link.crm_id, link.prospect]),
        Kind::ProjectUpdated(_) | Kind::ContactErase | Kind::Due(_) | Kind::Request(_) => Value::Null,
    };
    json!([event.thread, event.group_id, kind])
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn any_thread() -> impl Strategy<Value = Thread> {
    let part = "[^\0]{0,40}x";
    prop_oneof![
        (part, part, part).prop_map(|(project, contact, channel)| Thread {
            project,
            contact: Some(contact),
            channel: Some(channel),
            conversation: None,
        }),
        (part, proptest::option::of(part), part).prop_map(|(project, contact, conversation)| Thread {
            project,
            contact,
            channel: None,
            conversation: Some(conversation),
        }),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_decoder_panic(body in ".*") {
        let _ = decode_body(&body);
    }

    #[test]
    fn no_json_makes_the_decoder_panic(body in any_json()) {
        let _ = decode_body(&body.to_string());
    }

    #[test]
    fn a_body_cut_short_is_rejected(body in body_of(any_json()), cut in any::<proptest::sample::Index>()) {
        let body = body.to_string();
        let cut = cut.index(body.len());
        if body.is_char_boundary(cut) {
            prop_assert!(decode_body(&body[..cut]).is_err());
        }
    }

    #[test]
    fn a_body_decodes_to_the_same_event_every_time(body in body_of(any_json())) {
        let body = body.to_string();
        prop_assert_eq!(decode_body(&body), decode_body(&body));
    }

    #[test]
    fn no_string_of_an_event_has_a_nul(body in body_of(any_json())) {
        if let Ok(event) = decode_body(&body.to_string()) {
            prop_assert!(!has_nul(&strings_of(&event)));
        }
    }

    #[test]
    fn no_rejection_quotes_a_value(body in body_of(canary_json()), cut in any::<proptest::sample::Index>()) {
        let body = body.to_string();
        for text in [&body[..], &body[..cut.index(body.len())], &format!("{body}{CANARY}")] {
            if let Err(rejection) = decode_body(text) {
                let shown = format!("{rejection} {rejection:?} {}", json!(rejection));
                prop_assert!(!shown.contains("canary") && !shown.contains("5511999990"), "{}", shown);
            }
        }
    }

    #[test]
    fn the_timers_command_is_read_back(thread in any_thread(), id: u128, micros in 0..4_102_444_800_000_000_i64) {
        let due = Due {
            conversation_id: ConversationId(uuid::Uuid::from_u128(id)),
            due_at: chrono::DateTime::from_timestamp_micros(micros).expect("a time"),
        };
        let event = decode_body(&due::to_body(&thread, &due)).expect("an event");
        prop_assert_eq!((event.thread, event.kind), (thread, Kind::Due(due)));
    }

    #[test]
    fn an_operators_close_is_read_back(
        thread in any_thread(),
        resolution in proptest::option::of(0_u8..=4),
        reason in proptest::option::of("[^\0]{0,990}x"),
        id in proptest::option::of(any::<u128>()),
    ) {
        let conversation_id = id.map(|id| ConversationId(uuid::Uuid::from_u128(id)));
        let close = ConversationClose { resolution, reason, topic: None, subtopic: None, conversation_id };
        let event = decode_body(&conversation_close::to_body(&thread, &close)).expect("an event");
        prop_assert_eq!((event.thread, event.kind), (thread, Kind::ConversationClose(close)));
    }
}

#[test]
fn a_canary_in_any_one_field_does_not_show() {
    let mut rejections = 0;
    for name in NAMES {
        for path in PATHS {
            let inside: Map<_, _> = [(CANARY.to_owned(), json!(CANARY))].into_iter().collect();
            let long = json!(CANARY.repeat(300));
            let many = json!(vec![CANARY; 300]);
            for value in [json!(CANARY), long, many, json!(inside), json!(5_511_999_990_000.5)] {
                let mut body = sound(name);
                put(&mut body, path, value);
                if let Err(rejection) = decode_body(&body.to_string()) {
                    rejections += 1;
                    let shown = format!("{rejection} {rejection:?} {}", json!(rejection));
                    assert!(!shown.contains("canary") && !shown.contains("5511999990"), "{shown}");
                }
            }
        }
    }
    assert!(rejections > 500, "only {rejections} bodies were rejected");
}

#[test]
fn every_handled_name_is_sound_as_the_laws_take_it() {
    for name in &NAMES[..18] {
        assert!(decode_body(&sound(name).to_string()).is_ok(), "{name}");
    }
}
