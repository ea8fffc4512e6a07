//! Who may ask what, and where an answer may go.

use serde_json::json;

use super::{
    house::{House, all, of},
    model::{replica::Replica, scenario::thread},
};

#[tokio::test(start_paused = true)]
async fn an_answer_goes_only_where_the_settings_say() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.says(0, "a secret");
    let forged = [
        "https://evil.example/1/answers.fifo",
        "https://sqs.model/2/answers.fifo",
        "http://169.254.169.254/latest",
        "inbound.fifo",
        "answers",
        "bots/../x",
    ];
    for reply_to in forged {
        house.asks_as(0, json!({"event_type": "get_context", "reply_to": reply_to, "data": of(0, json!({}))}));
    }
    house.rests().await;
    assert_eq!(house.dead(), ["reply_not_allowed"; 6]);
    assert!(house.world.state().replies.is_empty());
    for reply_to in ["bots", "https://sqs.model/1/bots", "ask-7f"] {
        house.asks_as(0, json!({"event_type": "get_context", "reply_to": reply_to, "data": of(0, json!({}))}));
    }
    house.rests().await;
    let urls: Vec<String> = house.world.state().replies.iter().map(|reply| reply.queue.url.clone()).collect();
    assert_eq!(urls, ["https://sqs.model/1/bots", "https://sqs.model/1/bots", "https://sqs.model/1/ask-7f"]);
}

#[tokio::test(start_paused = true)]
async fn another_projects_conversation_is_not_there() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.says(0, "a secret");
    house.rests().await;
    let open = house.head(0).conversation.record().id;
    let foreign = json!({"project_uuid": "another", "conversation_id": open});
    let mut questions = vec![
        house.asks(0, "get_context", of(0, json!({"project_uuid": "another"}))),
        house.asks(0, "get_state", of(0, json!({"project_uuid": "another"}))),
        house.asks(0, "get_conversation", foreign.clone()),
        house.asks(0, "get_conversation", of(0, foreign.clone())),
    ];
    house.ends(0);
    questions.push(house.asks(0, "get_conversation", foreign.clone()));
    questions.push(house.asks(0, "get_conversation", of(0, foreign)));
    let missing =
        house.asks(0, "get_conversation", all(json!({"conversation_id": "00000000-0000-4000-8000-000000000000"})));
    let list = house.asks(0, "list_conversations", json!({"project_uuid": "another"}));
    house.rests().await;
    let missing = house.answer(&missing);
    assert_eq!(missing["status"], json!("not_found"));
    for question in questions {
        let answer = house.answer(&question);
        assert_eq!((&answer["status"], &answer["reason"]), (&missing["status"], &missing["reason"]), "{question}");
        assert_eq!(answer["data"], json!(null));
    }
    assert_eq!(house.answer(&list)["data"]["conversations"], json!([]));
    let said = house.world.state().replies.iter().any(|reply| reply.body.contains("a secret"));
    assert!(!said && thread(0).project != "another");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_has_passed_reads_nothing() {
    let mut house = House::new();
    house.says(0, "one");
    let deadline = house.world.server_time() + chrono::TimeDelta::seconds(20);
    let late = house.asks(0, "get_context", of(0, json!({"deadline": deadline})));
    let timely = house.asks(0, "get_context", of(0, json!({"deadline": deadline + chrono::TimeDelta::seconds(60)})));
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.rests().await;
    assert_eq!(house.answer(&late)["status"], json!("expired"));
    assert_eq!(house.answer(&timely)["status"], json!("ok"));
    assert_eq!(house.calls("walk"), 1);
    assert!(house.dead().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_makes_no_sense_is_told_so_and_one_that_cannot_be_read_is_kept() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.says(0, "one");
    house.rests().await;
    let id = house.head(0).conversation.record().id;
    let rejected = [
        house.asks(0, "get_context", of(0, json!({"model": "nobody knows it"}))),
        house.asks(0, "get_context", of(0, json!({"strategy": "best"}))),
        house.asks(0, "get_conversation", of(0, json!({"conversation_id": id, "cursor": "12zz"}))),
        house.asks(0, "list_conversations", all(json!({"cursor": "00"}))),
        house.asks(0, "list_conversations", all(json!({"status": "ajar"}))),
    ];
    house.asks_as(0, json!({"event_type": "get_stats", "reply_to": "bots", "data": {}}));
    house.asks_as(0, json!({"event_type": "get_context", "data": of(0, json!({}))}));
    house.rests().await;
    for question in rejected {
        assert_eq!(house.answer(&question)["status"], json!("rejected"), "{question}");
    }
    assert_eq!(house.dead(), ["missing_field", "missing_field"]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_cannot_be_sent_is_tried_once_and_the_thread_goes_on() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.says(0, "one");
    house.world.state().down.insert("reply");
    house.asks(0, "get_context", of(0, json!({})));
    house.says(0, "two");
    house.rests().await;
    assert!(house.dead().is_empty());
    let state = house.world.state();
    assert_eq!((state.replies.len(), state.hot.messages.len()), (0, 2));
}
