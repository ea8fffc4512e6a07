//! What happens to records of CRMs, as far as our links go: values of their properties, merges, deletions, returns, and persons who
//! want to be forgotten. One transaction each, with the notices of it; doing it again changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::ArchiveError;
use super::columns::to_the_microsecond;
use super::session::within;
use crate::domain::{EventId, Notice, RecordChange, Thread, ThreadKey, What, value_digest};
use crate::outbox;

/// Threads of one record that hear of a change: a record is one person.
const THREADS: i64 = 100;

const BEFORE: &str = "
    select heard_at, said, pushed from crm_property
    where crm = $1 and account = $2 and crm_id = $3 and property = $4
    for update";

const HEAR: &str = "
    insert into crm_property (crm, account, crm_id, property, heard_at, said, pushed)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict on constraint crm_property_pk do update
    set heard_at = excluded.heard_at, said = excluded.said, pushed = excluded.pushed";

/// The threads of the record's links, and those in which the archive knows their contacts.
const THREADS_OF: &str = "
    with linked as (
        select project, contact, thread from crm_link
        where crm = $1 and crm_id = $2 and state = 'active' and ($3::text[] is null or project = any($3))
    )
    select project, contact, thread from linked
    union
    select c.project, c.contact, c.thread
    from conversation c
    join (select distinct project, contact from linked where contact is not null limit 10) known
        on c.project = known.project and c.contact = known.contact
    limit $4";

const MERGE: &str = "
    update crm_link set crm_id = $2, state = 'active', updated_at = now()
    where crm = $1 and crm_id = any($4) and ($3::text[] is null or project = any($3))";

/// Nothing of a value is left, nor of when it was heard.
const FORGET_PROPERTIES: &str = "
    update crm_property set heard_at = null, said = null, pushed = null
    where crm = $1 and account = $2 and crm_id = $3";

const MARK: &str = "
    update crm_link set state = $4, updated_at = now()
    where crm = $1 and crm_id = $2 and ($3::text[] is null or project = any($3)) and state <> $4";

/// The daemon deletes nothing: the link says nothing any more, and goes with the erasure. Whose record it was, it says, or the
/// conversation.
const FORGET_LINKS: &str = "
    with gone as (
        update crm_link set state = 'erased', crm_id = '', prospect = null, updated_at = now()
        where crm = $1 and crm_id = $2 and ($3::text[] is null or project = any($3))
        returning conversation_id, project, contact
    )
    select distinct gone.project, coalesce(gone.contact, c.contact) as contact
    from gone left join conversation c on c.id = gone.conversation_id
    where coalesce(gone.contact, c.contact) is not null";

const REQUEST_ERASURE: &str = "
    insert into erasure (id, project, contact, requested_at) values ($1, $2, $3, $4) on conflict (id) do nothing";

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// It stands, and these threads are of the person.
    Stands(Vec<Thread>),
    /// A later word stood already, or it says what is known.
    Older,
    /// It is what we wrote ourselves.
    Echo,
}

#[derive(FromRow)]
struct Person {
    project: String,
    contact: Option<String>,
    thread: Option<String>,
}

/// The projects whose links a change may touch, and which event told of it.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// `None` for all.
    pub projects: Option<&'a [String]>,
    /// The event.
    pub event: EventId,
    /// When the queue took it.
    pub received_at: DateTime<Utc>,
}

/// What is known of a property.
#[derive(Default, FromRow)]
struct Before {
    heard_at: Option<DateTime<Utc>>,
    said: Option<Vec<u8>>,
    pushed: Option<Vec<u8>>,
}

/// What a word on a property is beside what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    New,
    Known,
    Echo,
    Older,
}

impl Before {
    /// The latest word stands; the same word again is as new as it was, for whoever did not come to its end.
    fn weigh(&self, at: DateTime<Utc>, digest: Option<&[u8]>) -> Word {
        if self.heard_at.is_some_and(|heard_at| heard_at > at) {
            return Word::Older;
        }
        if digest.is_some() && self.pushed.as_deref() == digest {
            return Word::Echo;
        }
        let is_later = self.heard_at.is_some_and(|heard_at| heard_at < at);
        if digest.is_some() && is_later && self.said.as_deref() == digest { Word::Known } else { Word::New }
    }
}

/// Takes what happened, within the transaction of `connection`.
pub(super) async fn hear(
    patience: Duration,
    connection: &mut PgConnection,
    change: &RecordChange,
    reach: Reach<'_>,
) -> Result<Heard, ArchiveError> {
    let (property, digest) = match &change.what {
        What::Property { name, value } => (name.as_str(), Some(value_digest(&change.crm_id, name, value.as_deref()))),
        _ => ("", None),
    };
    let (digest, at) = (digest.as_ref().map(<[u8; 32]>::as_slice), to_the_microsecond(change.occurred_at));
    let before = sqlx::query_as(BEFORE).bind(&change.crm).bind(&change.account).bind(&change.crm_id).bind(property);
    let before: Before = within(patience, before.fetch_optional(&mut *connection)).await?.unwrap_or_default();
    let word = before.weigh(at, digest);
    // wishes to be forgotten are never too old
    if change.what == What::Erased {
        return forget(patience, connection, change, reach).await.map(|()| Heard::Stands(Vec::new()));
    }
    if word == Word::Older {
        return Ok(Heard::Older);
    }
    let hear = sqlx::query(HEAR)
        .bind(&change.crm)
        .bind(&change.account)
        .bind(&change.crm_id)
        .bind(property)
        .bind(at)
        .bind(digest)
        .bind(before.pushed.filter(|_| word == Word::Echo));
    within(patience, hear.execute(&mut *connection)).await?;
    match &change.what {
        What::Property { .. } if word == Word::Echo => Ok(Heard::Echo),
        What::Property { .. } if word == Word::Known => Ok(Heard::Older),
        What::Property { name, value } => {
            let threads = threads(patience, connection, change, reach).await?;
            let notices = told(&threads, change, name, value.as_deref());
            within(patience, outbox::enqueue(connection, &notices)).await?;
            Ok(Heard::Stands(threads))
        }
        What::Merged { from } => {
            let merge =
                sqlx::query(MERGE).bind(&change.crm).bind(&change.crm_id).bind(reach.projects).bind(from.as_slice());
            within(patience, merge.execute(connection)).await?;
            Ok(Heard::Stands(Vec::new()))
        }
        What::Deleted | What::Restored | What::Erased => {
            let state = if change.what == What::Deleted { "stale" } else { "active" };
            let mark = sqlx::query(MARK).bind(&change.crm).bind(&change.crm_id).bind(reach.projects).bind(state);
            within(patience, mark.execute(connection)).await?;
            Ok(Heard::Stands(Vec::new()))
        }
    }
}

async fn threads(
    patience: Duration,
    connection: &mut PgConnection,
    change: &RecordChange,
    reach: Reach<'_>,
) -> Result<Vec<Thread>, ArchiveError> {
    let persons = sqlx::query_as(THREADS_OF).bind(&change.crm).bind(&change.crm_id).bind(reach.projects).bind(THREADS);
    let persons: Vec<Person> = within(patience, persons.fetch_all(connection)).await?;
    let thread = |person: Person| {
        let thread = Thread::named_by(&ThreadKey::stored(person.thread?))?;
        // what names a conversation by itself may name its contact too
        let contact = thread.contact.or(person.contact);
        (thread.project == person.project).then_some(Thread { contact, ..thread })
    };
    Ok(persons.into_iter().filter_map(thread).collect())
}

/// One notice for each contact, whatever its threads.
fn told(threads: &[Thread], change: &RecordChange, property: &str, value: Option<&str>) -> Vec<Notice> {
    let mut persons: Vec<Thread> =
        threads.iter().map(|thread| Thread { channel: None, conversation: None, ..thread.clone() }).collect();
    persons.retain(|person| person.contact.is_some());
    persons.sort_by(|one, other| (&one.project, &one.contact).cmp(&(&other.project, &other.contact)));
    persons.dedup();
    persons.iter().map(|person| Notice::contact_changed(person, change, property, value)).collect()
}

/// The links go, with what they say of the person; everything else goes with the erasure that is asked for here.
async fn forget(
    patience: Duration,
    connection: &mut PgConnection,
    change: &RecordChange,
    reach: Reach<'_>,
) -> Result<(), ArchiveError> {
    let forget = sqlx::query_as(FORGET_LINKS).bind(&change.crm).bind(&change.crm_id).bind(reach.projects);
    let persons: Vec<(String, String)> = within(patience, forget.fetch_all(&mut *connection)).await?;
    let properties = sqlx::query(FORGET_PROPERTIES).bind(&change.crm).bind(&change.account).bind(&change.crm_id);
    within(patience, properties.execute(&mut *connection)).await?;
    for (project, contact) in persons {
        let id = Uuid::new_v5(&reach.event.0, format!("{project}\0{contact}").as_bytes());
        let request = sqlx::query(REQUEST_ERASURE)
            .bind(id)
            .bind(project)
            .bind(contact)
            .bind(to_the_microsecond(reach.received_at));
        within(patience, request.execute(&mut *connection)).await?;
    }
    Ok(())
}
