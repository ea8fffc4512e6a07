-- The table message, divided by month: for an archive that grows by hundreds of millions of messages a month.
--
-- Not a migration: an operator runs it, step by step, in the archive's schema, on an archive that has grown that far
-- (migrations/README.md says when and why). Every step may be run again. tests/archive/partition.rs runs all of them.
--
-- PostgreSQL keeps a key unique within a partition only, so the rule that an event stands once moves into a narrow table
-- of its own, message_identity, divided by hash of the event id: there it is unique over the whole archive, as before.

-- step: expand
-- Beside the table as it is; from now on whatever is written to it is written here too, in the same transaction.
create table if not exists message_identity (
    event_id        uuid        not null constraint message_identity_pk primary key,
    conversation_id uuid        not null,
    occurred_at     timestamptz not null
) partition by hash (event_id);

do $$
begin
    for part in 0..15 loop
        execute format(
            'create table if not exists message_identity_%s partition of message_identity
             for values with (modulus 16, remainder %s)', part, part);
    end loop;
end
$$;

create table if not exists message_by_month (
    like message including defaults including constraints,
    constraint message_by_month_pk primary key (event_id, occurred_at),
    constraint message_by_month_conversation_fk foreign key (conversation_id) references conversation (id)
) partition by range (occurred_at);

create index if not exists message_by_month_transcript
    on message_by_month (conversation_id, occurred_at, sequence, event_id);
comment on index message_by_month_transcript is 'a conversation''s messages in order, page by page';

-- What has no month yet is kept all the same.
create table if not exists message_of_no_month partition of message_by_month default;

-- Makes a month, with what had no month until now. To be called ahead of time, by the same job that calls
-- `archive purge`; twice is once.
create or replace function make_message_month(day date) returns text
    language plpgsql
as $$
declare
    first  timestamptz := date_trunc('month', day)::timestamp at time zone 'UTC';
    beyond timestamptz := (date_trunc('month', day) + interval '1 month') at time zone 'UTC';
    name   text := 'message_' || to_char(day, 'YYYY_MM');
    whole  regclass := (select inhparent from pg_inherits where inhrelid = 'message_of_no_month'::regclass);
begin
    if to_regclass(name) is null then
        execute format('create table %I (like %s including all)', name, whole);
        execute format(
            'with gone as (delete from message_of_no_month where occurred_at >= %L and occurred_at < %L returning *)
             insert into %I select * from gone', first, beyond, name);
        execute format('alter table %s attach partition %I for values from (%L) to (%L)', whole, name, first, beyond);
    end if;
    return name;
end
$$;

create or replace function message_also_by_month() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'DELETE' then
        delete from message_by_month where event_id = old.event_id and occurred_at = old.occurred_at;
        delete from message_identity where event_id = old.event_id;
    elsif tg_op = 'UPDATE' then
        delete from message_by_month where event_id = old.event_id and occurred_at = old.occurred_at;
        insert into message_by_month select new.*;
    else
        insert into message_identity values (new.event_id, new.conversation_id, new.occurred_at) on conflict do nothing;
        insert into message_by_month select new.* on conflict do nothing;
    end if;
    return null;
end
$$;

create or replace trigger message_also_by_month
    after insert or update or delete on message
    for each row execute function message_also_by_month();

-- step: copy
-- The months that stand already, each in a transaction of its own; for an archive in use, one call of copy_message_month
-- at a time, in a quiet hour. What is copied already is left alone.
create or replace function copy_message_month(day date) returns bigint
    language plpgsql
as $$
declare
    first  timestamptz := date_trunc('month', day)::timestamp at time zone 'UTC';
    beyond timestamptz := (date_trunc('month', day) + interval '1 month') at time zone 'UTC';
    copied bigint;
begin
    perform make_message_month(day);
    -- a row that changes meanwhile is copied as it will be
    perform 1 from message where occurred_at >= first and occurred_at < beyond for share;
    with new as (
        insert into message_identity
        select event_id, conversation_id, occurred_at from message where occurred_at >= first and occurred_at < beyond
        on conflict do nothing
        returning event_id
    )
    insert into message_by_month select m.* from message m join new using (event_id) on conflict do nothing;
    get diagnostics copied = row_count;
    return copied;
end
$$;

do $$
declare
    month date;
begin
    for month in select distinct date_trunc('month', occurred_at at time zone 'UTC')::date from message order by 1 loop
        perform copy_message_month(month);
    end loop;
end
$$;

-- step: compare
-- Must return no row: an event that stands in one of the tables only, or otherwise.
(select event_id, conversation_id, occurred_at, text from message
 except select event_id, conversation_id, occurred_at, text from message_by_month)
union all
(select event_id, conversation_id, occurred_at, text from message_by_month
 except select event_id, conversation_id, occurred_at, text from message)
union all
(select m.event_id, m.conversation_id, m.occurred_at, m.text from message m
 where not exists (select 1 from message_identity i where i.event_id = m.event_id));

-- step: switch
-- With the daemons stopped: the queue keeps everything meanwhile. Then the release whose insert is the one below is
-- started; one before it would be refused. What computes from messages is bound to the table, so it is made anew, from
-- its own text.
do $$
declare
    made text;
begin
    if to_regclass('message_by_month') is null then
        return; -- switched already
    end if;
    lock table message in access exclusive mode;
    drop trigger message_also_by_month on message;
    alter table message rename to message_undivided;
    alter table message_by_month rename to message;
    foreach made in array array[
        pg_get_functiondef('message_digest(message_undivided)'::regprocedure),
        pg_get_functiondef('conversation_content(uuid)'::regprocedure),
        pg_get_functiondef('conversation_statistics(uuid)'::regprocedure),
        'create or replace view conversation_messages as ' || pg_get_viewdef('conversation_messages'::regclass)
    ] loop
        execute replace(made, 'message_undivided', 'message');
    end loop;
end
$$;

-- step: insert
-- What the release after the switch says instead of `insert into message … on conflict (event_id) do nothing`: the identity
-- first, and only what was new there goes on. A second writer of the same event waits at the identity for the first.
with page as (
    select * from message_page
), new as (
    insert into message_identity
    select event_id, conversation_id, occurred_at from page
    on conflict (event_id) do nothing
    returning event_id
)
insert into message select page.* from page join new using (event_id) returning event_id;

-- step: contract
-- A release later, once `conversationd verify` holds.
drop function if exists message_also_by_month();
drop function if exists copy_message_month(date);
drop function if exists message_digest(message_undivided);
drop table if exists message_undivided;
