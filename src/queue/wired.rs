//! Receiving and deleting, which every message needs, without the SDK's layers. `None`: ask through the SDK.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    BATCH, Delivery, QueueError, Receipt, SqsQueue, TRACE_HEADER,
    sqs::{classify, seconds},
};
use crate::{domain::Sequence, wire::Answer};

/// A poll's answer may come this much after the wait.
const AFTER_WAIT: Duration = Duration::from_secs(5);

/// A delete that takes longer is given to the SDK.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Receive<'a> {
    queue_url: &'a str,
    max_number_of_messages: usize,
    wait_time_seconds: i32,
    visibility_timeout: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_request_attempt_id: Option<Uuid>,
    message_system_attribute_names: [&'static str; 5],
    message_attribute_names: [&'static str; 1],
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(rename = "Messages", borrow, default)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message<'a> {
    message_id: String,
    #[serde(borrow)]
    receipt_handle: Cow<'a, str>,
    #[serde(borrow, default)]
    body: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: System<'a>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
}

/// System attributes; all of them are strings.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct System<'a> {
    message_group_id: String,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    sent_timestamp: Cow<'a, str>,
    #[serde(borrow)]
    approximate_receive_count: Cow<'a, str>,
    #[serde(rename = "AWSTraceHeader")]
    trace_header: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    string_value: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Delete<'a> {
    queue_url: &'a str,
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    id: String,
    receipt_handle: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    #[serde(default)]
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl SqsQueue {
    pub(super) async fn receive_by_wire(&self, attempt: Uuid, wait: Duration) -> Option<Vec<Delivery>> {
        let asked = Receive {
            queue_url: &self.url,
            max_number_of_messages: BATCH,
            wait_time_seconds: seconds(wait),
            visibility_timeout: seconds(self.visibility),
            receive_request_attempt_id: self.is_fifo().then_some(attempt),
            message_system_attribute_names: [
                "MessageGroupId",
                "SequenceNumber",
                "ApproximateReceiveCount",
                "SentTimestamp",
                TRACE_HEADER,
            ],
            message_attribute_names: ["All"],
        };
        let Answer::Done(body) = self.clients.wire.call("ReceiveMessage", &asked, wait + AFTER_WAIT).await? else {
            return None;
        };
        // what does not read as expected is asked for again, under the same attempt id
        let received: Received<'_> = serde_json::from_slice(&body).ok()?;
        Some(received.messages.into_iter().map(delivery).collect())
    }

    pub(super) async fn delete_by_wire(&self, receipts: &[Receipt]) -> Option<Vec<Result<(), QueueError>>> {
        let entry = |(place, receipt): (usize, &'_ Receipt)| (place.to_string(), receipt.0.clone());
        let ids: Vec<(String, Arc<str>)> = receipts.iter().enumerate().map(entry).collect();
        let entries = ids.iter().map(|(id, receipt)| Entry { id: id.clone(), receipt_handle: receipt }).collect();
        let asked = Delete { queue_url: &self.url, entries };
        let Answer::Done(body) = self.clients.wire.call("DeleteMessageBatch", &asked, PATIENCE).await? else {
            return None;
        };
        let deleted: Deleted = serde_json::from_slice(&body).ok()?;
        let mut results = vec![Ok(()); receipts.len()];
        for failed in deleted.failed {
            if let Some(result) = failed.id.parse::<usize>().ok().and_then(|place| results.get_mut(place)) {
                *result = Err(classify(&failed.code, failed.message.as_deref().unwrap_or_default()));
            }
        }
        Some(results)
    }
}

fn delivery(message: Message<'_>) -> Delivery {
    let system = message.attributes;
    let strings = message.message_attributes.into_iter();
    let mut attributes: BTreeMap<String, String> =
        strings.filter_map(|(name, value)| Some((name, value.string_value?))).collect();
    if let Some(trace) = system.trace_header {
        attributes.insert(TRACE_HEADER.to_owned(), trace);
    }
    let sent_at = system.sent_timestamp.parse().ok().and_then(DateTime::from_timestamp_millis);
    Delivery {
        message_id: message.message_id,
        receipt: Receipt(Arc::from(message.receipt_handle)),
        group_id: system.message_group_id,
        sequence: Sequence(system.sequence_number.parse().unwrap_or_default()),
        sent_at: sent_at.unwrap_or_default(),
        receive_count: system.approximate_receive_count.parse().unwrap_or(1),
        body: Arc::from(message.body),
        attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receive_is_read_with_all_that_comes_with_a_message() {
        let answer = r#"{"Messages": [{"MessageId": "m", "ReceiptHandle": "r", "MD5OfBody": "x", "Body": "{\"a\":\"é\\n\"}",
            "Attributes": {"MessageGroupId": "g", "SequenceNumber": "18882245240547823616", "SentTimestamp": "1795240800123",
                "ApproximateReceiveCount": "3", "AWSTraceHeader": "Root=1-2-3"},
            "MessageAttributes": {"event_type": {"DataType": "String", "StringValue": "due"},
                "bytes": {"DataType": "Binary", "BinaryValue": "AA=="}}},
            {"MessageId": "n", "ReceiptHandle": "s", "Body": "plain"}]}"#;
        let received: Received<'_> = serde_json::from_str(answer).expect("an answer");
        let [first, second]: [Delivery; 2] =
            received.messages.into_iter().map(delivery).collect::<Vec<_>>().try_into().expect("two");
        let attributes = [("event_type", "due"), (TRACE_HEADER, "Root=1-2-3")];
        assert_eq!(&*first.body, "{\"a\":\"é\\n\"}");
        assert_eq!((first.message_id.as_str(), &*first.receipt.0, first.group_id.as_str()), ("m", "r", "g"));
        assert_eq!((first.sequence.0, first.receive_count), (18_882_245_240_547_823_616, 3));
        assert_eq!(first.sent_at.timestamp_millis(), 1_795_240_800_123);
        assert_eq!(
            first.attributes,
            attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
        );
        assert_eq!((&*second.body, second.receive_count, second.attributes.len()), ("plain", 1, 0));
        for nothing in ["{}", r#"{"Messages": []}"#] {
            assert!(serde_json::from_str::<Received<'_>>(nothing).expect("an answer").messages.is_empty());
        }
    }
}
