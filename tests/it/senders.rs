//! Senders that are bound to projects, as SQS tells who they are. The emulator tells one name for everybody.

use crate::{events::Thread, stack::Stack};

const EVERYBODY: &str = "000000000000";

#[tokio::test]
async fn a_sender_speaks_for_its_project_and_for_no_other() {
    let (own, foreign) = (Thread::of("tel:own"), Thread::of("tel:foreign"));
    let bound = format!("{EVERYBODY}={}", own.project);
    let stack = Stack::with("senders", &[("CONVERSATIOND_SENDERS", &bound)]).await;
    stack
        .publish(&[own.says("m1"), foreign.says("forged"), own.says("m2"), foreign.close(), own.session_closed()])
        .await;
    stack.settle().await;
    assert!(stack.head(&foreign).await.is_none());
    assert_eq!(stack.archived().await.iter().map(|it| it.texts()).collect::<Vec<_>>(), [["m1", "m2"]]);
    let dead = stack.dead_letters().await;
    assert_eq!(dead.len(), 2);
    for letter in &dead {
        assert_eq!(letter.why["code"], "sender_not_allowed");
        assert!(!letter.why.to_string().contains(&foreign.project), "{}", letter.why);
    }
    stack.done().await;
}
