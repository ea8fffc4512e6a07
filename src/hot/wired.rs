//! What every message needs of the table, without the SDK's layers: heads read, messages put, heads written. `None`: ask through
//! the SDK.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize, Serializer, de::IgnoredAny, ser::SerializeMap as _};

use super::{
    DynamoStore, HotError,
    item::{Attribute, Attributes, BODY, HEAD, PK, SK, VERSION, read_head},
};
use crate::{
    domain::{Head, ThreadKey},
    wire::Answer,
};

/// A call that takes longer is given to the SDK.
const PATIENCE: Duration = Duration::from_secs(3);

/// Heads remembered as they were read, and the longest of their bodies: some megabytes at most.
const REMEMBERED: usize = 1_000;
const LONGEST_REMEMBERED: usize = 4_096;

/// Bodies of heads that were read, and what they say. A head is read twice for each message and seldom changes: what reads the
/// same says the same. Nothing is believed that was not read just now.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings(Arc<Mutex<HashMap<String, (String, Head)>>>);

impl Readings {
    fn of(&self, pk: &str, body: &str) -> Result<Head, HotError> {
        if let Some((_, head)) = self.lock().get(pk).filter(|(known, _)| known == body) {
            return Ok(head.clone());
        }
        let head = read_head(body)?;
        if body.len() <= LONGEST_REMEMBERED {
            let mut readings = self.lock();
            if readings.len() >= REMEMBERED {
                readings.clear();
            }
            readings.insert(pk.to_owned(), (body.to_owned(), head.clone()));
        }
        Ok(head)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (String, Head)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item as DynamoDB writes it in JSON.
struct Written<'a>(&'a Attributes<'a>);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            match value {
                Attribute::Text(text) => map.serialize_entry(name, &Text { s: text })?,
                Attribute::Number(number) => map.serialize_entry(name, &Number { n: *number })?,
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "S")]
    s: &'a str,
}

/// Written as a string: JSON's numbers are too small for DynamoDB's.
#[derive(Serialize)]
struct Number {
    #[serde(rename = "N", serialize_with = "digits")]
    n: i64,
}

fn digits<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGet<'a> {
    request_items: BTreeMap<&'a str, Wanted<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Wanted<'a> {
    keys: Vec<BTreeMap<&'static str, Text<'a>>>,
    consistent_read: bool,
    projection_expression: &'static str,
    expression_attribute_names: BTreeMap<&'static str, &'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGot<'a> {
    #[serde(borrow)]
    responses: HashMap<Cow<'a, str>, Vec<Found<'a>>>,
    #[serde(borrow, default)]
    unprocessed_keys: HashMap<Cow<'a, str>, IgnoredAny>,
}

/// A head's item: [`PK`] and [`BODY`].
#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    pk: Read<'a>,
    #[serde(borrow)]
    body: Read<'a>,
}

/// A text.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(rename = "S", borrow)]
    s: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchWrite<'a> {
    request_items: BTreeMap<&'a str, Vec<Request<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    put_request: PutRequest<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest<'a> {
    item: Written<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchWrote<'a> {
    #[serde(borrow, default)]
    unprocessed_items: HashMap<Cow<'a, str>, IgnoredAny>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put<'a> {
    table_name: &'a str,
    item: Written<'a>,
    condition_expression: &'static str,
    expression_attribute_names: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression_attribute_values: Option<BTreeMap<&'static str, Number>>,
}

impl DynamoStore {
    pub(super) async fn heads_by_wire(&self, threads: &[ThreadKey]) -> Option<Vec<Result<Option<Head>, HotError>>> {
        let wanted = Wanted {
            keys: threads
                .iter()
                .map(|thread| [(PK, Text { s: thread.as_str() }), (SK, Text { s: HEAD })].into())
                .collect(),
            consistent_read: true,
            projection_expression: "#pk,#body",
            expression_attribute_names: [("#pk", PK), ("#body", BODY)].into(),
        };
        let asked = BatchGet { request_items: [(self.table.as_str(), wanted)].into() };
        let Answer::Done(body) = self.wire.as_ref()?.call("BatchGetItem", &asked, PATIENCE).await? else { return None };
        let mut got: BatchGot<'_> = serde_json::from_slice(&body).ok()?;
        if !got.unprocessed_keys.is_empty() {
            return None;
        }
        let items = got.responses.remove(self.table.as_str()).unwrap_or_default();
        let found: HashMap<&str, &str> = items.iter().map(|item| (&*item.pk.s, &*item.body.s)).collect();
        let head = |thread: &ThreadKey| {
            found.get(thread.as_str()).map(|body| self.readings.of(thread.as_str(), body)).transpose()
        };
        Some(threads.iter().map(head).collect())
    }

    /// Returns whether all of it was written.
    pub(super) async fn write_by_wire(&self, items: &[Attributes<'_>]) -> bool {
        let Some(wire) = &self.wire else { return false };
        let puts = items.iter().map(|item| Request { put_request: PutRequest { item: Written(item) } }).collect();
        let asked = BatchWrite { request_items: [(self.table.as_str(), puts)].into() };
        let Some(Answer::Done(body)) = wire.call("BatchWriteItem", &asked, PATIENCE).await else { return false };
        serde_json::from_slice::<BatchWrote<'_>>(&body).is_ok_and(|wrote| wrote.unprocessed_items.is_empty())
    }

    /// Returns whether the version before stood there; see [`super::HotStore::write_head`].
    pub(super) async fn write_head_by_wire(&self, item: &Attributes<'_>, version: u64) -> Option<bool> {
        let before = i64::try_from(version.saturating_sub(1)).ok()?;
        let put = |condition_expression, name, values| Put {
            table_name: &self.table,
            item: Written(item),
            condition_expression,
            expression_attribute_names: [name].into(),
            expression_attribute_values: values,
        };
        let asked = match version {
            1 => put("attribute_not_exists(#pk)", ("#pk", PK), None),
            _ => {
                let values = [(":read", Number { n: before })].into();
                put("#version = :read", ("#version", VERSION), Some(values))
            }
        };
        Some(self.wire.as_ref()?.call("PutItem", &asked, PATIENCE).await? != Answer::ConditionFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_written_as_dynamodb_writes_it() {
        let item: Attributes<'_> =
            vec![(PK, Attribute::Text("p#\"é\"".into())), (VERSION, Attribute::Number(18_000_000_000_000_000))];
        let written = serde_json::to_value(Written(&item)).expect("json");
        assert_eq!(written, serde_json::json!({"pk": {"S": "p#\"é\""}, "version": {"N": "18000000000000000"}}));
    }

    #[test]
    fn heads_are_read_by_the_names_they_are_written_under() {
        assert_eq!((PK, BODY), ("pk", "body"));
        let answer = r#"{"Responses": {"t": [{"body": {"S": "{\"a\":1}"}, "pk": {"S": "x"}}]},
            "UnprocessedKeys": {"t": {"Keys": []}}}"#;
        let got: BatchGot<'_> = serde_json::from_str(answer).expect("an answer");
        let found = &got.responses["t"][0];
        assert_eq!((&*found.pk.s, &*found.body.s), ("x", r#"{"a":1}"#));
        assert!(!got.unprocessed_keys.is_empty(), "what was left out is seen");
    }
}
