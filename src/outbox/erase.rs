//! Taking back what was told of a person or a conversation, inside somebody else's transaction.

use sqlx::PgConnection;
use uuid::Uuid;

/// Lanes are locked in the order in which everybody locks them, before anything of them changes.
const LOCK: &str = "
    select 1 from outbox_lane l
    where (l.sink_id, l.lane) in (
        select d.sink_id, d.lane from outbox_notice n join outbox_dispatch d on d.notice_id = n.id and d.state = 'pending'
        where n.contact_lane = $1 or n.conversation_id = any($2)
    )
    order by l.sink_id, l.lane
    for update";

const SKIP: &str = "
    with skipped as (
        update outbox_dispatch d
        set state = 'skipped', done_at = clock_timestamp(), last_reason = $3
        from outbox_notice n
        where n.id = d.notice_id and d.state = 'pending' and (n.contact_lane = $1 or n.conversation_id = any($2))
        returning d.sink_id, d.lane
    ),
    gone as (select sink_id, lane, count(*) as dispatches from skipped group by sink_id, lane)
    update outbox_lane l
    set pending = pending - gone.dispatches, due_at = greatest(clock_timestamp(), leased_until), attempts = 0,
        parked = false, lease_epoch = lease_epoch + 1
    from gone
    where l.sink_id = gone.sink_id and l.lane = gone.lane";

const EMPTY: &str = "
    update outbox_notice set content = '{}', project = null
    where (contact_lane = $1 or conversation_id = any($2)) and (project is not null or content::text <> '{}')";

const COUNT: &str = "
    select count(*) from outbox_notice
    where (contact_lane = $1 or conversation_id = any($2)) and (project is not null or content::text <> '{}')";

/// Takes back everything told of `conversations`, and of a contact by the lane that its id derives: what waits is skipped
/// for `reason`, and the content of all of it is emptied. What is on its way arrives. Returns how many notices.
///
/// # Errors
/// The database's; the caller's transaction is then of no use.
pub async fn erase(
    connection: &mut PgConnection,
    conversations: &[Uuid],
    contact_lane: Option<Uuid>,
    reason: &str,
) -> Result<u64, sqlx::Error> {
    sqlx::query(LOCK).bind(contact_lane).bind(conversations).execute(&mut *connection).await?;
    sqlx::query(SKIP).bind(contact_lane).bind(conversations).bind(reason).execute(&mut *connection).await?;
    Ok(sqlx::query(EMPTY).bind(contact_lane).bind(conversations).execute(connection).await?.rows_affected())
}

/// How many notices [`erase`] would empty.
///
/// # Errors
/// The database's.
pub async fn told_of(
    connection: &mut PgConnection,
    conversations: &[Uuid],
    contact_lane: Option<Uuid>,
) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(COUNT).bind(contact_lane).bind(conversations).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}
