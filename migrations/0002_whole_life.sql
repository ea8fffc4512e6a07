-- The whole life of a conversation: what was said about it, how it was rated, what it adds up to, which customer record
-- it belongs to; and what the keepers of the archive need: erasure, holds, the days that were purged.
--
-- Expand only: new columns are nullable or have a constant default, which rewrites no row.

alter table conversation
    add column title              text,
    add column tags               text[],
    add column participants       jsonb,
    add column metadata           jsonb,
    add column customer_info      jsonb,
    -- The platform's window around the conversation.
    add column window_external_id text,
    add column window_start       timestamptz,
    add column window_end         timestamptz,
    -- The ticket by which a person took over.
    add column ticket             text,
    add column has_chats_room     boolean not null default false,
    add column topic              text,
    add column subtopic           text,
    -- The latest answers; rating has them all.
    add column csat               smallint,
    add column nps                smallint,
    -- SQS's SequenceNumber of the latest event that changed a detail: an older event changes nothing.
    add column details_changed_by numeric(39),
    -- What the conversation ended with, as a JSON array.
    add column variables          jsonb,
    -- Its person was erased: texts and identifiers are gone, counts stay.
    add column erased_at          timestamptz;

create index conversation_tags on conversation using gin (tags);
comment on index conversation_tags is 'conversations that have a tag';

create index conversation_erased on conversation (created_at) where erased_at is not null;
comment on index conversation_erased is 'what was erased, and when it was archived';

create table rating (
    -- Unique over all ratings: a rating that comes again stands once.
    event_id            uuid        not null constraint rating_pk primary key,
    -- Null when it belongs to no conversation of its thread.
    conversation_id     uuid        constraint rating_conversation_fk references conversation (id),
    project             text        not null,
    thread              text        not null,
    contact             text,
    kind                text        not null,
    -- The publisher's key for what was asked.
    key                 text        not null,
    -- The answer as text, whatever it was.
    value               text        not null,
    -- The answer as a number, for csat and nps. Zero is a score.
    score               smallint,
    comment             text,
    agent_id            text,
    answered_at         timestamptz not null,
    received_at         timestamptz not null,
    sequence            numeric(39) not null,
    -- It came when its conversation was closed already.
    arrived_after_close boolean     not null default false,
    created_at          timestamptz not null default now(),

    constraint rating_kind_known check (kind in ('csat', 'nps', 'custom')),
    constraint rating_score_fits check (
        case kind
            when 'csat' then score is not null and score between 1 and 5
            when 'nps' then score is not null and score between 0 and 10
            else true
        end
    ),
    constraint rating_project_length check (octet_length(project) <= 1024),
    constraint rating_contact_length check (octet_length(contact) <= 1024)
);

create index rating_conversation on rating (conversation_id, kind, answered_at desc, sequence desc);
comment on index rating_conversation is 'a conversation''s ratings, the latest of each kind first';

create index rating_project_answered_at on rating (project, answered_at);
comment on index rating_project_answered_at is 'a project''s ratings in a time range';

create index rating_project_contact on rating (project, contact);
comment on index rating_project_contact is 'everything a contact ever rated, to show it or to erase it';

-- What a closed conversation adds up to: written with its close, corrected by whatever arrives later.
create table conversation_stats (
    conversation_id   uuid        not null constraint conversation_stats_pk primary key
                                  constraint conversation_stats_conversation_fk references conversation (id),
    incoming_count    bigint      not null,
    outgoing_count    bigint      not null,
    system_count      bigint      not null,
    -- Messages that came when the conversation was closed already.
    late_count        bigint      not null,
    token_count       bigint      not null,
    first_message_at  timestamptz,
    last_message_at   timestamptz,
    -- From the first message to the last, in milliseconds. Null without a message.
    duration_ms       bigint,
    -- From the contact's first message to the first answer after it, in milliseconds. Null when there was none.
    first_response_ms bigint,
    rating_count      bigint      not null,
    csat              smallint,
    nps               smallint,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now()
);

create function latest_score(conversation uuid, asked text) returns smallint
    language sql stable parallel safe
begin atomic
    select r.score
    from rating r
    where r.conversation_id = latest_score.conversation and r.kind = latest_score.asked
    order by r.answered_at desc, r.sequence desc, r.event_id desc
    limit 1;
end;
comment on function latest_score(uuid, text) is 'the answer that counts: the latest given, by the time it was given';

-- The only place that computes statistics, and it computes them from what is stored: whatever arrives late, in whatever
-- order, running it again puts them right.
create function conversation_statistics(conversation uuid)
    returns table (
        incoming_count bigint, outgoing_count bigint, system_count bigint, late_count bigint, token_count bigint,
        first_message_at timestamptz, last_message_at timestamptz, duration_ms bigint, first_response_ms bigint,
        rating_count bigint, csat smallint, nps smallint
    )
    language sql stable parallel safe
begin atomic
    with said as (
        select count(*) filter (where m.direction = 'incoming') as incoming_count,
               count(*) filter (where m.direction = 'outgoing') as outgoing_count,
               count(*) filter (where m.direction = 'system') as system_count,
               count(*) filter (where m.arrived_after_close) as late_count,
               coalesce(sum(m.tokens_used), 0)::bigint as token_count,
               min(m.occurred_at) as first_message_at,
               max(m.occurred_at) as last_message_at
        from message m
        where m.conversation_id = conversation_statistics.conversation
    ), asked as (
        select m.occurred_at, m.sequence, m.event_id
        from message m
        where m.conversation_id = conversation_statistics.conversation and m.direction = 'incoming'
        order by m.occurred_at, m.sequence, m.event_id
        limit 1
    ), answered as (
        select m.occurred_at - asked.occurred_at as after
        from asked, message m
        where m.conversation_id = conversation_statistics.conversation and m.direction = 'outgoing'
          and (m.occurred_at, m.sequence, m.event_id) > (asked.occurred_at, asked.sequence, asked.event_id)
        order by m.occurred_at, m.sequence, m.event_id
        limit 1
    )
    select said.incoming_count, said.outgoing_count, said.system_count, said.late_count, said.token_count,
           said.first_message_at, said.last_message_at,
           (extract(epoch from said.last_message_at - said.first_message_at) * 1000)::bigint,
           (select (extract(epoch from answered.after) * 1000)::bigint from answered),
           (select count(*) from rating r where r.conversation_id = conversation_statistics.conversation),
           latest_score(conversation_statistics.conversation, 'csat'),
           latest_score(conversation_statistics.conversation, 'nps')
    from said;
end;
comment on function conversation_statistics(uuid) is 'what a conversation adds up to, as stored';

-- Which customer record of which CRM a conversation belongs to. No foreign key: the link is often made while the
-- conversation is open and has no row yet.
create table crm_link (
    conversation_id uuid        not null constraint crm_link_pk primary key,
    project         text        not null,
    thread          text        not null,
    contact         text,
    crm             text        not null,
    crm_id          text        not null,
    -- What the CRM says of the person.
    prospect        jsonb,
    -- SQS's SequenceNumber of the latest event that changed the row: an older event changes nothing.
    changed_by      numeric(39) not null,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),

    constraint crm_link_crm_length check (octet_length(crm) <= 256),
    constraint crm_link_crm_id_length check (octet_length(crm_id) <= 1024),
    constraint crm_link_project_length check (octet_length(project) <= 1024),
    constraint crm_link_contact_length check (octet_length(contact) <= 1024)
);

create index crm_link_crm_id on crm_link (project, crm_id, conversation_id);
comment on index crm_link_crm_id is 'the conversations of one customer record, page by page';

create index crm_link_project_contact on crm_link (project, contact);
comment on index crm_link_project_contact is 'a contact''s links, to show or to erase them';

-- A person's wish to be erased, and the receipt that it was done.
create table erasure (
    -- The event that asked for it, or an id made of what an operator asked for.
    id           uuid        not null constraint erasure_pk primary key,
    project      text        not null,
    -- Who. Gone once it is done: then only the keyed digest below can tell, and only to whoever has the key.
    contact      text,
    requested_at timestamptz not null,
    done_at      timestamptz,
    -- HMAC-SHA256 of project and contact under the receipt key, in hexadecimal: by it, what comes again is recognised.
    subject      text,
    -- What was erased, in numbers.
    receipt      jsonb,
    -- HMAC-SHA256 of the receipt's text, in hexadecimal.
    signature    text,
    created_at   timestamptz not null default now(),

    constraint erasure_forgets check ((done_at is null) = (contact is not null)),
    constraint erasure_done_whole check (done_at is null or (subject is not null and receipt is not null and signature is not null)),
    constraint erasure_project_length check (octet_length(project) <= 1024),
    constraint erasure_contact_length check (octet_length(contact) <= 1024)
);

create index erasure_pending on erasure (requested_at) where done_at is null;
comment on index erasure_pending is 'erasures that were asked for and not done yet';

create index erasure_subject on erasure (subject, done_at);
comment on index erasure_subject is 'when a person was erased, asked with the key';

-- What must not be erased or purged, whoever asks.
create table legal_hold (
    id         bigint      not null generated always as identity constraint legal_hold_pk primary key,
    project    text        not null,
    -- Null: everybody of the project.
    contact    text,
    reason     text        not null,
    created_at timestamptz not null default now(),

    constraint legal_hold_project_length check (octet_length(project) <= 1024),
    constraint legal_hold_contact_length check (octet_length(contact) <= 1024)
);

create unique index legal_hold_once on legal_hold (project, coalesce(contact, ''));
comment on index legal_hold_once is 'one hold a contact, and one a project';

-- What stays of conversations that were purged: numbers a day, of nobody.
create table purged_day (
    project           text     not null,
    -- Of the close, in UTC.
    day               date     not null,
    conversation_count bigint  not null,
    incoming_count    bigint   not null,
    outgoing_count    bigint   not null,
    system_count      bigint   not null,
    token_count       bigint   not null,
    csat_count        bigint   not null,
    csat_sum          bigint   not null,
    nps_count         bigint   not null,
    nps_promoters     bigint   not null,
    nps_detractors    bigint   not null,
    updated_at        timestamptz not null default now(),

    constraint purged_day_pk primary key (project, day)
);
