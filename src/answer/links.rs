//! `get_crm_link`, `list_crm_links`: conversations and the contacts of a CRM they belong to.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Asking,
    context::at,
    cursor,
    outcome::{Outcome, Room, Unanswered},
};
use crate::{
    archive::{COUNTED, LinkRow, Links},
    domain::ConversationId,
    event::request::{GetCrmLink, ListCrmLinks},
};

/// Links of a page unless the asker says otherwise.
const PAGE: u32 = 100;

/// Links of a page at most.
const LONGEST_PAGE: u32 = 1_000;

impl Asking<'_> {
    pub(super) async fn link(&self, wanted: &GetCrmLink) -> Result<Outcome, Unanswered> {
        // a thread of the publisher's own naming stands for its present conversation
        let head = self.hot.head(&self.event.thread.key()).await?;
        let present = head.filter(|head| head.thread.conversation.as_ref() == Some(&wanted.conversation_id));
        let id = match (present, Uuid::try_parse(&wanted.conversation_id)) {
            (Some(head), _) => head.conversation.record().id,
            (None, Ok(id)) => ConversationId(id),
            (None, Err(_)) => return Err(Unanswered::NotFound),
        };
        let link = self.answers.archive.link(self.project(), id).await?.ok_or(Unanswered::NotFound)?;
        Ok(Outcome::ok(view(&link)))
    }

    pub(super) async fn links(&self, wanted: &ListCrmLinks) -> Result<Outcome, Unanswered> {
        let of = ["list_crm_links", self.project(), wanted.crm_id.as_deref().unwrap_or_default()];
        let after: Option<(String, Uuid)> = wanted.cursor.as_deref().map(|text| cursor::read(&of, text)).transpose()?;
        let most = wanted.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let (project, crm_id) = (self.project().to_owned(), wanted.crm_id.clone());
        let (rows, total) = self.answers.archive.links(&Links { project, crm_id, after, most: most + 1 }).await?;
        let mut room = Room::in_reply(self.answers.limits.bytes, &Value::Null);
        let (mut views, mut more, mut place) = (Vec::new(), rows.len() > most as usize, None);
        for row in rows.into_iter().take(most as usize) {
            let view = view(&row);
            if !room.take(&view) {
                more = true;
                break;
            }
            views.push(view);
            place = Some((row.crm_id, row.conversation_id));
        }
        let content = json!({
            "total": total,
            "total_is_lower_bound": total == COUNTED,
            "returned": views.len(),
            "links": views,
            "next_cursor": place.filter(|_| more).map(|place| cursor::written(&of, &place)),
        });
        Ok(Outcome::ok(content))
    }
}

fn view(link: &LinkRow) -> Value {
    json!({
        "conversation_id": link.conversation_id,
        "contact_urn": link.contact,
        "crm": link.crm,
        "crm_id": link.crm_id,
        "prospect_data": link.prospect,
        "created_at": at(link.created_at),
        "updated_at": at(link.updated_at),
    })
}
