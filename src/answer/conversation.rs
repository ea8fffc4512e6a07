//! `get_conversation`: a conversation with its messages, page by page, wherever it stands.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Asking,
    context::{at, status_of},
    cursor,
    history::History,
    outcome::{Outcome, Room, Unanswered},
};
use crate::{
    archive::ConversationRow,
    domain::{Conversation, ConversationId, Head, Message, Spot, Thread},
    event::request::GetConversation,
};

/// Messages of a page unless the asker says otherwise.
const PAGE: u32 = 100;

/// Messages of a page at most.
const LONGEST_PAGE: u32 = 1_000;

impl Asking<'_> {
    pub(super) async fn conversation(&self, wanted: &GetConversation) -> Result<Outcome, Unanswered> {
        let (mut content, mut history, id) = self.stands(&wanted.conversation_id).await?;
        let id = id.to_string();
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

    /// What is known of the conversation that `id` names, and its messages.
    ///
    /// In this order: the thread that contact and channel name; the thread that the id names, when a publisher chose it; the
    /// archive, which also names the thread of a conversation that is open and checkpointed.
    async fn stands(&self, id: &str) -> Result<(Value, History<'_>, ConversationId), Unanswered> {
        let uuid = Uuid::try_parse(id).ok().map(ConversationId);
        let by_thread = self.event.thread.conversation.is_some();
        let head = self.hot.head(&self.event.thread.key()).await?;
        let head = head.filter(|head| by_thread || Some(head.conversation.record().id) == uuid);
        let uuid = match &head {
            Some(head) if !matches!(head.conversation, Conversation::Closed(_)) => return Ok(self.of_head(head)),
            Some(head) => Some(head.conversation.record().id),
            None => uuid,
        };
        let row = self.answers.archive.find(self.project(), uuid.ok_or(Unanswered::NotFound)?).await?;
        let row = row.ok_or(Unanswered::NotFound)?;
        let id = ConversationId(row.id);
        if row.closed_at.is_none() {
            let thread = thread_of(&row);
            let head = self.hot.head(&thread.key()).await?;
            if let Some(head) = head.filter(|head| head.conversation.record().id == id) {
                return Ok(self.of_head(&head));
            }
        }
        Ok((of_row(&row), History::archived(self, id), id))
    }

    fn of_head(&self, head: &Head) -> (Value, History<'_>, ConversationId) {
        (view_of_head(head), History::of_head(self, head), head.conversation.record().id)
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
        "status": if row.closed_at.is_some() { "closed" } else { "open" },
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

fn thread_of(row: &ConversationRow) -> Thread {
    Thread {
        project: row.project.clone(),
        contact: row.contact.clone(),
        channel: row.channel.clone(),
        conversation: row.external_id.clone(),
    }
}

fn view(message: &Message) -> Value {
    let mut view = serde_json::to_value(message).unwrap_or_default();
    if let Some(fields) = view.as_object_mut() {
        fields.remove("sequence");
        fields.remove("tokens");
    }
    view
}
