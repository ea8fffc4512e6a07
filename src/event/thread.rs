//! Where an event happened, read and written. Read from its data only: publishers hash or reorder the message group id.

use serde_json::{Map, Value, json};

use crate::domain::{Thread, ThreadKey};

use super::fields::{Fields, ID_LIMIT, URN_LIMIT, required};
use super::rejection::{Code, Rejection};

/// Longest thread key, in bytes: DynamoDB takes 2,048 for a partition key, and the hot store puts a prefix before it.
const KEY_LIMIT: usize = 2_000;

/// Reads the thread, and its key.
///
/// # Errors
/// A part is missing, of another type or too long; with a `conversation_id`, contact and channel may be missing.
pub(super) fn read(data: &mut Fields) -> Result<(Thread, ThreadKey), Rejection> {
    let project = project(data)?;
    let conversation = data.id("conversation_id", ID_LIMIT)?;
    let mut contact = data.id("contact_urn", URN_LIMIT)?;
    let mut channel = data.id("channel_uuid", ID_LIMIT)?;
    if conversation.is_none() {
        contact = Some(required(contact, "contact_urn")?);
        channel = Some(required(channel, "channel_uuid")?);
    }
    let thread = Thread { project, contact, channel, conversation };
    let key = within_limits(&thread)?;
    Ok((thread, key))
}

/// Reads the project, by either of its names.
///
/// # Errors
/// It is missing, of another type or too long.
pub(super) fn project(data: &mut Fields) -> Result<String, Rejection> {
    let mut project = data.id("project_uuid", ID_LIMIT)?;
    if project.is_none() {
        project = data.id("tenant_id", ID_LIMIT)?;
    }
    required(project, "project_uuid")
}

/// The thread's key.
///
/// # Errors
/// It is longer than the hot store takes.
pub(super) fn within_limits(thread: &Thread) -> Result<ThreadKey, Rejection> {
    let key = thread.key();
    if key.as_str().len() > KEY_LIMIT {
        let reason = "makes a thread key over 2,000 bytes, with project_uuid and channel_uuid";
        let field = if thread.conversation.is_some() { "conversation_id" } else { "contact_urn" };
        return Err(Rejection::field(Code::TooLong, field, reason));
    }
    Ok(key)
}

/// Reads a thread of which only the project must be named: what happens to a session is known by the session's id.
///
/// # Errors
/// No project, a part of another type or too long, or a contact without a channel.
pub(super) fn read_of_session(data: &mut Fields) -> Result<(Thread, ThreadKey), Rejection> {
    if ["conversation_id", "contact_urn", "channel_uuid"].iter().any(|field| data.has(field)) {
        return read(data);
    }
    let thread = project_alone(project(data)?);
    let key = thread.key();
    Ok((thread, key))
}

/// Reads an event of a whole project.
///
/// # Errors
/// No project, or one of another type or too long.
pub(super) fn read_of_project(data: &mut Fields) -> Result<(Thread, ThreadKey), Rejection> {
    let thread = project_alone(project(data)?);
    let key = thread.key();
    Ok((thread, key))
}

/// Reads an event of a contact, on whatever channel.
///
/// # Errors
/// No project or contact, or one of another type or too long.
pub(super) fn read_of_contact(data: &mut Fields) -> Result<(Thread, ThreadKey), Rejection> {
    let project = project(data)?;
    let contact = Some(required(data.id("contact_urn", URN_LIMIT)?, "contact_urn")?);
    let thread = Thread { contact, ..project_alone(project) };
    let key = thread.key();
    Ok((thread, key))
}

/// A project, and no thread of it in particular.
pub(super) fn project_alone(project: String) -> Thread {
    Thread { project, contact: None, channel: None, conversation: None }
}

/// Writes the envelope of an event called `name` that happened in `thread`.
pub(super) fn body(name: &'static str, thread: &Thread, mut data: Map<String, Value>) -> String {
    data.insert("project_uuid".to_owned(), thread.project.as_str().into());
    let parts = [
        ("contact_urn", &thread.contact),
        ("channel_uuid", &thread.channel),
        ("conversation_id", &thread.conversation),
    ];
    for (field, part) in parts {
        if let Some(part) = part {
            data.insert(field.to_owned(), part.as_str().into());
        }
    }
    json!({ "event_type": name, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_from(data: Value) -> Result<Thread, Rejection> {
        let mut fields = Fields::of(data.as_object().cloned().unwrap_or_default());
        read(&mut fields).map(|(thread, _)| thread)
    }

    #[test]
    fn a_thread_is_a_project_a_contact_and_a_channel_kept_verbatim() {
        let thread = read_from(json!({"project_uuid": "P ", "contact_urn": "tel:#1 %", "channel_uuid": 7}));
        let expected = Thread {
            project: "P ".into(),
            contact: Some("tel:#1 %".into()),
            channel: Some("7".into()),
            conversation: None,
        };
        assert_eq!(thread, Ok(expected));
    }

    #[test]
    fn tenant_id_stands_in_for_the_project() {
        let alias = read_from(json!({"tenant_id": "p", "contact_urn": "c", "channel_uuid": "ch"}));
        let own = read_from(json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch"}));
        assert_eq!(alias, own);
    }

    #[test]
    fn a_conversation_id_alone_names_a_thread_of_its_project() {
        let thread = read_from(json!({"project_uuid": "p", "conversation_id": "x", "contact_urn": "c"}));
        let expected =
            Thread { project: "p".into(), contact: Some("c".into()), channel: None, conversation: Some("x".into()) };
        assert_eq!(thread, Ok(expected));
    }

    #[test]
    fn a_missing_part_is_named() {
        for (data, field) in [
            (json!({"contact_urn": "c", "channel_uuid": "ch"}), "project_uuid"),
            (json!({"project_uuid": null, "contact_urn": "c", "channel_uuid": "ch"}), "project_uuid"),
            (json!({"project_uuid": " ", "conversation_id": "x"}), "project_uuid"),
            (json!({"project_uuid": "p", "channel_uuid": "ch"}), "contact_urn"),
            (json!({"project_uuid": "p", "channel_uuid": "ch", "conversation_id": ""}), "contact_urn"),
            (json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "\n"}), "channel_uuid"),
        ] {
            let rejection = read_from(data).expect_err(field);
            assert_eq!((rejection.code, rejection.field.as_deref()), (Code::MissingField, Some(field)));
        }
    }

    #[test]
    fn a_part_at_its_limit_is_taken_and_one_over_it_is_rejected() {
        let spaced = format!("ext:{}", "José da Silva ".repeat(20));
        for (field, longest) in [("project_uuid", 512), ("contact_urn", 1_024), ("channel_uuid", 512)] {
            for (length, taken) in [(longest, true), (longest + 1, false)] {
                let mut data = json!({"project_uuid": "p", "contact_urn": spaced, "channel_uuid": "ch"});
                data[field] = json!("x".repeat(length));
                assert_eq!(read_from(data).err().map(|r| r.code), (!taken).then_some(Code::TooLong), "{field}");
            }
        }
    }

    #[test]
    fn parts_that_make_too_long_a_key_together_are_rejected() {
        let data =
            json!({"project_uuid": "p".repeat(512), "contact_urn": "c".repeat(1_024), "channel_uuid": "#".repeat(300)});
        assert_eq!(read_from(data).expect_err("too long").code, Code::TooLong);
    }
}
