//! Messages and the conversation they belong to, whenever they arrive.

use chrono::TimeDelta;

use crate::{
    events::{Thread, ago},
    stack::Stack,
};

#[tokio::test]
async fn a_message_that_occurred_inside_a_closed_conversation_is_appended_to_it() {
    let stack = Stack::new("late").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m1", ago(60)), thread.said("m3", ago(40)), thread.close()]).await;
    stack.settle().await;
    let (before, head) = (stack.archived().await, stack.head(&thread).await);

    stack.publish(&[thread.said("m2", ago(50)), thread.said("m4", ago(30))]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!(archived.len(), 1, "no other conversation");
    assert_eq!(archived[0].texts(), ["m1", "m2", "m3", "m4"], "it stands where it was said");
    let late: Vec<bool> = archived[0].messages.iter().map(|message| message.late).collect();
    assert_eq!(late, [false, true, false, true]);
    assert_eq!(archived[0].closed_at, before[0].closed_at, "how it ended stays");
    assert_eq!(archived[0].resolution, before[0].resolution);
    assert_eq!(stack.head(&thread).await, head);
    let id = conversationd::domain::ConversationId(archived[0].id);
    let hot = stack.hot().page(&thread.key(), id, None).await.expect("a page");
    assert_eq!(hot.messages.len(), 4, "should the archive forget it, it is found here");

    // and again: once is enough
    stack.publish(&[thread.said("m2", archived[0].messages[1].occurred_at)]).await;
    stack.settle().await;
    assert_eq!(stack.archived().await, archived);
    stack.done().await;
}

#[tokio::test]
async fn a_message_after_the_close_opens_the_next_conversation_and_late_ones_still_find_theirs() {
    let stack = Stack::new("next").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m1", ago(60)), thread.close()]).await;
    stack.settle().await;
    let closed_at = stack.archived().await[0].closed_at.expect("a close");

    // to the instant: what is said at the close is said after it
    stack.publish(&[thread.said("m3", closed_at), thread.said("m2", closed_at - TimeDelta::milliseconds(1))]).await;
    stack.settle().await;
    assert!(stack.is_open(&thread).await);
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
    assert!(archived[0].messages[1].late);

    stack.publish(&[thread.says("m4"), thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!(archived.len(), 2);
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1", "m2"], vec!["m3", "m4"]));
    assert_eq!(archived[1].previous_id, Some(archived[0].id));
    assert_ne!(archived[0].id, archived[1].id);
    stack.done().await;
}

#[tokio::test]
async fn a_message_older_than_every_conversation_of_its_thread_is_kept_all_the_same() {
    let stack = Stack::new("older").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m2", ago(60)), thread.close()]).await;
    stack.settle().await;
    stack.publish(&[thread.said("m1", ago(3600)), thread.close()]).await;
    stack.settle().await;
    let mut texts: Vec<String> =
        stack.archived().await.iter().flat_map(|conversation| conversation.texts()).map(str::to_owned).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["m1", "m2"]);
    stack.done().await;
}
