//! What stands exactly at a limit: the decoder's bounds lie within those of both stores.

use serde_json::json;

use crate::{
    bodies::{decoded, deep, in_thread, message, nested},
    stores::Stores,
};

/// Decodes these bodies, all of which are messages, and keeps them in both stores.
fn kept(bodies: &[String]) {
    let events = bodies.iter().enumerate().map(|(number, body)| decoded(body, number as u32).expect("accepted"));
    let kept = Stores::build().keep(events.collect()).expect("kept");
    assert_eq!(kept, bodies.len(), "every body is a message");
}

/// Text of exactly so many bytes, in the widest letters that fit.
fn wide(bytes: usize) -> String {
    let (four, rest) = (bytes / 4, bytes % 4);
    "👋".repeat(four) + &"x".repeat(rest)
}

#[test]
fn metadata_as_deep_as_the_decoder_takes_it_is_kept() {
    for levels in [128, 129] {
        assert_eq!(decoded(&deep(levels), 0).expect_err("too deep").code.as_str(), "too_deep");
    }
    let flat = |levels: usize| {
        let body = json!({"event_type": "message.received", "project_uuid": "p", "conversation_id": "flat",
            "message": {"metadata": {"deep": "here"}, "entities": ["here"], "attachments": ["here"]}});
        body.to_string().replace("\"here\"", &nested(levels))
    };
    assert!(decoded(&flat(125), 0).is_err());
    // an inner text is read for itself: wrapping does not make it shallower
    let notification = json!({"Type": "Notification", "Message": flat(124)}).to_string();
    kept(&[deep(100), deep(126), deep(127), flat(124), notification]);
}

#[test]
fn a_contact_of_1024_bytes_is_kept() {
    let contact = wide(1_024);
    assert!(decoded(&in_thread("p", &format!("{contact}x"), "ch", json!({})), 0).is_err());
    let hard_to_compress: String = (0..1_024_u32).map(|n| char::from(b'!' + (n * n * 7 % 91) as u8)).collect();
    let unescaped = hard_to_compress.replace(['#', '%'], "x");
    kept(&[in_thread("p", &contact, "ch", json!({"text": "hi"})), in_thread("p", &unescaped, "ch", json!({}))]);
}

#[test]
fn a_thread_at_every_limit_at_once_is_kept() {
    // 512 + 1,024 + 462 bytes and two separators: the longest key
    let (project, contact) = (wide(512), wide(1_024));
    assert!(decoded(&in_thread(&project, &contact, &wide(463), json!({})), 0).is_err());
    kept(&[
        in_thread(&project, &contact, &wide(462), json!({"text": "hi", "agent_id": wide(512)})),
        in_thread(&project, "c", &wide(512), json!({"text": "hi"})),
        // a separator counts three bytes in the key
        in_thread("p", &"#".repeat(665), "ch", json!({"text": "hi"})),
        json!({"event_type": "message.sent", "data": {"project_uuid": project, "conversation_id": wide(512),
            "contact_urn": contact, "channel_uuid": wide(512), "message": {"text": "hi"}}})
        .to_string(),
    ]);
}

#[test]
fn every_field_at_its_limit_is_kept() {
    let (id, label) = (wide(512), wide(4_096));
    let fields = json!({
        "id": id, "text": wide(700_000), "contact_name": label, "content_type": label, "sender_type": "SYSTEM",
        "sender_id": id, "agent_id": id, "model_used": label, "tokens_used": u32::MAX, "sentiment": label,
        "intent": label, "created_at": "2100-12-31T23:59:59.999999Z",
        "entities": vec![json!({"n": f64::MAX}); 100], "attachments": vec![json!({"url": wide(1_000)}); 100],
        "metadata": (0..200).map(|n| (format!("{n}{}", wide(300)), json!(n))).collect::<serde_json::Map<_, _>>(),
    });
    let times = ["2000-01-01T00:00:00Z", "2100-12-31T23:59:59.999999Z"];
    let mut bodies = times.map(|at| message(json!({"id": at, "created_at": at}))).to_vec();
    bodies.push(message(fields));
    kept(&bodies);
}
