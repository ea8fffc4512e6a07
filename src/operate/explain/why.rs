//! Why things happened, in sentences. Pure.

use crate::{archive::ConversationRow, domain::Close, operate::mask::Mask};

/// Why a conversation closed, by the archive's name of the reason.
pub(super) fn close(reason: &str) -> &str {
    match reason {
        "imported" => "the older service had closed it, and it was taken over",
        "session_ended" => "its session ended and nobody spoke within the grace period",
        "idle" => "nothing was said for the idle time",
        "max_age" => "it was open for the longest time a conversation may be",
        "day_ended" => "its day ended, by the project's clock",
        "window_ended" => "the platform's window around it ended",
        "human_takeover" => "a person took over",
        "requested" => "a publisher asked for it",
        "operator" => "an operator asked for it",
        "late" => "it had closed without a message; its first came late",
        other => other,
    }
}

/// How a conversation ended, as one sentence.
pub(super) fn closed(reason: &str, detail: Option<&str>, resolution: Option<i16>, topic: Option<&str>) -> String {
    let mut said = close(reason).to_owned();
    if let Some(detail) = detail {
        said += &format!(", in the publisher's words: {detail}");
    }
    if let Some(resolution) = resolution {
        let name = match resolution {
            0 => "resolved",
            1 => "unresolved",
            2 => "in progress",
            3 => "unclassified",
            4 => "has a chat room",
            _ => "of a resolution not known here",
        };
        said += &format!("; {name}");
    }
    topic.map_or(said.clone(), |topic| format!("{said}; about {topic}"))
}

/// The close of a row.
pub(super) fn of_row(row: &ConversationRow, mask: Mask) -> String {
    let detail = row.close_detail.as_deref().map(|detail| mask.text(detail));
    closed(row.close_reason.as_deref().unwrap_or("unknown"), detail.as_deref(), row.resolution, row.topic.as_deref())
}

/// The close a head knows of.
pub(super) fn of_close(end: &Close, mask: Mask) -> String {
    let detail = end.detail.as_deref().map(|detail| mask.text(detail));
    closed(end.reason.as_str(), detail.as_deref(), end.resolution.map(i16::from), end.topic.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CloseReason;

    #[test]
    fn every_reason_to_close_has_its_sentence() {
        for reason in [
            CloseReason::SessionEnded,
            CloseReason::Idle,
            CloseReason::MaxAge,
            CloseReason::DayEnded,
            CloseReason::WindowEnded,
            CloseReason::HumanTakeover,
            CloseReason::Requested,
            CloseReason::Operator,
            CloseReason::Late,
        ] {
            assert_ne!(close(reason.as_str()), reason.as_str());
        }
    }

    #[test]
    fn a_close_says_reason_words_resolution_and_topic() {
        assert_eq!(
            closed("requested", Some("[5 characters]"), Some(0), Some("billing")),
            "a publisher asked for it, in the publisher's words: [5 characters]; resolved; about billing"
        );
        assert_eq!(closed("idle", None, None, None), "nothing was said for the idle time");
    }
}
