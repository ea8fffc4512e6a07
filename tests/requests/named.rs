//! A conversation asked for by its own id, and who then waits for whom.

use serde_json::{Value, json};

use super::{
    house::{House, all, of, texts},
    model::replica::Replica,
};

/// Two things said and a variable set, in a conversation that has closed since; and one said in the next. Returns both ids.
async fn closed_and_open(house: &mut House) -> (Value, Value) {
    house.says(0, "one");
    house.says(0, "two");
    let set = of(0, json!({"state_type": "bot", "state_key": "step", "state_value": 3}));
    house.asks_as(0, json!({"event_type": "state.set", "correlation_id": "set", "data": set}));
    house.ends(0);
    house.rests().await;
    let closed = house.head(0).conversation.record().id;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    house.says(0, "three");
    house.rests().await;
    let open = house.head(0).conversation.record().id;
    assert_ne!(closed, open);
    (json!(closed), json!(open))
}

#[tokio::test(start_paused = true)]
async fn a_closed_conversation_is_told_by_its_own_id_alone() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    let (closed, open) = closed_and_open(&mut house).await;
    let context = house.asks(9, "get_context", all(json!({"conversation_id": closed, "include_state": true})));
    let beside_its_thread = house.asks(0, "get_context", of(0, json!({"conversation_id": closed})));
    let whole = house.asks(9, "get_conversation", all(json!({"conversation_id": closed})));
    let present = house.asks(0, "get_context", of(0, json!({"conversation_id": open})));
    let open_alone = house.asks(9, "get_context", all(json!({"conversation_id": open})));
    house.rests().await;
    for question in [&context, &beside_its_thread, &whole] {
        let answer = house.answer(question);
        assert_eq!((&answer["status"], texts(&answer)), (&json!("ok"), vec!["one".into(), "two".into()]), "{answer}");
        assert_eq!(answer["data"]["conversation_id"], closed);
    }
    let answer = house.answer(&context);
    assert_eq!(answer["data"]["conversation_status"], json!("closed"));
    assert_eq!(answer["data"]["receipt"]["archive_read"], json!(true));
    assert_eq!(answer["data"]["receipt"]["in_order"], json!(false), "nobody waited in its group");
    let state = answer["data"]["state"].as_array().unwrap();
    assert_eq!((state.len(), &state[0]["state_value"]), (1, &json!(3)), "what it ended with");
    let answer = house.answer(&present);
    assert_eq!((texts(&answer), &answer["data"]["receipt"]["in_order"]), (vec!["three".into()], &json!(true)));
    assert_eq!(house.answer(&open_alone)["status"], json!("not_found"), "nothing but its thread names an open one");
}

#[tokio::test(start_paused = true)]
async fn another_projects_closed_conversation_is_not_there_by_its_own_id() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    let (closed, _) = closed_and_open(&mut house).await;
    let missing = all(json!({"conversation_id": "00000000-0000-4000-8000-000000000000"}));
    let foreign = [
        json!({"project_uuid": "another", "conversation_id": closed}),
        of(0, json!({"project_uuid": "another", "conversation_id": closed})),
    ];
    for name in ["get_context", "get_conversation"] {
        let missing = house.asks(9, name, missing.clone());
        let foreign = foreign.clone().map(|data| house.asks(9, name, data));
        house.rests().await;
        let missing = house.answer(&missing);
        assert_eq!((&missing["status"], &missing["data"]), (&json!("not_found"), &json!(null)));
        for question in foreign {
            let answer = house.answer(&question);
            assert_eq!((&answer["status"], &answer["reason"]), (&missing["status"], &missing["reason"]));
            assert_eq!(answer["data"], json!(null));
        }
    }
    let name_of_no_kind = house.asks(9, "get_context", all(json!({"conversation_id": "ticket-7"})));
    house.rests().await;
    assert_eq!(house.answer(&name_of_no_kind)["status"], json!("not_found"));
}

#[tokio::test(start_paused = true)]
async fn without_the_archive_it_is_told_from_the_hot_store_or_is_empty() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    let (closed, _) = closed_and_open(&mut house).await;
    house.world.state().down.insert("transcript");
    let told = house.asks(9, "get_context", all(json!({"conversation_id": closed})));
    house.rests().await;
    let answer = house.answer(&told);
    assert_eq!(texts(&answer), ["one", "two"]);
    assert!(answer["data"]["receipt"]["warning"].is_string(), "{answer}");
    house.world.state().down.insert("find");
    let empty = house.asks(9, "get_context", all(json!({"conversation_id": closed})));
    house.rests().await;
    let answer = house.answer(&empty);
    assert_eq!((&answer["status"], &answer["reason"]), (&json!("empty"), &json!("the archive cannot be read now")));
}

#[tokio::test(start_paused = true)]
async fn a_summary_is_stored_in_the_turn_of_its_own_group_alone() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    for n in 0..30 {
        house.says(0, &format!("pedido {n} chegou atrasado ontem"));
    }
    house.rests().await;
    for (group, stored) in [(9, false), (0, true)] {
        let wanted = of(0, json!({"strategy": "summary_buffer", "max_tokens": 60}));
        let question = house.asks(group, "get_context", wanted);
        house.rests().await;
        let receipt = &house.answer(&question)["data"]["receipt"];
        assert_eq!((&receipt["summary"]["stored"], &receipt["in_order"]), (&json!(stored), &json!(stored)));
        assert_eq!(house.head(0).conversation.record().recap.is_some(), stored);
    }
}
