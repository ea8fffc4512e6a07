//! What tells an event apart from every other, and makes every copy of it the same.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::domain::{EventId, ThreadKey};

/// What an event's id is derived from, but for its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    /// Where it happened.
    pub(super) thread: &'a ThreadKey,
    /// The publisher's own identity of the event.
    pub(super) correlation_id: Option<&'a str>,
    /// The body as delivered.
    pub(super) body: &'a str,
}

impl Identity<'_> {
    /// The id of the event of type `event_type`: by its correlation id, else its message id, else its body's hash.
    pub(super) fn of(&self, event_type: &str, message_id: Option<&str>) -> EventId {
        match self.correlation_id.or(message_id) {
            Some(id) => EventId::derive(self.thread, event_type, id),
            None => EventId::derive(self.thread, event_type, &hash(self.body)),
        }
    }
}

fn hash(body: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(body.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_goes_before_a_message_id_and_that_before_the_body() {
        let thread = ThreadKey::stored("p#c#ch".to_owned());
        let by_body = Identity { thread: &thread, correlation_id: None, body: "{}" };
        let by_correlation = Identity { correlation_id: Some("c-1"), ..by_body };
        let id = |discriminator: &str| EventId::derive(&thread, "message.sent", discriminator);
        assert_eq!(by_correlation.of("message.sent", Some("m-1")), id("c-1"));
        assert_eq!(by_body.of("message.sent", Some("m-1")), id("m-1"));
        assert_eq!(
            by_body.of("message.sent", None),
            id("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
        );
    }
}
