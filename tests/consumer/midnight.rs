//! Thousands of conversations that are due at one moment.

use std::time::Duration;

use chrono::TimeDelta;
use conversationd::{
    domain::{Conversation, Head, Message},
    event::{self, Kind, Raw},
    timer::OUTSTANDING,
};
use tokio::time::sleep;

use super::{HOUR, Story};
use crate::model::{
    replica::{POLICY, Replica},
    scenario::{message, thread},
};

/// Conversations of one midnight: many times what may be outstanding. `CONVERSATIONS=100000` tries as many.
#[allow(clippy::disallowed_methods)] // how many are asked for
fn conversations() -> u64 {
    std::env::var("CONVERSATIONS").ok().and_then(|many| many.parse().ok()).unwrap_or(15 * OUTSTANDING as u64)
}

/// Conversations that are open, hold one message each and are all due now.
fn due_at_once(story: &mut Story) {
    let (world, at) = (story.world.clone(), story.world.server_time());
    for contact in 1..=conversations() {
        let thread = thread(contact);
        let said: Message = {
            let (body, none) = (message(&world, &thread, 1), Default::default());
            let raw = Raw { body: &body, attributes: &none, sent_at: at, sequence: Default::default(), group_id: "g" };
            match event::decode(&raw).expect("a message").kind {
                Kind::Message(message) => Message::clone(&message),
                other => panic!("not a message: {other:?}"),
            }
        };
        let head = Head::opened_by(&thread, &format!("group {contact}"), None, &said, &POLICY);
        let Conversation::Open(mut open) = head.conversation.clone() else { panic!("not open") };
        open.due.at = at - TimeDelta::seconds(1);
        let id = open.record.id;
        story.published.threads[usize::try_from(contact).expect("few")].push(said.event_id);
        let mut state = world.state();
        state.hot.heads.insert(thread.key(), Head { conversation: Conversation::Open(open), ..head });
        let key = (thread.key(), id, said.occurred_at, said.sequence, said.event_id, 0);
        state.hot.messages.insert(key, (said, Duration::ZERO));
    }
}

/// How long `replicas` take for them.
async fn midnight(replicas: u32) -> Duration {
    let conversations = conversations() as usize;
    let mut story = Story::begin(1 + conversations);
    due_at_once(&mut story);
    sleep(POLICY.idle).await;
    let began = story.world.elapsed();
    let _daemons: Vec<Replica> = (0..replicas).map(|who| Replica::start(&story.world, who, 0, 0)).collect();
    while story.world.state().archive.conversations.len() < conversations {
        sleep(Duration::from_secs(1)).await;
        assert!(story.world.elapsed() < HOUR, "the midnight does not end");
    }
    let took = story.world.elapsed() - began;
    println!(
        "{replicas} replicas: {conversations} conversations in {took:?}, {:.0} a second",
        conversations as f64 / took.as_secs_f64()
    );
    story.rests_within(HOUR).await;
    story.holds();
    took
}

#[tokio::test(start_paused = true)]
async fn replicas_share_a_midnight_without_a_word_between_them() {
    let (alone, four) = (midnight(1).await, midnight(4).await);
    assert!(four * 2 < alone, "one took {alone:?}, four {four:?}");
}

#[tokio::test(start_paused = true)]
async fn conversations_due_at_one_midnight_close_at_a_bounded_rate_and_nobody_waits_behind_them() {
    let conversations = conversations() as usize;
    let mut story = Story::begin(1 + conversations);
    due_at_once(&mut story);
    // each of them has been silent for longer than the idle time
    sleep(POLICY.idle).await;
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    let (mut most, mut slowest) = (0, Duration::ZERO);
    while story.world.state().archive.conversations.len() < conversations {
        let said = story.says(0);
        let began = story.world.elapsed();
        let stored = || story.world.state().hot.messages.keys().any(|(.., event, _)| *event == said);
        while !stored() {
            most = most.max(story.world.state().sqs.groups().map(|(_, messages)| messages).sum::<usize>());
            sleep(Duration::from_millis(100)).await;
        }
        slowest = slowest.max(story.world.elapsed() - began);
        sleep(Duration::from_secs(5)).await;
        assert!(story.world.elapsed() < HOUR, "the midnight does not end");
    }
    // and those whose close is done and whose delete is on its way
    assert!(most <= OUTSTANDING * 3 / 2, "{most} in the queue at once");
    assert!(slowest < Duration::from_secs(30), "a message waited for {slowest:?}");
    story.rests_within(HOUR).await;
    story.holds();
}
