//! The queue on Amazon SQS.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
        MessageAttributeValue, MessageSystemAttributeName as System,
        MessageSystemAttributeNameForSends as SystemForSends, MessageSystemAttributeValue,
    },
};
use chrono::DateTime;
use uuid::Uuid;

use super::{BATCH, Command, DeadLetterReason, Delivery, Note, Queue, QueueError, Receipt, SENDER, TRACE_HEADER};
use crate::domain::Sequence;

/// Long polls and quick calls need different time limits and retries.
#[derive(Clone, Debug)]
pub struct SqsClients {
    /// For receives: waits longer than the longest poll; retried by us, with the same attempt id.
    pub poll: Client,
    /// For everything else.
    pub control: Client,
}

/// The inbound queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    clients: SqsClients,
    url: String,
    dead_letter_url: String,
    visibility: Duration,
    tells_senders: bool,
}

impl SqsQueue {
    /// The queue at `url`, whose deliveries are hidden for `visibility`.
    pub fn new(clients: SqsClients, url: String, dead_letter_url: String, visibility: Duration) -> Self {
        Self { clients, url, dead_letter_url, visibility, tells_senders: false }
    }

    /// The same, whose deliveries say who sent them if `told`.
    pub fn telling_senders(self, told: bool) -> Self {
        Self { tells_senders: told, ..self }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, attempt: Uuid, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let sender = self.tells_senders.then_some(System::SenderId);
        let call = self
            .clients
            .poll
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH as i32)
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(self.visibility))
            // a standard queue knows no such thing
            .set_receive_request_attempt_id(self.url.ends_with(".fifo").then(|| attempt.to_string()))
            .message_system_attribute_names(System::MessageGroupId)
            .message_system_attribute_names(System::SequenceNumber)
            .message_system_attribute_names(System::ApproximateReceiveCount)
            .message_system_attribute_names(System::SentTimestamp)
            .message_system_attribute_names(System::AwsTraceHeader)
            .message_attribute_names("All");
        let call = sender.into_iter().fold(call, |call, name| call.message_system_attribute_names(name));
        let received = call.send().await.map_err(error)?;
        Ok(received.messages.unwrap_or_default().into_iter().filter_map(delivery).collect())
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        let entry = |(place, receipt): (usize, &Receipt)| {
            DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(&*receipt.0).build()
        };
        let Ok(entries) = receipts.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>() else {
            return vec![Err(incomplete()); receipts.len()];
        };
        let sent = self.clients.control.delete_message_batch().queue_url(&self.url).set_entries(Some(entries)).send();
        match sent.await {
            Ok(done) => settled(receipts.len(), done.failed()),
            Err(failure) => vec![Err(error(failure)); receipts.len()],
        }
    }

    async fn hide(&self, receipts: Vec<(Receipt, Duration)>) -> Vec<Result<(), QueueError>> {
        let entry = |(place, (receipt, hidden)): (usize, &(Receipt, Duration))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(place.to_string())
                .receipt_handle(&*receipt.0)
                .visibility_timeout(seconds(*hidden))
                .build()
        };
        let Ok(entries) = receipts.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>() else {
            return vec![Err(incomplete()); receipts.len()];
        };
        let call = self.clients.control.change_message_visibility_batch().queue_url(&self.url);
        match call.set_entries(Some(entries)).send().await {
            Ok(done) => settled(receipts.len(), done.failed()),
            Err(failure) => vec![Err(error(failure)); receipts.len()],
        }
    }

    async fn send(&self, command: Command) -> Result<(), QueueError> {
        let call = self.clients.control.send_message().queue_url(&self.url).message_body(command.body);
        let mut call = call.message_group_id(command.group_id).message_deduplication_id(command.dedup_id);
        for (name, value) in command.attributes {
            call = match name.as_str() {
                TRACE_HEADER => call.message_system_attributes(SystemForSends::AwsTraceHeader, trace_header(value)?),
                _ => call.message_attributes(name, string(value)?),
            };
        }
        call.send().await.map(|_| ()).map_err(error)
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &DeadLetterReason) -> Result<(), QueueError> {
        let mut call = self
            .clients
            .control
            .send_message()
            .queue_url(&self.dead_letter_url)
            .message_body(&*delivery.body)
            .message_group_id(&delivery.group_id)
            // sent twice, when we die before the delete, it is taken once
            .message_deduplication_id(&delivery.message_id);
        let note = Note::of(delivery, reason, &self.url);
        for (name, value) in note.attributes(&delivery.attributes, delivery.body.len()) {
            call = match name.as_str() {
                TRACE_HEADER => call.message_system_attributes(SystemForSends::AwsTraceHeader, trace_header(value)?),
                _ => call.message_attributes(name, string(value)?),
            };
        }
        call.send().await.map(|_| ()).map_err(error)
    }
}

fn string(value: String) -> Result<MessageAttributeValue, QueueError> {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().map_err(|_| incomplete())
}

fn trace_header(value: String) -> Result<MessageSystemAttributeValue, QueueError> {
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(value).build();
    value.map_err(|_| incomplete())
}

fn delivery(message: Message) -> Option<Delivery> {
    let system = message.attributes.unwrap_or_default();
    let parsed = |name| system.get(&name).and_then(|value: &String| value.parse::<i64>().ok());
    let strings = message.message_attributes.unwrap_or_default();
    let mut attributes: BTreeMap<String, String> =
        strings.into_iter().filter_map(|(name, value)| Some((name, value.string_value?))).collect();
    // nobody's word but that of SQS
    attributes.remove(SENDER);
    if let Some(sender) = system.get(&System::SenderId) {
        attributes.insert(SENDER.to_owned(), sender.clone());
    }
    if let Some(trace) = system.get(&System::AwsTraceHeader) {
        attributes.insert(TRACE_HEADER.to_owned(), trace.clone());
    }
    Some(Delivery {
        message_id: message.message_id?,
        receipt: Receipt(Arc::from(message.receipt_handle?)),
        group_id: system.get(&System::MessageGroupId).cloned().unwrap_or_default(),
        sequence: Sequence(system.get(&System::SequenceNumber).and_then(|n| n.parse().ok()).unwrap_or_default()),
        sent_at: parsed(System::SentTimestamp).and_then(DateTime::from_timestamp_millis).unwrap_or_default(),
        receive_count: parsed(System::ApproximateReceiveCount).and_then(|n| n.try_into().ok()).unwrap_or(1),
        body: Arc::from(message.body.unwrap_or_default()),
        attributes,
    })
}

/// The results of a batch call's entries, whose ids are their places.
fn settled(entries: usize, failed: &[BatchResultErrorEntry]) -> Vec<Result<(), QueueError>> {
    let mut results = vec![Ok(()); entries];
    for entry in failed {
        if let Some(result) = entry.id().parse::<usize>().ok().and_then(|place| results.get_mut(place)) {
            *result = Err(classify(entry.code(), entry.message().unwrap_or_default()));
        }
    }
    results
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

fn incomplete() -> QueueError {
    QueueError::Refused("the request could not be built".into())
}

pub(super) fn error<E: ProvideErrorMetadata, R>(failure: SdkError<E, R>) -> QueueError {
    match failure.code() {
        Some(code) => classify(code, failure.message().unwrap_or_default()),
        None => QueueError::Unavailable(failure.to_string()),
    }
}

/// Reasons by which an invalid parameter is a lost lease.
const LAPSED: [&str; 2] = ["expired", "not available for visibility timeout change"];

/// A lost lease has three shapes: a handle that is invalid, (FIFO, fact F5) a parameter that is, because it expired, and for a
/// change of visibility a parameter that is, because the message is gone or visible again.
fn classify(code: &str, message: &str) -> QueueError {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    match code {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => QueueError::LeaseLost,
        "InvalidParameterValue" if LAPSED.iter().any(|reason| message.contains(reason)) => QueueError::LeaseLost,
        // a missing queue or permission is an outage, not a fault of the message
        "InvalidParameterValue" | "InvalidMessageContents" => QueueError::Refused(code.to_owned()),
        code => QueueError::Unavailable(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_beyond_64_bits_is_read_to_its_last_digit() {
        for number in ["18882245240547823616", "340282366920938463463374607431768211455"] {
            let message = Message::builder()
                .message_id("m")
                .receipt_handle("r")
                .attributes(System::SequenceNumber, number)
                .build();
            let delivery = delivery(message).expect("a delivery");
            assert_eq!(delivery.sequence.0.to_string(), number);
        }
    }

    #[test]
    fn who_sent_a_message_is_said_by_sqs_alone() {
        let forged = MessageAttributeValue::builder().data_type("String").string_value("AROAOTHER").build();
        let message = Message::builder().message_id("m").receipt_handle("r");
        let message = message.message_attributes(SENDER, forged.expect("an attribute"));
        let silent = delivery(message.clone().build()).expect("a delivery");
        assert_eq!(silent.attributes.get(SENDER), None);
        let told = delivery(message.attributes(System::SenderId, "AROABOT:i").build()).expect("a delivery");
        assert_eq!(told.attributes.get(SENDER).map(String::as_str), Some("AROABOT:i"));
    }

    #[test]
    fn every_shape_of_a_lost_lease_is_known() {
        assert_eq!(classify("ReceiptHandleIsInvalid", ""), QueueError::LeaseLost);
        let expired = "Value AQEB is invalid. Reason: The receipt handle has expired.";
        assert_eq!(classify("InvalidParameterValue", expired), QueueError::LeaseLost);
        let gone = "Value AQEB for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available \
                    for visibility timeout change.";
        assert_eq!(classify("InvalidParameterValue", gone), QueueError::LeaseLost);
        assert!(matches!(classify("InvalidParameterValue", "too long"), QueueError::Refused(_)));
        assert!(matches!(classify("ServiceUnavailable", ""), QueueError::Unavailable(_)));
    }
}
