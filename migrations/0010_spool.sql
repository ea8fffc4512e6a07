-- The spool: where deliveries wait while DynamoDB is away (CONVERSATIOND_SPOOL_AFTER_SECONDS). A FIFO queue like the one they
-- came from: in order within a group, and one receiver of a group at a time. Elsewhere these tables stay empty.
--
-- Bodies are bytes and attributes text, exactly as the queue had them: nothing in them can be refused here.

create table spool_stage (
    -- One row.
    only_one   boolean     not null default true constraint spool_stage_pk primary key constraint spool_stage_is_one check (only_one),
    stage      text        not null constraint spool_stage_known check (stage in ('direct', 'entering', 'spooling', 'leaving')),
    -- How often the fleet has entered: what a replica said of an earlier time means nothing.
    epoch      bigint      not null,
    changed_at timestamptz not null
);

insert into spool_stage (stage, epoch, changed_at) values ('direct', 0, now());

create table spool_replica (
    replica    uuid        not null constraint spool_replica_pk primary key,
    host       text        not null,
    seen_at    timestamptz not null,
    -- Since when it cannot reach DynamoDB; null when it can.
    away_since timestamptz,
    -- The epoch in which it has stopped taking deliveries from the queue.
    stopped    bigint
);

create table spool_group (
    group_id text collate "C" not null constraint spool_group_pk primary key,
    -- Until then one receiver has it.
    free_at  timestamptz      not null,
    -- Who has it, or had it last.
    receipt  uuid,
    -- The last sequence that this receiver has.
    last     numeric(39)
)
with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create index spool_group_free on spool_group (free_at);
comment on index spool_group_free is 'groups, the longest free first';
create index spool_group_receipt on spool_group (receipt) where receipt is not null;
comment on index spool_group_receipt is 'the group that a receiver settles';

create table spool (
    group_id   text collate "C" not null,
    -- SQS's SequenceNumber: up to 128 bits.
    sequence   numeric(39)      not null,
    message_id text             not null,
    sent_at    timestamptz      not null,
    receives   integer          not null default 0,
    body       bytea            not null,
    attributes text             not null,

    -- Held again, it stands once.
    constraint spool_pk primary key (group_id, sequence)
)
with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
