//! The queues of requests and replies, those that the settings name.

use super::{
    Finding, Role,
    permissions::{Tried, judged, try_queue},
    queues::answer,
};
use crate::{config::AskConfig, operate::clients, queue::ReplyQueue};

const REPLIES: &str = "reply queue";
const REQUESTS: &str = "request queue";

/// Tries whether each listed reply queue takes replies, and looks at the request queue.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Vec<Finding> {
    let Ok(asked) = AskConfig::read(get) else { return Vec::new() };
    let sqs = clients(asked.queue.region.clone(), None).await.sqs.control;
    let queues = asked.replies.map(|list| list.listed()).unwrap_or_default();
    let mut findings = Vec::new();
    if role == Role::Daemon {
        findings = futures_util::future::join_all(queues.iter().map(|queue| reply(&sqs, queue))).await;
    }
    if let Some(url) = asked.request_queue {
        findings.extend(requests(&sqs, &url, role).await);
    }
    findings
}

/// A message that no queue takes: that it is refused for what it is says that the queue is there, and may be sent to.
async fn reply(sqs: &aws_sdk_sqs::Client, queue: &ReplyQueue) -> Finding {
    let name = queue.url.rsplit('/').next().unwrap_or_default();
    let why = "who asks for an answer there waits in vain: a reply is tried once";
    let sent = sqs.send_message().queue_url(&queue.url).message_body("\u{ffff}").send().await;
    let absent = sent.as_ref().err().and_then(super::finding::code).is_some_and(super::finding::is_absent);
    match judged(sent) {
        Tried::Allowed => Finding::ok(REPLIES, format!("{name} may be sent to")),
        Tried::Refused(code) => {
            let advice = "give the role the right to sqs:SendMessage on it";
            Finding::fault(REPLIES, format!("{name}: {code}"), why, advice)
        }
        Tried::Untold if absent => {
            let advice = format!(
                "aws sqs create-queue --queue-name {name}{}, or take it out of CONVERSATIOND_REPLY_QUEUES",
                if queue.fifo { " --attributes FifoQueue=true" } else { "" }
            );
            Finding::fault(REPLIES, format!("{name} does not exist"), why, advice)
        }
        Tried::Untold => {
            Finding::fault(REPLIES, format!("{name} does not answer"), why, "see that its URL and region are right")
        }
    }
}

async fn requests(sqs: &aws_sdk_sqs::Client, url: &str, role: Role) -> Vec<Finding> {
    let found = match answer(REQUESTS, "SQS_CONVERSATION_REQUEST_QUEUE_URL", sqs, url).await {
        Ok((finding, _)) | Err(finding) => finding,
    };
    if role != Role::Daemon {
        return vec![found];
    }
    let mut refused = Vec::new();
    for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"] {
        if let Some(Tried::Refused(_)) = try_queue(sqs, url, action).await {
            refused.push(action);
        }
    }
    if refused.is_empty() {
        return vec![found];
    }
    let why = "requests are not answered, or answered again and again";
    let advice = format!("give the role {} on the request queue", refused.join(", "));
    vec![found, Finding::fault("request queue permissions", format!("refused: {}", refused.join(", ")), why, advice)]
}
