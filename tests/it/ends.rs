//! Conversations that end with their day: by what happened when, whatever arrives when, and after any downtime.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    events::{Event, Thread, names, noon_somewhere},
    stack::Stack,
};

const YESTERDAY: [&str; 2] = ["an hour before midnight", "the last instant of yesterday"];
const TODAY: [&str; 2] = ["midnight", "an hour past midnight"];

async fn daily(name: &str) -> (Stack, DateTime<Utc>) {
    let (zone, midnight) = noon_somewhere();
    (Stack::with(name, &[("CONVERSATIOND_MIDNIGHT_ZONE", &zone)]).await, midnight)
}

/// Every order of these.
fn orders<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let with_first = |first: usize| {
        let (mut rest, one) = (of.to_vec(), of[first].clone());
        rest.remove(first);
        orders(&rest).into_iter().map(move |order| [vec![one.clone()], order].concat())
    };
    (0..of.len()).flat_map(with_first).collect()
}

#[tokio::test]
async fn messages_around_midnight_stand_in_their_own_days_conversation_whatever_order_they_arrive_in() {
    let (stack, midnight) = daily("midnight-order").await;
    let times = [
        (YESTERDAY[0], TimeDelta::hours(-1)),
        (YESTERDAY[1], TimeDelta::microseconds(-1)),
        (TODAY[0], TimeDelta::zero()),
        (TODAY[1], TimeDelta::hours(1)),
    ];
    let orders = orders(&times);
    assert_eq!(orders.len(), 24);
    let threads: Vec<Thread> = (0..orders.len()).map(|n| Thread::of(&format!("tel:{n}"))).collect();
    let mut events: Vec<Event> = Vec::new();
    for (thread, order) in threads.iter().zip(&orders) {
        events.extend(order.iter().map(|(text, offset)| thread.said(text, midnight + *offset)));
    }
    stack.publish(&events).await;
    stack.consume().await;
    stack.publish(&threads.iter().map(Thread::close).collect::<Vec<_>>()).await;
    stack.settle().await;
    for (thread, order) in threads.iter().zip(&orders) {
        let mut archived = stack.archived_of(thread).await;
        archived.sort_by_key(|conversation| conversation.closed_at);
        let texts: Vec<Vec<&str>> = archived.iter().map(|conversation| conversation.texts()).collect();
        assert_eq!(texts, [YESTERDAY, TODAY], "arrived as {order:?}");
        assert_eq!(archived[0].closed_at, Some(midnight), "arrived as {order:?}");
        assert_eq!(archived[0].close_reason.as_deref(), Some("day_ended"), "arrived as {order:?}");
    }
    stack.done().await;
}

#[tokio::test]
async fn a_day_that_ended_while_no_timer_ran_closes_its_conversations_when_one_runs_again() {
    let (stack, midnight) = daily("midnight-missed").await;
    let threads: Vec<Thread> = (0..5).map(|n| Thread::of(&format!("tel:{n}"))).collect();
    let said: Vec<Event> = threads
        .iter()
        .flat_map(|thread| [2, 1].map(|n| thread.said(&format!("m{}", 3 - n), midnight - TimeDelta::minutes(n))))
        .collect();
    stack.publish(&said).await;
    stack.consume().await;
    for thread in &threads {
        assert!(stack.is_open(thread).await, "nobody has looked yet");
    }

    assert_eq!(stack.app.timer.run_once().await.expect("what is due"), threads.len());
    stack.consume().await;
    for thread in &threads {
        let archived = stack.archived_of(thread).await;
        assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
        assert_eq!((archived[0].closed_at, archived[0].close_reason.as_deref()), (Some(midnight), Some("day_ended")));
    }
    assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 0);

    // what was said yesterday and comes only now still finds its day
    stack.publish(&[threads[0].said("m3", midnight - TimeDelta::seconds(1)), threads[0].said("m4", midnight)]).await;
    stack.publish(&[threads[0].close()]).await;
    stack.settle().await;
    let archived = stack.archived_of(&threads[0]).await;
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1", "m2", "m3"], vec!["m4"]));
    stack.done().await;
}

#[tokio::test]
async fn two_replicas_that_find_one_day_over_close_its_conversation_once() {
    let (stack, midnight) = daily("midnight-replicas").await;
    let thread = Thread::of("tel:1");
    stack
        .publish(&[
            thread.said("m1", midnight - TimeDelta::minutes(2)),
            thread.said("m2", midnight - TimeDelta::minutes(1)),
        ])
        .await;
    stack.consume().await;
    let second = stack.replica().await;
    let (one, two) = tokio::join!(stack.app.timer.run_once(), second.timer.run_once());
    assert_eq!((one.expect("what is due"), two.expect("what is due")), (1, 1), "both have seen it");
    while stack.left().await > 0 {
        let (one, two) = tokio::join!(stack.app.consumer.poll_once(), second.consumer.poll_once());
        one.expect("a poll");
        two.expect("a poll");
    }
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
    let closes: Vec<(i64,)> = stack.ask("select count(*) from conversation_stats").await;
    assert_eq!((closes, archived[0].messages.iter().any(|message| message.late)), (vec![(1,)], false));
    assert!(names(2) == archived[0].texts() && stack.is_closed(&thread).await);
    stack.done().await;
}
