//! What a conversation adds up to: written with its close, corrected by whatever arrives later.

use conversationd::context::{Counting, Line, Role, Tokenizer};
use serde_json::json;

use crate::{
    events::{Event, Thread, ago},
    stack::Stack,
};

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Adds {
    incoming_count: i64,
    outgoing_count: i64,
    late_count: i64,
    token_count: i64,
    duration_ms: Option<i64>,
    first_response_ms: Option<i64>,
    rating_count: i64,
    csat: Option<i16>,
}

fn answers(thread: &Thread, id: &str, at: chrono::DateTime<chrono::Utc>) -> Event {
    let message = json!({ "id": id, "text": id, "source": "outgoing", "created_at": at, "tokens_used": 7 });
    thread.event("message.sent", json!({ "message": message }))
}

/// What these cost in a model's window; what a publisher says that they took is in no sum.
fn tokens(said: &[(Role, &str)]) -> i64 {
    let lines: Vec<Line> = said.iter().map(|(role, text)| Line::new(*role, *text)).collect();
    Counting::Lines(Tokenizer::O200kBase).lines(&lines) as i64
}

#[tokio::test]
async fn statistics_are_written_with_the_close_and_a_late_arrival_corrects_them() {
    let stack = Stack::new("statistics").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let noon = ago(600);
    let at = |seconds| noon + chrono::TimeDelta::seconds(seconds);
    stack.publish(&[thread.said("m1", at(0)), answers(&thread, "m3", at(60)), thread.said("m4", at(90))]).await;
    stack.settle().await;
    let adds = async || stack.ask::<Adds>("select * from conversation_stats").await;
    assert_eq!(adds().await, [], "an open conversation has none");

    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let at_close = Adds {
        incoming_count: 2,
        outgoing_count: 1,
        late_count: 0,
        token_count: tokens(&[(Role::Human, "m1"), (Role::Ai, "m3"), (Role::Human, "m4")]),
        duration_ms: Some(90_000),
        first_response_ms: Some(60_000),
        rating_count: 0,
        csat: None,
    };
    assert_eq!(adds().await, [at_close]);

    // the answer that came late was the first, and the contact was pleased with it
    stack.publish(&[answers(&thread, "m2", at(5)), thread.scored("weni_csat", json!(5))]).await;
    stack.settle().await;
    let corrected = Adds {
        incoming_count: 2,
        outgoing_count: 2,
        late_count: 1,
        token_count: tokens(&[(Role::Human, "m1"), (Role::Ai, "m2"), (Role::Ai, "m3"), (Role::Human, "m4")]),
        duration_ms: Some(90_000),
        first_response_ms: Some(5_000),
        rating_count: 1,
        csat: Some(5),
    };
    assert_eq!(adds().await, [corrected]);
    assert_eq!(stack.archived().await[0].texts(), ["m1", "m2", "m3", "m4"]);
    stack.done().await;
}
