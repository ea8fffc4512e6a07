//! Traffic whose outcome is known to the last row: so many threads, each with conversations that are closed one by one.
//!
//! A message handled before the close in front of it, or after the one behind it, would stand in another conversation.

use crate::{
    archive::Conversation,
    events::{Event, Thread},
    stack::Stack,
};

/// Conversations of each thread.
const CONVERSATIONS: usize = 2;

/// Messages of each conversation.
const MESSAGES: usize = 5;

/// So many threads that each hold the same.
pub struct Load {
    threads: Vec<Thread>,
}

impl Load {
    pub fn of(threads: usize) -> Self {
        Self { threads: (1..=threads).map(|n| Thread::of(&format!("tel:{n}"))).collect() }
    }

    /// Everything, the threads side by side, each in order.
    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for conversation in 1..=CONVERSATIONS {
            for message in 1..=MESSAGES {
                let text = text(conversation, message);
                events.extend(self.threads.iter().map(|thread| thread.says(&text)));
            }
            events.extend(self.threads.iter().map(Thread::close));
        }
        events
    }

    /// Closed conversations and messages in the archive when all is done.
    pub fn counts(&self) -> (usize, usize) {
        let conversations = self.threads.len() * CONVERSATIONS;
        (conversations, conversations * MESSAGES)
    }

    /// Waits until daemons have archived everything and left nothing.
    pub async fn until_done(&self, stack: &Stack) {
        stack.until("the load is archived", async || stack.counts().await == self.counts()).await;
        stack.until("the queue is empty", async || stack.depth().await == crate::stack::EMPTY).await;
    }

    /// Every thread holds its conversations, each message once, in order, none late.
    pub fn assert_archived(&self, archived: &[Conversation]) {
        let expected: Vec<Vec<String>> =
            (1..=CONVERSATIONS).map(|c| (1..=MESSAGES).map(|m| text(c, m)).collect()).collect();
        for thread in &self.threads {
            let own: Vec<&Conversation> = archived.iter().filter(|conversation| conversation.is_of(thread)).collect();
            let texts: Vec<_> = own.iter().map(|conversation| conversation.texts()).collect();
            assert_eq!(texts, expected, "{}", thread.contact);
            for conversation in own {
                assert!(conversation.messages.iter().all(|message| !message.late), "{conversation:?}");
                assert_eq!(conversation.close_reason.as_deref(), Some("requested"));
            }
        }
        assert_eq!(archived.len(), self.counts().0, "conversations of nobody");
    }
}

fn text(conversation: usize, message: usize) -> String {
    format!("c{conversation}m{message}")
}
