-- The outbox: what others are told, written with what it tells of, sent by the relay afterwards.
--
-- A notice is one thing that happened. A dispatch is that notice for one sink. A lane is everything of one sink that must
-- arrive in order: one conversation, or one contact. Only lanes are polled, so a backlog behind a stuck head is one entry.
-- Times are this server's, which makes it the one clock of all leases.

create table outbox_sink (
    id            integer generated always as identity constraint outbox_sink_pk primary key,
    name          text        not null constraint outbox_sink_name unique,
    -- What kind of outside system it is, for people.
    form          text        not null,
    -- Kinds of notices it takes.
    kinds         text[]      not null,
    -- Projects it hears of; null for all.
    projects      text[],
    -- Whose order it needs.
    order_by      text        not null,
    -- paused: notices wait. disabled: nothing is added either. removed: no settings name it any more.
    state         text        not null default 'enabled',
    -- Why it is not enabled, for people.
    state_reason  text,
    state_since   timestamptz not null default now(),
    -- The breaker that all replicas share.
    breaker       text        not null default 'closed',
    open_until    timestamptz,
    failures      integer     not null default 0,
    trips         integer     not null default 0,
    failing_since timestamptz,
    -- It asked for fewer requests: nobody sends before this.
    blocked_until timestamptz,

    constraint outbox_sink_state_known check (state in ('enabled', 'paused', 'disabled', 'removed')),
    constraint outbox_sink_breaker_known check (breaker in ('closed', 'open', 'half_open')),
    constraint outbox_sink_order_known check (order_by in ('conversation', 'contact'))
);

create table outbox_notice (
    -- Derived from what happened: telling it again finds it standing.
    id                uuid        not null constraint outbox_notice_pk primary key,
    kind              text        not null,
    project           text,
    conversation_id   uuid,
    -- Derived ids: they name no person.
    conversation_lane uuid        not null,
    contact_lane      uuid        not null,
    occurred_at       timestamptz not null,
    -- Not jsonb: it is sent as it was written, and a text that jsonb refuses must not hold up a close.
    content           json        not null,
    created_at        timestamptz not null default now()
);

create index outbox_notice_contact on outbox_notice (contact_lane);
comment on index outbox_notice_contact is 'everything told of a contact, to erase it';
create index outbox_notice_conversation on outbox_notice (conversation_id) where conversation_id is not null;
comment on index outbox_notice_conversation is 'everything told of a conversation, to erase or purge it';
create index outbox_notice_created on outbox_notice (created_at);
comment on index outbox_notice_created is 'what is old enough to go, and what a sink missed since a time';

-- No foreign key to the sink here or below: it would lock the sink's row, which every replica writes, at every enqueue.
create table outbox_lane (
    sink_id      integer     not null,
    lane         uuid        not null,
    -- Of the dispatch added last.
    last_seq     bigint      not null,
    -- Dispatches not settled.
    pending      integer     not null,
    -- The next attempt, or the end of a lease, or when the head became the head.
    due_at       timestamptz not null,
    -- Of the head, the one under way included.
    attempts     integer     not null default 0,
    -- Until then a claim may still be sending its head.
    leased_until timestamptz,
    -- Its head was given up and an operator must look at it: nothing behind it goes.
    parked       boolean     not null default false,
    -- Raised by every claim and by whoever changes the head: what was begun before it settles nothing.
    lease_epoch  bigint      not null default 0,

    constraint outbox_lane_pk primary key (sink_id, lane),
    constraint outbox_lane_pending_counted check (pending >= 0)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

create index outbox_lane_due on outbox_lane (sink_id, due_at) where pending > 0 and not parked;
comment on index outbox_lane_due is 'what a sink can be sent now: the only thing that is polled';

create table outbox_dispatch (
    sink_id     integer     not null,
    lane        uuid        not null,
    -- The place in the lane, from 1, without gaps: what the receiver sees as its sequence.
    seq         bigint      not null,
    notice_id   uuid        not null constraint outbox_dispatch_notice_fk references outbox_notice (id),
    state       text        not null default 'pending',
    -- Of all time, replays included.
    attempts    integer     not null default 0,
    -- What the last attempt came to; in our words, nothing the receiver said.
    last_reason text,
    created_at  timestamptz not null default now(),
    done_at     timestamptz,

    constraint outbox_dispatch_pk primary key (sink_id, lane, seq),
    constraint outbox_dispatch_once unique (notice_id, sink_id),
    constraint outbox_dispatch_state_known check (state in ('pending', 'delivered', 'dead', 'skipped'))
) with (fillfactor = 85);

create index outbox_dispatch_head on outbox_dispatch (sink_id, lane, seq) where state = 'pending';
comment on index outbox_dispatch_head is 'the first of a lane that is not settled';
create index outbox_dispatch_dead on outbox_dispatch (sink_id, done_at) where state = 'dead';
comment on index outbox_dispatch_dead is 'what was given up, to list it and to send it again';
create index outbox_dispatch_done on outbox_dispatch (done_at) where state <> 'pending';
comment on index outbox_dispatch_done is 'what is settled and old enough to go';

create table outbox_attempt (
    id        bigint generated always as identity constraint outbox_attempt_pk primary key,
    notice_id uuid        not null,
    sink_id   integer     not null,
    at        timestamptz not null default now(),
    took_ms   integer     not null,
    outcome   text        not null,
    -- The receiver's status, where it has one.
    status    integer,
    reason    text
);

create index outbox_attempt_notice on outbox_attempt (notice_id, sink_id);
comment on index outbox_attempt_notice is 'the attempts of one dispatch';
create index outbox_attempt_at on outbox_attempt (at);
comment on index outbox_attempt_at is 'what is old enough to go';
