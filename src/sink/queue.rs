//! An SQS queue: change notifications, billing, the datalake's events, as JSON.

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_message::SendMessageError,
};
use sha2::{Digest, Sha256};

use super::{Dispatch, Outcome, Sink, Verdict, shape};
use crate::config::QueueShape;

/// The sink.
pub struct SqsSend {
    client: Client,
    url: String,
    shape: QueueShape,
}

impl SqsSend {
    /// Into the queue at `url`.
    pub fn new(client: Client, url: String, shape: QueueShape) -> Self {
        Self { client, url, shape }
    }
}

#[async_trait]
impl Sink for SqsSend {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        let notice = dispatch.notice;
        let lane = dispatch.lane.to_string();
        let shaped = match &self.shape {
            QueueShape::Notice => Some((shape::notice(dispatch), lane)),
            QueueShape::Billing => shape::billing(notice).map(|(body, group)| (body, legal(&group))),
            QueueShape::Datalake(names) => shape::datalake(notice, names).map(|event| (event.json(), lane)),
        };
        let Some((body, group)) = shaped else { return Verdict::not_for_it() };
        let call = self.client.send_message().queue_url(&self.url).message_body(body.to_string());
        let call = if self.url.ends_with(".fifo") {
            // the same for every attempt: a repeat within five minutes is dropped by SQS itself
            call.message_group_id(group).message_deduplication_id(shape::event_id(notice))
        } else {
            call
        };
        match call.send().await {
            Ok(_) => Verdict::delivered(None),
            Err(failure) => judge(&failure),
        }
    }
}

/// A group's name as SQS takes it: 128 printable characters.
fn legal(group: &str) -> String {
    let fits = group.len() <= 128 && group.chars().all(|c| c.is_ascii_graphic());
    if fits {
        return group.to_owned();
    }
    Sha256::digest(group.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn judge(failure: &SdkError<SendMessageError>) -> Verdict {
    let status = failure.raw_response().map(|response| response.status().as_u16());
    let Some(refusal) = failure.as_service_error() else {
        return Verdict::failed(Outcome::Retry { after: None }, status, "the queue did not answer");
    };
    let code = refusal.code().unwrap_or_default();
    let is = |codes: &[&str]| codes.iter().any(|known| code.ends_with(known));
    let (outcome, reason) = if is(&["InvalidMessageContents", "InvalidParameterValue", "BatchRequestTooLong"]) {
        (Outcome::Refused { tries: 1 }, "the queue does not take the message")
    } else if is(&["Throttled", "Throttling", "ThrottlingException", "OverLimit"]) {
        (Outcome::Throttled { after: None }, "the queue is throttled")
    } else if is(&["NonExistentQueue", "QueueDoesNotExist"]) {
        (Outcome::Misconfigured, "the queue does not exist")
    } else if matches!(status, Some(401 | 403)) || code.starts_with("AccessDenied") || code.starts_with("Kms") {
        (Outcome::Misconfigured, "the queue may not be written")
    } else {
        (Outcome::Retry { after: None }, "the queue did not take it")
    };
    Verdict::failed(outcome, status, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_sqs_would_refuse_is_hashed() {
        assert_eq!(legal("c:whatsapp:55"), "c:whatsapp:55");
        assert_eq!(legal(&"c".repeat(129)).len(), 64);
        assert_eq!(legal("c:é").len(), 64);
    }
}
