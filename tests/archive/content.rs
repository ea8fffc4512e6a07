//! What goes in comes out, in order, and both sides compute the same hash of it.

use std::time::Instant;

use conversationd::archive::Archive;
use conversationd::domain::{Message, SenderType, Sequence};
use serde_json::{Value, json};

use crate::house::{at, close, hash, in_a_house, message, messages, noon, record, thread};

#[tokio::test]
async fn three_thousand_messages_stand_complete_and_in_order() {
    in_a_house(async |house| {
        let messages = messages(0..3_000);
        let began = Instant::now();
        let summary = house.write(&record(1), &messages, false, Some(&close())).await.expect("close");
        let took = began.elapsed();
        println!("3,000 messages in {took:?}: {:.0} per second", 3_000.0 / took.as_secs_f64());

        assert_eq!((summary.message_count, summary.content_hash), (3_000, hash(&messages)));
        let transcript: Vec<Message> =
            house.transcript(&record(1), 700).await.into_iter().map(|row| row.message).collect();
        assert!(transcript == messages);
        assert_eq!(house.archive.count_messages(None).await.expect("count"), 3_000);
    })
    .await;
}

#[tokio::test]
async fn pages_in_any_order_make_the_same_transcript() {
    in_a_house(async |house| {
        let mut backwards = messages(0..50);
        backwards.reverse();
        let summary = house.write(&record(1), &backwards, false, Some(&close())).await.expect("close");
        assert_eq!((summary.message_count, summary.content_hash), (50, hash(&messages(0..50))));
    })
    .await;
}

#[tokio::test]
async fn messages_of_one_instant_are_ordered_by_sequence_and_then_by_id() {
    in_a_house(async |house| {
        let mut at_once = messages(0..4);
        for (message, sequence) in at_once.iter_mut().zip([u128::MAX, 10, 9, 9]) {
            message.occurred_at = noon();
            message.sequence = Sequence(sequence);
        }
        house.write(&record(1), &at_once, false, Some(&close())).await.expect("close");
        let ids: Vec<_> = house.transcript(&record(1), 1).await.iter().map(|row| row.message.event_id).collect();
        assert_eq!(ids, [2, 3, 1, 0].map(|number| message(number).event_id));
    })
    .await;
}

/// Everything a message can be.
fn zoo() -> Vec<Message> {
    let text = |number: u32, text: &str| Message { text: text.into(), ..message(number) };
    let json = |number: u32, value: Value| Message { entities: vec![value], ..message(number) };
    let mut zoo = vec![
        Message { occurred_at: at("2000-01-01T00:00:00Z"), ..message(0) },
        Message { attachments: vec![json!({"url": "https://a.b/c?d=e", "size": 1})], ..text(1, "") },
        text(2, "👩‍👩‍👧‍👦 e\u{301} ẞ ﷽ 𝒳 \u{10FFFF}"),
        text(3, "\u{202B}שלום עולם\u{202C} مرحبا"),
        text(4, ""),
        text(5, "\"quoted\" \\ / back\\slash \u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}\u{80}\u{2028} 'x' <b> %s {} $1"),
        text(6, &"ação ".repeat(1 << 17)),
        Message { occurred_at: at("2025-03-01T12:30:00.123456Z"), sequence: Sequence(u128::MAX), ..message(7) },
        Message { occurred_at: at("2025-03-01T12:30:00.123457999Z"), sequence: Sequence(0), ..message(8) },
        Message {
            contact_name: Some(" ".into()),
            content_type: Some("image/png".into()),
            sender_type: Some(SenderType::Agent),
            sender_id: Some(String::new()),
            agent_id: Some("null".into()),
            model_used: Some("m".into()),
            tokens_used: Some(u32::MAX),
            sentiment: Some("\"".into()),
            intent: Some("[]".into()),
            ..message(9)
        },
        json(10, json!({"bb": 1, "a": {"z": [], "y": {}}, "é": null, "": true, "B": "\u{7f}\u{0001}\\"})),
        json(11, json!([0, -0.0, 1.0, -1.5, 1e3, 1e21, 1.5e300, 5e-324, 0.1, 1e-7, u64::MAX, i64::MIN, f64::MAX])),
        Message { external_id: None, tokens_used: None, ..message(12) },
        Message { occurred_at: at("2099-12-31T23:59:59.999999Z"), ..message(13) },
    ];
    // Numbers of every size, from a fixed seed.
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    zoo[12].metadata = (0..500)
        .map(|i| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (format!("{}{i}", "k".repeat(i % 7)), json!(f64::from_bits(seed)))
        })
        .collect();
    zoo
}

#[tokio::test]
async fn both_sides_agree_on_every_message() {
    in_a_house(async |house| {
        let mut all = zoo();
        for (number, message) in all.iter().enumerate() {
            let record = record(number as u128);
            let one = std::slice::from_ref(message);
            let summary = house.write(&record, one, false, Some(&close())).await.expect("agreed");
            assert_eq!(summary.content_hash, hash(one), "message {number}");

            // What is read back hashes the same again, and but for how a number is spelled it is what was sent.
            let read = house.transcript(&record, 10).await.remove(0).message;
            assert_eq!(hash([&read]), hash(one), "message {number} read back");
            assert_eq!((&read.text, read.sequence), (&message.text, message.sequence));
        }
        house.script("truncate conversation cascade").await;
        all.sort_by_key(|message| (message.occurred_at, message.sequence, message.event_id));
        let summary = house.write(&record(99), &all, false, Some(&close())).await.expect("agreed");
        assert_eq!(summary.content_hash, hash(&all));
    })
    .await;
}

#[tokio::test]
async fn nothing_an_index_holds_can_be_too_long_for_it() {
    in_a_house(async |house| {
        // Text that does not compress.
        let noise = |bytes: usize| {
            let mut seed: u32 = 1;
            let letters = std::iter::repeat_with(move || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'!' + (seed >> 24) as u8 % 90)
            });
            letters.take(bytes).collect::<String>()
        };
        let (mut thread, mut record) = (thread(), record(1));
        thread.project = noise(1_024);
        thread.contact = Some(noise(1_024));
        thread.channel = Some(noise(20_000));
        record.agent_id = Some("𝒳".repeat(300) + &noise(60_000));
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&thread, &record).await.expect("lock");
        transaction.insert(&record, &messages(0..1), false).await.expect("insert");
        assert_eq!(transaction.finish(&record, Some(&close())).await.expect("finish").message_count, 1);
    })
    .await;
}

#[tokio::test]
async fn the_view_shows_what_older_readers_expect() {
    in_a_house(async |house| {
        let mut first = message(0);
        first.metadata.insert("kept".into(), json!({"null": null}));
        house.write(&record(1), &[first, message(1)], false, Some(&close())).await.expect("close");
        let mut connection = house.connection().await;
        let shown: Value = sqlx::query_scalar("select messages from conversation_messages where conversation_id = $1")
            .bind(record(1).id.0)
            .fetch_one(&mut connection)
            .await
            .expect("view");

        assert_eq!(shown.as_array().map(Vec::len), Some(2));
        assert_eq!(shown[0]["text"], "message 0");
        assert_eq!(shown[0]["source"], "incoming");
        assert_eq!(shown[0]["created_at"], "2025-03-01T12:00:00.000000+00:00");
        assert_eq!(shown[0]["message_id"], "wamid.0");
        assert_eq!(shown[0]["metadata"], json!({"kept": {"null": null}}));
        assert_eq!(shown[1]["source"], "outgoing");
        assert_eq!(shown[1]["attachments"], json!([]));
        let same = "select count(*) from conversation_messages v join conversation c on c.id = v.conversation_id
                    where v.created_at = c.created_at and v.updated_at = c.updated_at";
        assert_eq!(house.number(same).await, 1);
    })
    .await;
}
