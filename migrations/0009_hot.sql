-- The hot store for a deployment without DynamoDB (CONVERSATIOND_HOT_STORE=postgres): what every thread's conversation is
-- doing, and the messages of those in progress. Elsewhere these tables stay empty.
--
-- They stand beside the archive's, in its schema: a schema of a fixed name would join the threads and timers of all
-- deployments in one database. Rows are what DynamoDB's items are: written under derived keys, repeatable, and never deleted
-- by the daemon, whose role needs select, insert and update, and neither update on hot_message nor delete anywhere. What has
-- expired goes through hot_expire() alone. Bodies are text, not jsonb: they are read back byte by byte.
--
-- Keys compare by bytes (collate "C"), as they do in DynamoDB, so that pages and prefixes mean the same. A thread's key is
-- 2,048 bytes at most, which an index entry holds.

create table hot_head (
    thread          text collate "C" not null constraint hot_head_pk primary key,
    -- W3: a head is written only over the version before it.
    version         bigint           not null,
    conversation_id uuid             not null,
    group_id        text             not null,
    due_shard       smallint,
    due_at          timestamptz,
    -- Null while its conversation is not closed: such a head never expires.
    expires_at      timestamptz,
    body            text             not null,

    constraint hot_head_due_whole check ((due_at is null) = (due_shard is null)),
    constraint hot_head_version_counts check (version > 0)
)
-- Heads are rewritten in place: room on each page keeps a version beside the one before, without new index entries when no
-- index key changed. Dead versions are taken away after every 2 % of the table, not after 20 %, and without pauses.
with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
      autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

create index hot_head_due on hot_head (due_shard, due_at, thread) where due_at is not null;
comment on index hot_head_due is 'the timer: heads of one shard that have come up, oldest first; heads without a timer are not in it';
create index hot_head_expires on hot_head (expires_at) where expires_at is not null;
comment on index hot_head_expires is 'closed heads whose time is over';

create table hot_message (
    thread          text collate "C" not null,
    conversation_id uuid             not null,
    occurred_at     timestamptz      not null,
    -- SQS's SequenceNumber: up to 128 bits.
    sequence        numeric(39)      not null,
    event_id        uuid             not null,
    received_at     timestamptz      not null,
    expires_at      timestamptz      not null,
    body            text             not null,

    -- W1: derived from the message, so that writing it again finds it standing. In the archive's order, so that this one
    -- index serves pages, walks, the newest message, and everything of a thread.
    constraint hot_message_pk primary key (thread, conversation_id, occurred_at, sequence, event_id)
)
-- Written once: pages are filled. Inserts alone call for a vacuum too, which freezes what will be read once more and go.
with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
      autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
      toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_cost_delay = 0);

-- Whole hours, so that its entries fold into lists: a few bytes a message, always at the right edge.
create index hot_message_expires on hot_message (expires_at);
comment on index hot_message_expires is 'messages whose time is over, oldest first';

-- Small rows: variables, sessions, project settings. An older event never overwrites a newer one.
create table hot_row (
    belongs_to text collate "C" not null,
    name       text collate "C" not null,
    rank       numeric(39)      not null,
    expires_at timestamptz      not null,
    body       text             not null,

    constraint hot_row_pk primary key (belongs_to, name)
)
with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

create index hot_row_expires on hot_row (expires_at);
comment on index hot_row_expires is 'rows whose time is over';

-- Failed attempts at deliveries.
create table hot_attempt (
    message_id text collate "C" not null constraint hot_attempt_pk primary key,
    attempts   integer          not null,
    expires_at timestamptz      not null
)
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- The index of dead letters.
create table hot_dead_letter (
    -- When the queue took the message: a day is a range of the key.
    sent_at    timestamptz      not null,
    message_id text collate "C" not null,
    expires_at timestamptz      not null,
    letter     text             not null,
    settled    text,
    settled_at timestamptz,

    constraint hot_dead_letter_pk primary key (sent_at, message_id),
    constraint hot_dead_letter_settled_whole check ((settled is null) = (settled_at is null))
);

-- What all replicas are told: read whole every few seconds. A row is lifted by a mark, and expires.
create table hot_control (
    name       text collate "C" not null constraint hot_control_pk primary key,
    told       text             not null,
    lifted_at  timestamptz,
    expires_at timestamptz
);

-- What TTL is in DynamoDB: takes away what has expired, at most `most` rows of each table, and says how many went. It runs
-- with its owner's rights, so that whoever calls it need not be able to delete: it can take nothing that is still to live.
-- Rows that another sweep holds, or that somebody writes right now, are passed over: the second look is at the row as it
-- stands then. The three small tables are read whole, which is cheaper than three more indexes.
create function hot_expire(most integer) returns bigint
    language sql volatile security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    with
        messages as (
            delete from hot_message where ctid = any (array(
                select m.ctid from hot_message m where m.expires_at < now() order by m.expires_at limit most
                for update skip locked)) returning 1),
        heads as (
            delete from hot_head where ctid = any (array(
                select h.ctid from hot_head h where h.expires_at < now() order by h.expires_at limit most
                for update skip locked)) returning 1),
        rows as (
            delete from hot_row where ctid = any (array(
                select r.ctid from hot_row r where r.expires_at < now() order by r.expires_at limit most
                for update skip locked)) returning 1),
        attempts as (
            delete from hot_attempt where ctid = any (array(
                select a.ctid from hot_attempt a where a.expires_at < now() limit most
                for update skip locked)) returning 1),
        letters as (
            delete from hot_dead_letter where ctid = any (array(
                select d.ctid from hot_dead_letter d where d.expires_at < now() limit most
                for update skip locked)) returning 1),
        controls as (
            delete from hot_control where ctid = any (array(
                select c.ctid from hot_control c where c.expires_at < now() limit most
                for update skip locked)) returning 1)
    select (select count(*) from messages) + (select count(*) from heads) + (select count(*) from rows)
         + (select count(*) from attempts) + (select count(*) from letters) + (select count(*) from controls);
end;
comment on function hot_expire(integer) is 'takes away what has expired in the hot store, and nothing else; returns how many rows';
