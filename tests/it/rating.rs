//! Scores and other answers: every form they come in, the conversation each belongs to, and the one that counts.

use serde_json::{Value, json};

use crate::{
    events::{Event, Thread, ago},
    stack::{Stack, until_after},
};

/// Where a rating stands: its text, the score in it, the conversation's close reason (none: it stands alone).
type Stands = (String, Option<i16>, Option<String>, bool);

const STANDS: &str = "
    select r.value, r.score, c.close_reason, r.arrived_after_close
    from rating r left join conversation c on c.id = r.conversation_id
    order by r.answered_at, r.sequence";

#[tokio::test]
async fn a_score_in_every_form_and_range_stands_with_its_conversation_and_is_no_message() {
    let stack = Stack::new("score-forms").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let top_level = |key: &str, value: Value| {
        let mut event = thread.event("message.sent", json!({ "message": { "text": "", "source": "system" } }));
        let mut body: Value = serde_json::from_str(&event.body).expect("JSON");
        (body["key"], body["value"]) = (json!(key), value);
        event.body = body.to_string();
        event
    };
    let survey = |name: &str, value: Value| thread.event(name, json!({ "value": value, "comment": "obrigada" }));
    let given: Vec<(Event, &str, &str, Option<i16>)> = vec![
        (thread.scored("weni_csat", json!(1)), "csat", "1", Some(1)),
        (thread.scored("weni_csat", json!("5")), "csat", "5", Some(5)),
        (thread.scored("weni_nps", json!(0)), "nps", "0", Some(0)),
        (thread.scored("weni_nps", json!("10")), "nps", "10", Some(10)),
        (top_level("weni_csat", json!("4")), "csat", "4", Some(4)),
        (top_level("weni_nps", json!(7)), "nps", "7", Some(7)),
        (survey("survey.csat", json!(3)), "csat", "3", Some(3)),
        (survey("survey.nps", json!("0")), "nps", "0", Some(0)),
        (thread.scored("would_buy_again", json!({ "yes": true })), "custom", "{\"yes\":true}", None),
        (thread.scored("would_buy_again", json!("maybe")), "custom", "maybe", None),
    ];
    stack.publish(&[thread.says("m1")]).await;
    stack.publish(&given.iter().map(|(event, ..)| event.clone()).collect::<Vec<_>>()).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1"]), "a score is not something that was said");
    let stand: Vec<(String, String, Option<i16>)> =
        stack.ask("select kind, value, score from rating where conversation_id is not null order by sequence").await;
    let expected: Vec<(String, String, Option<i16>)> =
        given.iter().map(|(_, kind, value, score)| ((*kind).to_owned(), (*value).to_owned(), *score)).collect();
    assert_eq!(stand, expected);
    let commented: Vec<(i64,)> = stack.ask("select count(*) from rating where comment = 'obrigada'").await;
    assert_eq!(commented, [(2,)]);
    stack.done().await;
}

#[tokio::test]
async fn what_is_no_score_is_dead_lettered_with_the_reason_and_the_group_goes_on() {
    let stack = Stack::new("no-score").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let bad = [
        (thread.scored("weni_csat", json!(0)), "out_of_range"),
        (thread.scored("weni_csat", json!(6)), "out_of_range"),
        (thread.scored("weni_csat", json!("five")), "out_of_range"),
        (thread.scored("weni_nps", json!(-1)), "out_of_range"),
        (thread.scored("weni_nps", json!(11)), "out_of_range"),
        (thread.scored("weni_nps", json!(7.5)), "out_of_range"),
        (thread.scored("weni_nps", json!([7])), "wrong_type"),
        (thread.scored("weni_csat", Value::Null), "missing_field"),
        (thread.event("survey.nps", json!({})), "missing_field"),
    ];
    stack.publish(&[thread.says("m1")]).await;
    stack.publish(&bad.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>()).await;
    stack.publish(&[thread.scored("weni_nps", json!(9)), thread.close()]).await;
    stack.settle().await;

    let stand: Vec<Stands> = stack.ask(STANDS).await;
    assert_eq!(stand, [("9".to_owned(), Some(9), Some("requested".to_owned()), false)]);
    let letters = stack.dead_letters().await;
    assert_eq!(letters.len(), bad.len());
    for (letter, (event, code)) in letters.iter().zip(&bad) {
        assert_eq!((&letter.body, letter.why["code"].as_str()), (&event.body, Some(*code)), "{}", letter.why);
        assert_eq!(letter.why["field"], "value", "{}", event.body);
    }
    stack.done().await;
}

#[tokio::test]
async fn of_several_scores_the_latest_given_is_on_the_conversation() {
    let stack = Stack::new("scores").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    // answered in another order than they come
    let scores = [(2, 40), (5, 20), (1, 30)].map(|(score, age)| thread.scored_at("weni_csat", json!(score), ago(age)));
    stack.publish(&[thread.said("m1", ago(60))]).await;
    stack.publish(&scores).await;
    stack.publish(&[thread.scored_at("weni_nps", json!(0), ago(10)), thread.close()]).await;
    stack.settle().await;
    let shown: Vec<(Option<i16>, Option<i16>)> = stack.ask("select csat, nps from conversation").await;
    assert_eq!(shown, [(Some(5), Some(0))]);
    let adds: Vec<(i64, Option<i16>, Option<i16>)> =
        stack.ask("select rating_count, csat, nps from conversation_stats").await;
    assert_eq!(adds, [(4, Some(5), Some(0))]);

    // after the close: an older answer changes nothing, a newer one does
    for (score, age, counts) in [(3, 25, 5), (4, 0, 4)] {
        stack.publish(&[thread.scored_at("weni_csat", json!(score), ago(age))]).await;
        stack.settle().await;
        let shown: Vec<(Option<i16>,)> = stack.ask("select csat from conversation").await;
        assert_eq!(shown, [(Some(counts),)], "after a {score}");
    }
    stack.done().await;
}

#[tokio::test]
async fn a_late_score_attaches_to_the_last_closed_conversation_and_opens_none() {
    let stack = Stack::new("score-late").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m1", ago(60)), thread.close(), thread.says("m2"), thread.close()]).await;
    stack.settle().await;
    let (before, head) = (stack.archived().await, stack.head(&thread).await);
    assert_eq!(before.len(), 2);

    // and again, as a publisher that got no answer sends it: once is enough
    let score = thread.event("survey.csat", json!({ "value": 5, "correlation_id": "c-1" }));
    stack.publish(&[score.clone(), score]).await;
    stack.settle().await;

    let after = stack.archived().await;
    assert_eq!(after.len(), 2);
    assert_eq!(stack.head(&thread).await, head, "no conversation opened");
    let of_last: Vec<(uuid::Uuid, bool)> =
        stack.ask("select conversation_id, arrived_after_close from rating where conversation_id is not null").await;
    assert_eq!(of_last, [(after[1].id, true)]);
    let adds: Vec<(uuid::Uuid, i64, Option<i16>)> =
        stack.ask("select conversation_id, rating_count, csat from conversation_stats where rating_count > 0").await;
    assert_eq!(adds, [(after[1].id, 1, Some(5))], "its statistics follow");
    stack.done().await;
}

#[tokio::test]
async fn a_score_given_before_the_open_conversation_began_goes_to_the_one_before() {
    let stack = Stack::new("score-before").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m1", ago(60)), thread.close()]).await;
    stack.settle().await;
    stack.publish(&[thread.says("m2"), thread.scored_at("weni_nps", json!(3), ago(30))]).await;
    stack.publish(&[thread.scored("weni_nps", json!(8)), thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    let scores: Vec<(uuid::Uuid, Option<i16>)> = stack.ask("select id, nps from conversation").await;
    for (conversation, nps) in archived.iter().zip([3, 8]) {
        assert!(scores.contains(&(conversation.id, Some(nps))), "{nps} in {scores:?}");
    }
    stack.done().await;
}

#[tokio::test]
async fn a_score_that_comes_too_late_is_kept_alone() {
    let stack = Stack::with("score-too-late", &[("CONVERSATIOND_LATE_RATING_SECONDS", "1")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.close()]).await;
    stack.settle().await;
    let closed_at = stack.archived().await[0].closed_at.expect("a close");
    until_after(closed_at + chrono::TimeDelta::milliseconds(1_001)).await;
    stack.publish(&[thread.scored("weni_csat", json!(5))]).await;
    stack.settle().await;
    let stand: Vec<Stands> = stack.ask(STANDS).await;
    assert_eq!(stand, [("5".to_owned(), Some(5), None, false)]);
    stack.done().await;
}

#[tokio::test]
async fn a_score_of_a_thread_never_heard_of_is_kept_alone() {
    let stack = Stack::new("score-alone").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.scored("weni_nps", json!(0))]).await;
    stack.settle().await;
    assert_eq!(stack.head(&thread).await, None, "it opens nothing");
    assert_eq!(stack.archived().await, []);

    stack.publish(&[thread.says("m1"), thread.close()]).await;
    stack.settle().await;
    let stand: Vec<Stands> = stack.ask(STANDS).await;
    assert_eq!(stand, [("0".to_owned(), Some(0), None, false)], "what comes later does not take it");
    let contact: Vec<(Option<String>,)> = stack.ask("select contact from rating").await;
    assert_eq!(contact, [(Some(thread.contact.clone()),)], "whoever erases the contact finds it");
    stack.done().await;
}
