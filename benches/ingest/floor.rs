//! The floor: receive ten, delete ten, with the AWS SDK. Does nothing with what it receives.

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use conversationd::{app::Clients, counters::Counters};

use crate::backlog::PER_RECEIVE;

/// Empties the queue, for ever.
///
/// # Errors
/// A call failed.
pub async fn run(clients: &Clients, queue: &str, counters: &Counters) -> anyhow::Result<()> {
    loop {
        let messages = receive(clients, queue).await?;
        if messages.is_empty() {
            continue;
        }
        let entry = |(place, message): (usize, &Message)| {
            let handle = message.receipt_handle().unwrap_or_default();
            DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(handle).build()
        };
        let entries = messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        clients.sqs.control.delete_message_batch().queue_url(queue).set_entries(Some(entries)).send().await?;
        counters.settled.add(messages.len());
    }
}

/// One receive, as the daemon's.
///
/// # Errors
/// The call failed.
pub async fn receive(clients: &Clients, queue: &str) -> anyhow::Result<Vec<Message>> {
    let poll = clients.sqs.poll.receive_message().queue_url(queue);
    let poll = poll.max_number_of_messages(i32::try_from(PER_RECEIVE)?).wait_time_seconds(10);
    let poll = poll.message_system_attribute_names("All".into()).message_attribute_names("All");
    Ok(poll.send().await?.messages.unwrap_or_default())
}
