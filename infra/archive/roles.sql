-- Roles of the archive. Not a migration: whoever owns the schema runs it there after every `conversationd migrate`
-- (psql, with search_path set to the schema), and grants each role to the login that needs it:
--
--   grant conversationd_daemon to the_login_in_DATABASE_URL;
--   grant conversationd_hot to the_login_in_DATABASE_URL;      -- besides, with CONVERSATIOND_HOT_STORE=postgres
--   grant conversationd_spool to the_login_in_DATABASE_URL;    -- besides, with CONVERSATIOND_SPOOL_AFTER_SECONDS
--
-- The daemon adds and changes; it deletes no conversation, message or rating, and makes and alters no table. Migrations run as
-- the owner.
-- Every statement may be run again.

do $$
declare
    role text;
begin
    foreach role in array array['conversationd_daemon', 'conversationd_hot', 'conversationd_spool', 'conversationd_reader', 'conversationd_operator'] loop
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I nologin', role);
        end if;
        execute format('grant usage on schema %I to %I', current_schema(), role);
        execute format('revoke all on all tables in schema %I from %I', current_schema(), role);
        execute format('grant select on all tables in schema %I to %I', current_schema(), role);
    end loop;
end
$$;

-- `conversationd run`.
grant insert, update on conversation, conversation_stats, crm_link, crm_property, crm_cursor to conversationd_daemon;
grant insert on message, rating, erasure to conversationd_daemon;
grant insert, update on outbox_sink, outbox_lane, outbox_notice, outbox_dispatch, outbox_attempt to conversationd_daemon;
-- What was told, after its days: the archive itself has none.
grant delete on outbox_lane, outbox_notice, outbox_dispatch, outbox_attempt to conversationd_daemon;

-- `conversationd run` with CONVERSATIOND_HOT_STORE=postgres, besides. Nothing of it deletes, or changes a message it wrote: what
-- has expired goes through the function alone.
grant insert, update on hot_head, hot_row, hot_attempt, hot_dead_letter, hot_control to conversationd_hot;
grant insert on hot_message to conversationd_hot;
revoke execute on function hot_expire(integer) from public;
grant execute on function hot_expire(integer) to conversationd_hot;

-- `conversationd run` with CONVERSATIOND_SPOOL_AFTER_SECONDS, besides: a queue is deleted from.
grant insert, update, delete on spool, spool_group, spool_replica to conversationd_spool;
grant update on spool_stage to conversationd_spool;

-- conversationd_reader: CONVERSATIOND_READ_REPLICA_URL, stats, export, verify, explain, hold list.

-- Operators: hold, erase, archive purge, reconcile --repair, crm import, outbox.
do $$
begin
    execute format('grant insert, update, delete on all tables in schema %I to conversationd_operator', current_schema());
    if to_regclass('_sqlx_migrations') is not null then
        revoke insert, update, delete on _sqlx_migrations from conversationd_operator;
    end if;
end
$$;
