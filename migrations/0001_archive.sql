-- The archive: one row per conversation, one row per message.
--
-- Everything here is written once and then stays: a repeated, late or half-dead writer finds its rows standing and
-- changes nothing. Times are event time unless a column says otherwise. NUL never reaches these tables.

create table conversation (
    id             uuid        not null constraint conversation_pk primary key,
    project        text        not null,
    -- Absent when the publisher addressed the thread by its own conversation id.
    contact        text,
    channel        text,
    -- The publisher's conversation id, when that alone names the thread.
    external_id    text,
    -- The thread's key in the hot store.
    thread         text        not null,
    agent_id       text,
    contact_name   text,
    opened_at      timestamptz not null,
    -- Null while the conversation is open and its messages were only checkpointed.
    closed_at      timestamptz,
    close_reason   text,
    -- The publisher's own words for why.
    close_detail   text,
    -- 0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room.
    resolution     smallint,
    -- The three below are what conversation_content() said when the row was last written.
    message_count  bigint      not null default 0,
    token_count    bigint      not null default 0,
    content_hash   bytea,
    -- The conversation before this one in the thread. No foreign key: one that had no message was never archived.
    previous_id    uuid,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),

    -- A close is written whole or not at all.
    constraint conversation_close_whole check ((closed_at is null) = (close_reason is null)),
    -- What the indexes below can hold: a btree row ends at about 2,700 bytes.
    constraint conversation_project_length check (octet_length(project) <= 1024),
    constraint conversation_contact_length check (octet_length(contact) <= 1024),
    constraint conversation_content_hash_length check (octet_length(content_hash) = 32)
);

create index conversation_project_closed_at on conversation (project, closed_at desc);
comment on index conversation_project_closed_at is 'a project''s conversations, newest close first, open ones before all';

create index conversation_project_contact on conversation (project, contact);
comment on index conversation_project_contact is 'everything a contact ever said, to show it or to erase it';

-- An agent's id has no bound of its own, hence the prefix; a query says both
-- `left(agent_id, 256) = left($2, 256)` and `agent_id = $2`.
create index conversation_project_agent on conversation (project, left(agent_id, 256), closed_at);
comment on index conversation_project_agent is 'an agent''s conversations in a time range';

create table message (
    -- Unique over all conversations, which is what makes redelivery, redrive and late writers harmless.
    event_id            uuid        not null constraint message_pk primary key,
    conversation_id     uuid        not null constraint message_conversation_fk references conversation (id),
    occurred_at         timestamptz not null,
    received_at         timestamptz not null,
    -- SQS's SequenceNumber: up to 128 bits.
    sequence            numeric(39) not null,
    direction           text        not null,
    text                text        not null,
    external_id         text,
    contact_name        text,
    content_type        text,
    sender_type         text,
    sender_id           text,
    agent_id            text,
    model_used          text,
    tokens_used         bigint,
    sentiment           text,
    intent              text,
    -- Null when there is nothing in them: an absent list costs no byte, an empty one does.
    entities            jsonb,
    attachments         jsonb,
    metadata            jsonb,
    -- It came when its conversation was closed already, and was appended.
    arrived_after_close boolean     not null default false,
    created_at          timestamptz not null default now(),

    constraint message_direction_known check (direction in ('incoming', 'outgoing', 'system'))
);

create index message_transcript on message (conversation_id, occurred_at, sequence, event_id);
comment on index message_transcript is 'a conversation''s messages in order, page by page';

-- The canonical form of a message: the text of a JSON array of what the publisher and the queue said of it. The same
-- form is written in Rust in src/archive/content_hash.rs; a test holds the two together.
create function message_digest(m message) returns bytea
    language sql stable parallel safe
    return sha256(convert_to(json_build_array(
        m.event_id,
        (extract(epoch from m.occurred_at) * 1000000)::bigint,
        (extract(epoch from m.received_at) * 1000000)::bigint,
        m.sequence,
        m.direction,
        m.text,
        m.external_id,
        m.contact_name,
        m.content_type,
        m.sender_type,
        m.sender_id,
        m.agent_id,
        m.model_used,
        m.tokens_used,
        m.sentiment,
        m.intent,
        m.entities,
        m.attachments,
        m.metadata
    )::text, 'UTF8'));
comment on function message_digest(message) is 'SHA-256 of a message''s canonical form';

-- What a conversation's messages add up to, computed from what is stored. The hash of none is null.
create function conversation_content(conversation uuid)
    returns table (message_count bigint, token_count bigint, content_hash bytea)
    language sql stable parallel safe
begin atomic
    select count(*),
           coalesce(sum(m.tokens_used), 0)::bigint,
           sha256(string_agg(message_digest(m), ''::bytea order by m.occurred_at, m.sequence, m.event_id))
    from message m
    where m.conversation_id = conversation_content.conversation;
end;
comment on function conversation_content(uuid) is 'a conversation''s message count, tokens and content hash, as stored';

-- The transcript as one JSON array, as readers of the older schema know it: `text`, `source`, `created_at` (ISO 8601
-- with offset) and `message_id`; the rest is more than they had. Closed conversations only, as there.
create view conversation_messages as
select c.id as conversation_id,
       (
           select coalesce(
               jsonb_agg(
                   jsonb_build_object(
                       'message_id', coalesce(m.external_id, m.event_id::text),
                       'text', m.text,
                       'source', m.direction,
                       'created_at', to_char(m.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
                       'contact_name', m.contact_name,
                       'content_type', m.content_type,
                       'sender_type', m.sender_type,
                       'sender_id', m.sender_id,
                       'agent_id', m.agent_id,
                       'attachments', coalesce(m.attachments, '[]'),
                       'metadata', coalesce(m.metadata, '{}')
                   )
                   order by m.occurred_at, m.sequence, m.event_id
               ),
               '[]'
           )
           from message m
           where m.conversation_id = c.id
       ) as messages,
       c.created_at,
       c.updated_at
from conversation c
where c.closed_at is not null;
comment on view conversation_messages is 'closed transcripts as JSON arrays, for readers of the older schema';
