//! A real queue on the local stack, given by `AWS_ENDPOINT_URL`: what is put into it, and what a missing one means.

use std::{sync::Arc, time::Duration};

use conversationd::{
    app::{Clients, Endpoints},
    config::QueueShape,
    sink::{Dispatch, Outcome, Sink, SqsSend},
};
use uuid::Uuid;

use crate::house::notice;

#[tokio::test]
async fn a_change_arrives_once_in_its_lanes_group_and_a_missing_queue_pauses() {
    let clients = Clients::build(&Endpoints::default(), Duration::from_secs(1), &Arc::default()).await;
    let sqs = clients.sqs.control.clone();
    let name = format!("outbox-test-{}.fifo", Uuid::new_v4().simple());
    let make = sqs.create_queue().queue_name(&name).attributes("FifoQueue".into(), "true");
    let url = make.send().await.expect("a queue").queue_url.expect("its URL");
    let sink = SqsSend::new(sqs.clone(), url.clone(), QueueShape::Notice);
    let told = notice(1, 1);
    let dispatch = Dispatch { notice: &told, lane: told.conversation_lane, sequence: 7, attempt: 1 };
    for _ in 0..2 {
        assert_eq!(sink.send(&dispatch).await.outcome, Outcome::Delivered);
    }
    let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(1);
    let got = receive.message_system_attribute_names("MessageGroupId".into()).send().await.expect("receive");
    let messages = got.messages.unwrap_or_default();
    assert_eq!(messages.len(), 1, "the repeat is dropped by its deduplication id");
    let body: serde_json::Value = serde_json::from_str(messages[0].body().expect("a body")).expect("JSON");
    assert_eq!((body["type"].as_str(), body["sequence"].as_i64()), (Some("conversation.updated"), Some(7)));
    let group = messages[0].attributes().and_then(|all| all.get(&"MessageGroupId".into())).cloned();
    assert_eq!(group, Some(told.conversation_lane.to_string()));
    sqs.delete_queue().queue_url(&url).send().await.expect("it goes");
    assert_eq!(sink.send(&dispatch).await.outcome, Outcome::Misconfigured);
}
