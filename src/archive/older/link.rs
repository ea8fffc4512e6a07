//! Links to customer records that the older service made, as its file has them.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::types::Json;

use crate::archive::session::within;
use crate::archive::{ArchiveError, PostgresArchive};
use crate::domain::{ConversationId, Thread};

/// What a file says is older than anything events said.
const IMPORT: &str = "
    insert into crm_link (
        conversation_id, external_id, project, thread, contact, crm, crm_id, prospect, changed_by, created_at, updated_at
    )
    select coalesce(c.id, $1), $2, $3, coalesce(c.thread, $4), c.contact, $5, $6, $7, 0, coalesce($8, now()),
           coalesce($9, $8, now())
    from (select 1) one
    left join lateral (
        select id, thread, contact from conversation
        where project = $3 and (id = $1 or external_id = $2)
        order by id = $1 desc, opened_at desc
        limit 1
    ) c on true
    on conflict (conversation_id) do nothing";

/// A link of the older service.
#[derive(Clone, Debug, PartialEq)]
pub struct OlderLink {
    /// Its id of the conversation: any text.
    pub external_id: String,
    /// The CRM.
    pub crm: String,
    /// The record's id there.
    pub crm_id: String,
    /// What it said of the person.
    pub prospect: Map<String, Value>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

impl PostgresArchive {
    /// Writes links of `project` that the older service made, those that are new; all of them or none. A conversation that
    /// the archive knows by that id is linked as itself; any other is known by the id alone. Returns how many were new.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now.
    pub async fn import_links(&self, project: &str, links: &[OlderLink]) -> Result<u64, ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin").await?;
        let (patience, connection) = session.parts();
        let mut new = 0;
        for link in links {
            let conversation = Some(link.external_id.clone());
            let thread = Thread { project: project.to_owned(), contact: None, channel: None, conversation };
            let query = sqlx::query(IMPORT)
                .bind(ConversationId::of_older(project, &link.external_id).0)
                .bind(&link.external_id)
                .bind(project)
                .bind(thread.key().as_str().to_owned())
                .bind(&link.crm)
                .bind(&link.crm_id)
                .bind((!link.prospect.is_empty()).then_some(Json(&link.prospect)))
                .bind(link.created_at)
                .bind(link.updated_at);
            new += within(patience, query.execute(&mut *connection)).await?.rows_affected();
        }
        session.command("commit").await?;
        session.give_back();
        Ok(new)
    }
}
