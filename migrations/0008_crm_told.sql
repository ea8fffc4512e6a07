-- What CRMs tell us of their records: how far their journals were read, what was heard of a property last, what we wrote into
-- one, and links whose record is gone.

set local lock_timeout = '5s';

alter table crm_link
    add column state text not null default 'active',
    add constraint crm_link_state check (state in ('active', 'stale', 'erased')) not valid;
comment on column crm_link.state is 'stale: the record was deleted in its CRM, and may come back; erased: its person wants to be forgotten';

create or replace view conversation_mappings as
    select coalesce(external_id, conversation_id::text) as conversation_id, crm_id as hubspot_id, prospect as prospect_data,
           created_at, updated_at
    from crm_link
    where state <> 'erased';

create index crm_link_record on crm_link (crm, crm_id);
comment on index crm_link_record is 'whose record something happened to, whatever the project';

-- No values: what a person is called or can be reached by stands in one place only.
create table crm_property (
    crm       text  not null,
    -- HubSpot's portal.
    account   text  not null,
    crm_id    text  not null,
    -- Empty: the record itself, which is deleted and comes back.
    property  text  not null,
    -- When the latest change that we heard of happened: an older one changes nothing.
    heard_at  timestamptz,
    -- SHA-256 of the value that it told of.
    said      bytea,
    -- SHA-256 of what we wrote into it last, until somebody else changes it: the change that tells of it is our own.
    pushed    bytea,
    constraint crm_property_pk primary key (crm, account, crm_id, property),
    constraint crm_property_lengths check (octet_length(crm_id) <= 1024 and octet_length(property) <= 1024)
);

-- How far a journal was read. One replica at a time reads, for the length of a lease; every lease raises the epoch, and who has
-- an older one writes nothing.
create table crm_cursor (
    crm          text        not null,
    account      text        not null,
    stream       text        not null,
    -- The last place that is done; null: from the earliest.
    place        text,
    -- When that place was published.
    placed_at    timestamptz,
    -- When the journal was last seen to its end, or as far as that place: what happened before is done.
    seen_at      timestamptz,
    -- After a gap: the last linked record that was asked for again; empty at the beginning, null without a gap.
    again_from   text,
    lease_epoch  bigint      not null default 0,
    leased_until timestamptz not null default '-infinity',
    updated_at   timestamptz not null default now(),
    constraint crm_cursor_pk primary key (crm, account, stream)
);
