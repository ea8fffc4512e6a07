//! What all replicas are told: parked groups, heads that are given up, and the pause.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use conversationd::{
    domain::EventId,
    hot::{Control, Pause, Skip},
};
use tokio::time::sleep;

use crate::{
    HOUR, Story,
    model::{
        hot::tell,
        replica::Replica,
        scenario::{send, thread},
        world::{Faults, World},
    },
};

/// The dead letters of a group, in order: the number of each message, and why it died. Repeats of a copy count once: the queue
/// takes a message's copy once.
fn dead(world: &World, contact: usize) -> Vec<(u64, String)> {
    let mut dead: Vec<(u64, String)> = Vec::new();
    for letter in world.state().sqs.dead.iter().filter(|dead| dead.group == format!("group {contact}")) {
        let body: serde_json::Value = serde_json::from_str(&letter.body).expect("a body of ours");
        let number = body["correlation_id"].as_str().expect("text").parse().expect("a number");
        let code = letter.reason.as_ref().map_or("moved", |reason| reason.code.as_str()).to_owned();
        if !dead.iter().any(|(known, _)| *known == number) {
            dead.push((number, code));
        }
    }
    dead
}

/// The messages of a thread that the hot store or the archive holds.
fn applied(world: &World, contact: usize) -> BTreeSet<EventId> {
    let (state, key) = (world.state(), thread(contact as u64).key());
    let of_contact =
        |event: &EventId| (1..100).any(|n| EventId::derive(&key, "message.received", &n.to_string()) == *event);
    let hot = state.hot.messages.keys().map(|(.., event, _)| *event);
    hot.chain(state.archive.messages.iter().map(|(_, event)| *event)).filter(of_contact).collect()
}

/// Notes, for each group that has just been parked, what of it is applied. Its head stays where it is for ten seconds more.
fn note(world: &World, by_then: &mut BTreeMap<usize, BTreeSet<EventId>>) {
    for contact in 0..3 {
        let parked = world.state().hot.controls.parked.contains_key(&format!("group {contact}"));
        if parked && !by_then.contains_key(&contact) {
            by_then.insert(contact, applied(world, contact));
        }
    }
}

fn parks(world: &World) {
    world.state().hot.parks.insert("message.received".into());
}

#[tokio::test(start_paused = true)]
async fn a_parked_group_is_kept_in_order_until_it_is_unparked_and_redriven() {
    let mut story = Story::begin(2);
    parks(&story.world);
    let said: Vec<EventId> = (0..5).map(|_| story.says(0)).collect();
    story.world.state().hot.refused.insert(said[2]);
    let daemons: Vec<Replica> = (0..2).map(|who| Replica::start(&story.world, who, 0, 0)).collect();
    let mut by_then = BTreeMap::new();
    for _ in 0..60 {
        story.says(0);
        story.says(1);
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            note(&story.world, &mut by_then);
        }
    }
    story.ends(1);
    story.rests_within_but_for_the_dead(HOUR).await;

    let all = story.published.threads[0].clone();
    let letters = dead(&story.world, 0);
    assert_eq!(letters[0], (3, "attempts_exhausted".into()));
    assert!(letters[1..].iter().all(|(_, code)| code == "group_parked"));
    assert_eq!(letters.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (3..=all.len() as u64).collect::<Vec<_>>());
    // what came together with the head was put beside it before it failed; after that nothing is
    assert_eq!(applied(&story.world, 0), by_then[&0], "nothing behind it is applied");
    assert!(by_then[&0].len() < 20);
    assert_eq!(dead(&story.world, 1), [], "the other group goes on");

    story.world.state().hot.refused.clear();
    assert!(tell(&mut story.world.state(), Control::Unpark("group 0".into())));
    sleep(Duration::from_secs(20)).await;
    let letters = std::mem::take(&mut story.world.state().sqs.dead);
    let at = story.world.server_time();
    for letter in letters {
        story.world.state().hot.settle_row(&letter.message_id, at);
        send(&story.world, &letter.group, &mut story.sends, letter.body.to_string());
    }
    story.ends(0);
    story.rests_within(HOUR).await;
    story.holds();
    drop(daemons);
}

/// Lists that come late, or not at all, and replicas that are killed: the next message is never applied past the one that
/// parked its group.
#[tokio::test(start_paused = true)]
async fn no_replica_overtakes_a_parked_head_however_late_it_hears_of_it() {
    let mut parked = 0;
    for seed in 0..12 {
        let faults = Faults {
            refused: 30,
            lost: 30,
            hot: ["controls", "control", ""],
            hot_stall: 300,
            longest_stall: 12_000,
            ..Faults::default()
        };
        let mut story = Story::in_a_world(seed, faults, 3);
        parks(&story.world);
        let mut daemons: Vec<Replica> = (0..3).map(|who| Replica::start(&story.world, who, seed, 0)).collect();
        let (mut poison, mut by_then) = (BTreeMap::new(), BTreeMap::new());
        for n in 0..40 {
            for contact in 0..3 {
                let event = story.says(contact);
                if n == 3 + contact * 5 {
                    story.world.state().hot.refused.insert(event);
                    poison.insert(contact, n + 1);
                }
            }
            sleep(Duration::from_millis(500 + 700 * (seed % 7))).await;
            note(&story.world, &mut by_then);
            if n % 11 == 10 {
                let who = n % daemons.len();
                daemons[who].kill();
                daemons[who] = Replica::start(&story.world, who as u32, seed + 100 + n as u64, 0);
            }
        }
        story.world.state().faults = Faults { longest_stall: 1, ..Faults::default() };
        while by_then.len() < 3 {
            sleep(Duration::from_secs(1)).await;
            note(&story.world, &mut by_then);
        }
        story.rests_within_but_for_the_dead(HOUR * 3).await;
        for (contact, place) in poison {
            let all = &story.published.threads[contact];
            assert_eq!(applied(&story.world, contact), by_then[&contact], "seed {seed}, contact {contact}: overtaken");
            let numbers: Vec<u64> = dead(&story.world, contact).into_iter().map(|(n, _)| n).collect();
            assert_eq!(numbers, (place as u64..=all.len() as u64).collect::<Vec<_>>(), "seed {seed}");
            parked += 1;
        }
    }
    assert_eq!(parked, 36);
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_on_a_list_that_cannot_be_read() {
    let mut story = Story::begin(3);
    for contact in 0..3 {
        story.says(contact);
    }
    story.world.state().down.insert("controls");
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    sleep(HOUR).await;
    assert!(story.world.state().hot.messages.is_empty() && story.world.state().sqs.receipts() == 0);
    story.world.state().down.clear();
    sleep(Duration::from_secs(10)).await;
    assert!(story.world.state().sqs.is_empty());

    // it is lost while replicas run
    story.world.state().down.insert("controls");
    sleep(Duration::from_secs(60)).await;
    let before = story.world.state().hot.messages.len();
    for contact in 0..3 {
        story.says(contact);
    }
    sleep(HOUR).await;
    assert_eq!(story.world.state().hot.messages.len(), before);
    assert!(story.world.state().hot.attempts.is_empty(), "nobody is charged");
    story.world.state().down.clear();
    (0..3).for_each(|contact| story.ends(contact));
    story.rests_within(HOUR).await;
    story.holds();
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_all_replicas_charges_nobody_and_receives_nothing_twice() {
    let mut story = Story::begin(4);
    let daemons: Vec<Replica> = (0..2).map(|who| Replica::start(&story.world, who, 0, 0)).collect();
    for contact in 0..4 {
        for _ in 0..12 {
            story.says(contact);
        }
    }
    // what runs takes a while, so that some is in hand when the word comes
    story.world.state().faults =
        Faults { hot: ["put", "heads", ""], hot_stall: 1_000, longest_stall: 3_000, ..Faults::default() };
    sleep(Duration::from_secs(3)).await;
    let pause = Pause { at: story.world.server_time(), reason: None };
    assert!(tell(&mut story.world.state(), Control::Pause(pause)));
    // the turns that run may each meet stalls of up to 42 s in a row
    sleep(Duration::from_secs(300)).await;
    let (applied, receipts) = {
        let state = story.world.state();
        (state.hot.messages.len(), state.sqs.receipts())
    };
    assert!(!story.world.state().sqs.is_empty(), "it came in time to stop something");
    for contact in 0..4 {
        story.says(contact);
    }
    sleep(Duration::from_secs(180)).await;
    {
        let state = story.world.state();
        assert_eq!((state.hot.messages.len(), state.sqs.receipts()), (applied, receipts), "nothing moves while paused");
        assert!(state.hot.attempts.is_empty() && state.sqs.dead.is_empty());
    }

    story.world.state().faults = Faults { longest_stall: 1, ..Faults::default() };
    assert!(tell(&mut story.world.state(), Control::Resume));
    sleep(Duration::from_secs(30)).await;
    assert!(story.world.state().sqs.is_empty());
    let receipts = story.world.state().sqs.receipts();
    let sent = story.world.state().sqs.sent();
    assert_eq!(receipts, sent, "each once, the timer's commands too: what was in hand was kept");
    (0..4).for_each(|contact| story.ends(contact));
    story.rests_within(HOUR).await;
    story.holds();
    drop(daemons);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_while_paused_receives_nothing_and_a_stopped_one_gives_back_what_it_kept() {
    let mut story = Story::begin(1);
    let pause = Pause { at: story.world.server_time(), reason: None };
    assert!(tell(&mut story.world.state(), Control::Pause(pause)));
    story.says(0);
    let mut daemon = Replica::start(&story.world, 0, 0, 0);
    sleep(HOUR).await;
    assert_eq!(story.world.state().sqs.receipts(), 0);
    daemon.terminate().await;
    assert!(story.world.state().sqs.hidden_for(story.world.elapsed()).is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_an_operator_gives_up_is_dead_at_its_next_failure_and_no_other_is() {
    for by_group in [true, false] {
        let mut story = Story::begin(1);
        let said: Vec<EventId> = (0..4).map(|_| story.says(0)).collect();
        story.world.state().hot.refused.extend([said[0], said[1]]);
        let _daemons: Vec<Replica> = (0..2).map(|who| Replica::start(&story.world, who, 1, 0)).collect();
        sleep(Duration::from_secs(1)).await;
        let name = if by_group { "group 0" } else { "1" };
        let at = story.world.server_time() + TimeDelta::seconds(1);
        assert!(tell(&mut story.world.state(), Control::Skip(name.into(), Skip { at })));
        story.rests_within_but_for_the_dead(HOUR).await;
        let letters = dead(&story.world, 0);
        assert_eq!(letters, [(1, "skipped".into()), (2, "attempts_exhausted".into())], "by group: {by_group}");
        assert!(story.world.state().hot.controls.skips.is_empty(), "it is used up");
        assert_eq!(applied(&story.world, 0), said[2..].iter().copied().collect());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_give_up_a_head_touches_nothing_that_came_later_or_that_does_not_fail() {
    let mut story = Story::begin(1);
    let at = story.world.server_time() - TimeDelta::seconds(1);
    assert!(tell(&mut story.world.state(), Control::Skip("group 0".into(), Skip { at })));
    let said: Vec<EventId> = (0..3).map(|_| story.says(0)).collect();
    story.world.state().hot.refused.insert(said[1]);
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    story.rests_within_but_for_the_dead(HOUR).await;
    assert_eq!(dead(&story.world, 0), [(2, "attempts_exhausted".into())]);

    let mut story = Story::begin(1);
    let at = story.world.server_time() + TimeDelta::seconds(60);
    assert!(tell(&mut story.world.state(), Control::Skip("group 0".into(), Skip { at })));
    for _ in 0..3 {
        story.says(0);
    }
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    story.rests_within_but_for_the_dead(HOUR).await;
    assert_eq!(dead(&story.world, 0), []);
}
