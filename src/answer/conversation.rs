//! `get_conversation`: a conversation with its messages, page by page, wherever it stands.

use serde_json::{Value, json};

use super::{
    Asking,
    context::at,
    cursor,
    found::{Found, status_of, status_of_row},
    outcome::{Outcome, Room, Unanswered},
};
use crate::{
    archive::ConversationRow,
    domain::{Head, Message, Spot},
    event::request::GetConversation,
};

/// Messages of a page unless the asker says otherwise.
const PAGE: u32 = 100;

/// Messages of a page at most.
const LONGEST_PAGE: u32 = 1_000;

impl Asking<'_> {
    pub(super) async fn conversation(&self, wanted: &GetConversation) -> Result<Outcome, Unanswered> {
        let found = self.named(&wanted.conversation_id).await?;
        let mut content = match &found {
            Found::Head(head) => view_of_head(head),
            Found::Row(row) => of_row(row),
        };
        let (mut history, id) = (found.history(self), found.id().to_string());
        let of = ["get_conversation", self.project(), &id];
        let mut after: Option<Spot> = wanted.cursor.as_deref().map(|text| cursor::read(&of, text)).transpose()?;
        let most = wanted.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
        let leg = history.forward(after, most).await?;
        let mut room = Room::in_reply(self.answers.limits.bytes, &content);
        let (mut views, mut more) = (Vec::with_capacity(leg.messages.len()), leg.more);
        for message in leg.messages {
            let place = message.spot();
            let view = view(&message);
            if !room.take(&view) {
                // one that no reply can hold is named, so that the next page begins behind it
                let stub = json!({"event_id": place.event_id, "created_at": at(place.occurred_at), "too_large": true});
                if !views.is_empty() || !room.take(&stub) {
                    more = true;
                    content["truncated"] = true.into();
                    break;
                }
                views.push(stub);
            } else {
                views.push(view);
            }
            after = Some(place);
        }
        content["messages"] = Value::Array(views);
        content["next_cursor"] = after.filter(|_| more).map(|place| cursor::written(&of, &place)).into();
        Ok(Outcome::ok(content))
    }
}

/// What is told of a conversation that the hot store knows.
pub(super) fn view_of_head(head: &Head) -> Value {
    let record = head.conversation.record();
    json!({
        "conversation_id": record.id,
        "project_uuid": head.thread.project,
        "contact_urn": head.thread.contact,
        "channel_uuid": head.thread.channel,
        "external_id": head.thread.conversation,
        "status": status_of(&head.conversation),
        "opened_at": at(record.opened_at),
        "closed_at": Value::Null,
        "agent_id": record.agent_id,
        "contact_name": record.contact_name,
        "title": record.details.title,
        "tags": record.details.tags,
        "ticket_uuid": record.details.ticket,
        "has_chats_room": record.details.has_chats_room,
    })
}

/// What is told of an archived conversation.
pub(super) fn of_row(row: &ConversationRow) -> Value {
    json!({
        "conversation_id": row.id,
        "project_uuid": row.project,
        "contact_urn": row.contact,
        "channel_uuid": row.channel,
        "external_id": row.external_id,
        "status": status_of_row(row),
        "opened_at": at(row.opened_at),
        "closed_at": row.closed_at.map(at),
        "close_reason": row.close_reason,
        "resolution": row.resolution,
        "agent_id": row.agent_id,
        "contact_name": row.contact_name,
        "title": row.title,
        "tags": row.tags,
        "topic": row.topic,
        "subtopic": row.subtopic,
        "ticket_uuid": row.ticket,
        "has_chats_room": row.has_chats_room,
        "csat": row.csat,
        "nps": row.nps,
        "message_count": row.message_count,
    })
}

fn view(message: &Message) -> Value {
    let mut view = serde_json::to_value(message).unwrap_or_default();
    if let Some(fields) = view.as_object_mut() {
        fields.remove("sequence");
        fields.remove("tokens");
    }
    view
}
