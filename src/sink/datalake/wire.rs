//! The messages of the datalake's service, field by field as they go over the wire (protocol buffers, version 3).

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

use crate::sink::shape::DatalakeEvent;

/// One event.
#[derive(Clone, PartialEq, Message)]
pub struct InsertEventData {
    /// The name of all events of one source.
    #[prost(string, tag = "1")]
    pub event_name: String,
    /// What it measures.
    #[prost(string, tag = "2")]
    pub key: String,
    /// When.
    #[prost(message, optional, tag = "3")]
    pub date: Option<Timestamp>,
    /// The project.
    #[prost(string, tag = "4")]
    pub project: String,
    /// The contact.
    #[prost(string, tag = "5")]
    pub contact_urn: String,
    /// How the value is to be read.
    #[prost(enumeration = "ValueType", tag = "6")]
    pub value_type: i32,
    /// The value.
    #[prost(message, optional, tag = "7")]
    pub value: Option<ValueData>,
    /// More about it.
    #[prost(message, optional, tag = "8")]
    pub metadata: Option<Struct>,
}

/// How a value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ValueType {
    /// Nobody said.
    Unspecified = 0,
    /// A whole number.
    Int = 1,
    /// A text: what is always sent.
    String = 2,
    /// True or false.
    Bool = 3,
    /// Texts.
    List = 4,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct ValueData {
    /// As a text; the service knows other forms, which are never sent.
    #[prost(oneof = "TypedValue", tags = "2")]
    pub value: Option<TypedValue>,
}

/// The forms of a value.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum TypedValue {
    /// A text.
    #[prost(string, tag = "2")]
    String(String),
}

/// A time: google.protobuf.Timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Timestamp {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Names and values: google.protobuf.Struct.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    /// By name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// A value in a struct: google.protobuf.Value.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Value {
    /// A text or nothing; other forms are never sent.
    #[prost(oneof = "Kind", tags = "1, 3")]
    pub kind: Option<Kind>,
}

/// The forms of a value in a struct.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Kind {
    /// Nothing.
    #[prost(int32, tag = "1")]
    Null(i32),
    /// A text.
    #[prost(string, tag = "3")]
    String(String),
}

impl From<&DatalakeEvent> for InsertEventData {
    fn from(event: &DatalakeEvent) -> Self {
        let field = |(name, value): &(&str, Option<String>)| {
            let kind = value.clone().map_or(Kind::Null(0), Kind::String);
            ((*name).to_owned(), Value { kind: Some(kind) })
        };
        Self {
            event_name: event.event_name.clone(),
            key: event.key.clone(),
            date: Some(Timestamp {
                seconds: event.date.timestamp(),
                nanos: i32::try_from(event.date.timestamp_subsec_nanos()).unwrap_or_default(),
            }),
            project: event.project.clone(),
            contact_urn: event.contact_urn.clone(),
            value_type: ValueType::String.into(),
            value: Some(ValueData { value: Some(TypedValue::String(event.value.clone())) }),
            metadata: Some(Struct { fields: event.metadata.iter().map(field).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the service's own client sends for the event below, captured.
    const GOLDEN: &str = "0a0f77656e695f6e657875735f64617461120977656e695f637361741a0c08d5e884d8061080eba5c302222437663163326433342d303030302d343030302d383030302d3030303030303030303030312a1677686174736170703a3535313139393939393030303030023a031201354282010a170a11636f6e766572736174696f6e5f75756964120208000a340a0a6167656e745f7575696412261a2461303030303030302d303030302d343030302d383030302d3030303030303030303030610a310a17636f6e766572736174696f6e5f73746172745f6461746512161a14323032362d31312d32315430323a30303a30305a";

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")).collect()
    }

    #[test]
    fn weni_golden_244() {
        let golden = bytes(GOLDEN);
        let event = DatalakeEvent {
            event_name: "weni_nexus_data".into(),
            key: "weni_csat".into(),
            date: "2026-11-21T03:04:05.678-03:00".parse().expect("a time"),
            project: "7f1c2d34-0000-4000-8000-000000000001".into(),
            contact_urn: "whatsapp:5511999990000".into(),
            value: "5".into(),
            metadata: vec![
                ("conversation_uuid", None),
                ("agent_uuid", Some("a0000000-0000-4000-8000-00000000000a".into())),
                ("conversation_start_date", Some("2026-11-21T02:00:00Z".into())),
            ],
        };
        let ours = InsertEventData::from(&event);
        assert_eq!(InsertEventData::decode(&golden[..]).expect("it decodes"), ours);
        // a map has no order of its own: the bytes are the same but for that
        let encoded = ours.encode_to_vec();
        assert_eq!(encoded.len(), golden.len());
        assert_eq!(encoded[..100], golden[..100]);
    }
}
