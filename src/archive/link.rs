//! Which contact of a CRM a conversation belongs to.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{ArchiveError, PostgresArchive};
use crate::domain::ConversationId;

const LINK: &str = "select conversation_id, contact, crm, crm_id, prospect, created_at, updated_at from crm_link where state <> 'erased' and ";

/// Links are counted up to here.
pub const COUNTED: i64 = 100_000;

/// A link as stored.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct LinkRow {
    /// The conversation.
    pub conversation_id: Uuid,
    /// Its contact, as a URN.
    pub contact: Option<String>,
    /// The CRM.
    pub crm: String,
    /// The contact's id there.
    pub crm_id: String,
    /// What the CRM says of the person: a JSON object.
    pub prospect: Option<Value>,
    /// When it was first linked.
    pub created_at: DateTime<Utc>,
    /// When the link last changed.
    pub updated_at: DateTime<Utc>,
}

/// Which links of a project, in the order of CRM contact and conversation.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The project.
    pub project: String,
    /// To this contact of the CRM only.
    pub crm_id: Option<String>,
    /// Only those behind this one.
    pub after: Option<(String, Uuid)>,
    /// So many at most.
    pub most: u32,
}

#[derive(FromRow)]
struct Count {
    count: i64,
}

impl PostgresArchive {
    pub(super) async fn link_of(&self, project: &str, id: ConversationId) -> Result<Option<LinkRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(LINK);
        query.push("conversation_id = ").push_bind(id.0).push(" and project = ").push_bind(project);
        Ok(self.rows(query).await?.pop())
    }

    pub(super) async fn linked(&self, links: &Links) -> Result<(Vec<LinkRow>, i64), ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(LINK);
        of_project(&mut query, links);
        if let Some((crm_id, conversation)) = &links.after {
            query.push(" and (crm_id, conversation_id) > (").push_bind(crm_id).push(", ");
            query.push_bind(conversation).push(")");
        }
        query.push(" order by crm_id, conversation_id limit ").push_bind(i64::from(links.most));
        let rows = self.rows(query).await?;
        let mut query =
            QueryBuilder::<Postgres>::new("select count(*) from (select from crm_link where state <> 'erased' and ");
        of_project(&mut query, links);
        query.push(" limit ").push_bind(COUNTED).push(") as counted");
        let total: Vec<Count> = self.rows(query).await?;
        Ok((rows, total.first().map_or(0, |total| total.count)))
    }
}

fn of_project(query: &mut QueryBuilder<Postgres>, links: &Links) {
    query.push("project = ").push_bind(&links.project);
    if let Some(crm_id) = &links.crm_id {
        query.push(" and crm_id = ").push_bind(crm_id);
    }
}
