//! `get_conversation`, `list_conversations`: page by page, each thing once, wherever it stands.

use serde_json::{Value, json};

use super::{
    house::{House, all, of, texts},
    model::replica::Replica,
};

/// All pages of a question, one behind the other.
async fn pages(house: &mut House, name: &str, mut data: Value) -> Vec<Value> {
    let mut pages = Vec::new();
    loop {
        let question = house.asks(9, name, data.clone());
        house.rests().await;
        let page = house.answer(&question);
        assert_eq!(page["status"], json!("ok"), "{page}");
        let next = page["data"]["next_cursor"].clone();
        pages.push(page);
        if next.is_null() {
            return pages;
        }
        data["cursor"] = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_told_page_by_page_while_it_is_open_and_once_it_is_archived() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    let said: Vec<String> = (0..25).map(|n| format!("word {n}")).collect();
    said.iter().for_each(|text| house.says(0, text));
    house.rests().await;
    let id = house.head(0).conversation.record().id;
    let open = of(0, json!({"conversation_id": id, "limit": 10}));
    let told = pages(&mut house, "get_conversation", open).await;
    assert_eq!(told.iter().map(|page| texts(page).len()).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(told.iter().flat_map(texts).collect::<Vec<_>>(), said);
    assert_eq!(told[0]["data"]["status"], json!("open"));
    house.ends(0);
    house.rests().await;
    for data in [all(json!({"conversation_id": id, "limit": 7})), of(0, json!({"conversation_id": id, "limit": 7}))] {
        let told = pages(&mut house, "get_conversation", data).await;
        assert_eq!(told.iter().flat_map(texts).collect::<Vec<_>>(), said);
        assert_eq!(told[0]["data"]["status"], json!("closed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_cut_between_messages_and_the_next_goes_on_behind_them() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    for n in 0..40 {
        house.says(0, &format!("{n} {}", "x".repeat(20_000)));
    }
    house.says(0, &"y".repeat(300_000));
    house.says(0, "the last");
    house.rests().await;
    let id = house.head(0).conversation.record().id;
    let told = pages(&mut house, "get_conversation", of(0, json!({"conversation_id": id, "limit": 1000}))).await;
    let messages: Vec<&Value> = told.iter().flat_map(|page| page["data"]["messages"].as_array().unwrap()).collect();
    assert_eq!((messages.len(), told[0]["data"]["truncated"].clone()), (42, json!(true)));
    assert_eq!(messages[40]["too_large"], json!(true), "named, so that the next is reached");
    assert_eq!(messages[41]["text"], json!("the last"));
    assert!(house.world.state().replies.iter().all(|reply| reply.body.len() <= 262_144));
}

#[tokio::test(start_paused = true)]
async fn a_projects_conversations_are_listed_once_each_open_ones_first() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    for contact in 0..12 {
        house.says(contact, "hi");
    }
    for contact in 0..9 {
        house.ends(contact);
    }
    house.rests().await;
    let listed = |pages: &[Value]| -> Vec<Value> {
        pages.iter().flat_map(|page| page["data"]["conversations"].as_array().unwrap().clone()).collect()
    };
    let closed = pages(&mut house, "list_conversations", all(json!({"status": "closed", "limit": 4}))).await;
    assert_eq!((closed.len(), listed(&closed).len()), (3, 9));
    let open = pages(&mut house, "list_conversations", all(json!({"status": "open"}))).await;
    assert_eq!((listed(&open).len(), &open[0]["data"]["open_incomplete"]), (3, &json!(false)));
    let every = listed(&pages(&mut house, "list_conversations", all(json!({"limit": 5}))).await);
    let mut ids: Vec<String> = every.iter().map(|row| row["conversation_id"].to_string()).collect();
    assert_eq!(
        every.iter().map(|row| row["status"].as_str().unwrap()).collect::<Vec<_>>()[..4],
        ["open", "open", "open", "closed"]
    );
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12);
    let one = all(json!({"contact_urn": of(3, json!({}))["contact_urn"]}));
    assert_eq!(listed(&pages(&mut house, "list_conversations", one).await).len(), 1);
}
