//! What CRMs tell us, before any thread is looked at: a webhook's signature, and what happened to each record it speaks of.
//! Pure but for the secrets, which are read where they stand. Whose records they are, the archive knows.

mod signature;
mod split;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{
    domain::RecordChange,
    event::{SignedBody, crm_record},
    queue::{Command, fifo_id},
};

pub use signature::Forged;
pub use split::{Object, Told, changed, id, of_action, split};

/// The CRM's name, in links and in changes.
pub const HUBSPOT: &str = "hubspot";

/// Where a secret is read at each use; `None` when it is not there.
pub type SecretSource = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A portal of HubSpot that tells us what happens in it.
#[derive(Clone)]
pub struct Portal {
    /// Its number.
    pub id: String,
    /// The projects whose links it may touch; `None` for all.
    pub projects: Option<Vec<String>>,
    /// What its webhooks are signed with; none takes no webhooks.
    pub webhook: Option<Webhook>,
    /// Sources of changes that are our own doing, as HubSpot names them.
    pub ours: BTreeSet<String>,
}

/// How a portal's webhooks are signed.
#[derive(Clone)]
pub struct Webhook {
    /// The URL that HubSpot was given, and signs.
    pub url: String,
    /// The app's client secret.
    pub secret: SecretSource,
    /// Whether the older signature is taken, which covers neither address nor time.
    pub older_too: bool,
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("id", &self.id).field("projects", &self.projects).finish_non_exhaustive()
    }
}

/// The portals of the settings.
#[derive(Clone, Debug, Default)]
pub struct Portals(Vec<Portal>);

impl Portals {
    /// These portals.
    pub fn of(portals: Vec<Portal>) -> Self {
        Self(portals)
    }

    /// The projects whose links an account may touch; `None` for all.
    pub fn projects(&self, crm: &str, account: &str) -> Option<&[String]> {
        let portal = self.0.iter().find(|portal| crm == HUBSPOT && portal.id == account)?;
        portal.projects.as_deref()
    }

    /// What a webhook tells, once one of the portals' secrets verifies it. The queue took it at `sent_at`, which a signature
    /// must not be much older than. Of portals whose secret is another nothing is taken.
    ///
    /// # Errors
    /// No secret verifies it, or it is not HubSpot's.
    pub fn open(&self, signed: &SignedBody, sent_at: DateTime<Utc>) -> Result<Told, Forged> {
        let mut verified = Vec::new();
        let mut forged = Forged::Unknown;
        for portal in &self.0 {
            let Some(webhook) = &portal.webhook else { continue };
            match signature::verify(webhook, signed, sent_at) {
                Ok(()) => verified.push(portal),
                // what is known of the best key tells most
                Err(why) => forged = forged.max(why),
            }
        }
        if verified.is_empty() {
            return Err(forged);
        }
        split(&signed.body, &|portal| verified.iter().copied().find(|known| known.id == portal))
    }
}

/// Whether a change is one of ours coming back: our own properties are written by nobody else.
fn is_ours(portal: &Portal, property: Option<&str>, source: Option<&str>, source_id: Option<&str>) -> bool {
    let own_property = property.is_some_and(|name| name.starts_with("conversationd_"));
    let by_program = source.is_some_and(|source| source == "API" || source.starts_with("INTEGRATION"));
    own_property || (by_program && source_id.is_some_and(|id| portal.ours.contains(id)))
}

/// What sends a change on, into the group of its record. The same change is the same command, whoever sends it.
pub fn command(change: &RecordChange) -> Command {
    let place = crm_record::place(&change.crm, &change.account, &change.crm_id);
    Command {
        group_id: fifo_id(&place.group_name()),
        dedup_id: fifo_id(&format!("crm:{}", change.fingerprint())),
        body: crm_record::to_body(change),
        attributes: BTreeMap::new(),
    }
}
