//! What a sink wrote into a record of a CRM: whose record it is, and which values are ours when the CRM tells of them.

use sqlx::PgConnection;

use super::{Outbox, OutboxError, within};
use crate::{
    domain::{Notice, Thread},
    postgres::Session,
};

/// The CRM that sinks write into by its own interface.
const CRM: &str = "hubspot";

const PUSHED: &str = "
    insert into crm_property (crm, account, crm_id, property, pushed)
    select $1, $2, $3, written.property, written.pushed
    from unnest($4::text[], $5::bytea[]) as written(property, pushed)
    on conflict on constraint crm_property_pk do update set pushed = excluded.pushed";

/// A link that anybody gave stays: it is older than anything events say.
const LINK: &str = "
    insert into crm_link (conversation_id, project, thread, contact, crm, crm_id, changed_by)
    values ($1, $2, $3, $4, $5, $6, 0)
    on conflict (conversation_id) do nothing";

/// A record, and what was written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrote {
    /// The account.
    pub account: String,
    /// The record's id.
    pub crm_id: String,
    /// Properties, and digests of their values ([`crate::domain::value_digest`]).
    pub properties: Vec<(String, [u8; 32])>,
}

impl Outbox {
    /// Remembers what was written for `notice`.
    ///
    /// # Errors
    /// The database does not answer: what comes back may be taken for somebody else's, which changes nothing but costs a notice.
    pub async fn remember(&self, notice: &Notice, wrote: &Wrote) -> Result<(), OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            remember(session.connection(), notice, wrote).await?;
            session.commit().await?;
            Ok(())
        })
        .await
    }
}

async fn remember(connection: &mut PgConnection, notice: &Notice, wrote: &Wrote) -> Result<(), sqlx::Error> {
    let (names, digests): (Vec<&str>, Vec<Vec<u8>>) =
        wrote.properties.iter().map(|(name, digest)| (name.as_str(), digest.to_vec())).unzip();
    let pushed = sqlx::query(PUSHED).bind(CRM).bind(&wrote.account).bind(&wrote.crm_id).bind(names).bind(digests);
    pushed.execute(&mut *connection).await?;
    let (Some(conversation), Some(project)) = (notice.conversation, &notice.project) else { return Ok(()) };
    let named = |name: &str| notice.text(name).map(str::to_owned);
    let thread = Thread {
        project: project.clone(),
        contact: named("contact_urn"),
        channel: named("channel_uuid"),
        conversation: named("external_id"),
    };
    let link = sqlx::query(LINK)
        .bind(conversation.0)
        .bind(project)
        .bind(thread.key().as_str().to_owned())
        .bind(thread.contact.as_deref())
        .bind(CRM)
        .bind(&wrote.crm_id);
    link.execute(connection).await?;
    Ok(())
}
