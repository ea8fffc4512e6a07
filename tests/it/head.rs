//! The head of a thread is written by whoever read it last, and by nobody else: what every other promise rests on.

use conversationd::domain::{Conversation, Head};

use crate::{events::Thread, stack::Stack};

#[tokio::test]
async fn a_head_that_somebody_else_wrote_in_the_meantime_is_not_written_over() {
    let stack = Stack::new("head").await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.says("m1"), thread.session_opened()]).await;
    stack.settle().await;
    let (hot, key) = (stack.hot(), thread.key());
    let read = stack.head(&thread).await.expect("a head");
    let Conversation::Open(open) = read.conversation.clone() else { panic!("it is open") };

    let other = open.clone().session_opened("session-2".into(), None);
    let theirs = read.next(Conversation::Open(other));
    assert!(hot.write_head(&key, &theirs).await.expect("an answer"), "the first who read it");
    let ours = read.next(Conversation::Open(open.session_opened("session-3".into(), None)));
    assert!(!hot.write_head(&key, &ours).await.expect("an answer"), "the second");
    assert!(!hot.write_head(&key, &read).await.expect("an answer"), "one from long ago");
    let first = Head { version: 1, ..ours.clone() };
    assert!(!hot.write_head(&key, &first).await.expect("an answer"), "one who saw no head at all");
    let ahead = Head { version: theirs.version + 2, ..ours };
    assert!(!hot.write_head(&key, &ahead).await.expect("an answer"), "one from nowhere");
    assert_eq!(stack.head(&thread).await, Some(theirs));
    stack.done().await;
}
