//! What is shown of persons: enough to tell one from another, not enough to know who it is, unless the operator says `--reveal`.

use serde_json::{Value, json};

use super::moment::written;
use crate::domain::Message;

/// How persons are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    /// Masked.
    On,
    /// As they are.
    Off,
}

/// Characters left at the end of a contact, and how long it must at least be for that.
const TAIL: usize = 4;
const LONG_ENOUGH: usize = 9;

impl Mask {
    pub(super) fn unless(reveal: bool) -> Self {
        if reveal { Self::Off } else { Self::On }
    }

    /// A contact URN: `whatsapp:…0000`.
    pub(super) fn contact(self, urn: &str) -> String {
        match self {
            Self::Off => urn.to_owned(),
            Self::On => {
                let (scheme, rest) = match urn.split_once(':') {
                    Some((scheme, rest)) => (format!("{scheme}:"), rest),
                    None => (String::new(), urn),
                };
                let length = rest.chars().count();
                let tail = if length < LONG_ENOUGH { length } else { length - TAIL };
                format!("{scheme}…{}", rest.chars().skip(tail).collect::<String>())
            }
        }
    }

    /// A name: `M… J…`.
    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::Off => name.to_owned(),
            Self::On => {
                let initials = name.split_whitespace().filter_map(|word| word.chars().next());
                initials.map(|initial| format!("{initial}…")).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Anything that was said: `[38 characters]`.
    pub(super) fn text(self, text: &str) -> String {
        match (self, text.chars().count()) {
            (Self::Off, _) | (_, 0) => text.to_owned(),
            (Self::On, 1) => "[1 character]".to_owned(),
            (Self::On, length) => format!("[{length} characters]"),
        }
    }

    /// What must not be shown at all while masked.
    pub(super) fn hidden<T>(self, value: T) -> Option<T> {
        (self == Self::Off).then_some(value)
    }
}

/// Of a message only what cannot name a person, and the rest by its shape.
pub(super) fn masked(message: &Message) -> Value {
    json!({
        "event_id": message.event_id,
        "occurred_at": written(message.occurred_at),
        "received_at": written(message.received_at),
        "sequence": message.sequence,
        "direction": message.direction,
        "text": Mask::On.text(&message.text),
        "contact_name": message.contact_name.as_deref().map(|name| Mask::On.name(name)),
        "content_type": message.content_type,
        "sender_type": message.sender_type,
        "agent_id": message.agent_id,
        "attachments": message.attachments.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_contact_keeps_its_scheme_and_its_end() {
        for (urn, shown) in [
            ("whatsapp:+5511999990000", "whatsapp:…0000"),
            ("tel:+55", "tel:…"),
            ("tel:12345678", "tel:…"),
            ("mailto:josé@example.org", "mailto:….org"),
            ("5511999990000", "…0000"),
            ("", "…"),
        ] {
            assert_eq!(Mask::On.contact(urn), shown);
            assert_eq!(Mask::Off.contact(urn), urn);
        }
    }

    #[test]
    fn a_masked_name_is_its_initials_and_a_masked_text_its_length() {
        assert_eq!(Mask::On.name("María  José"), "M… J…");
        assert_eq!(Mask::On.name(" "), "");
        assert_eq!(Mask::On.text("Olá 🙂"), "[5 characters]");
        assert_eq!(Mask::On.text("1"), "[1 character]");
        assert_eq!(Mask::On.text(""), "");
        assert_eq!(Mask::Off.text("Olá"), "Olá");
    }
}
