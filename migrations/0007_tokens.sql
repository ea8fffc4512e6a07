-- no-transaction
-- One meaning of tokens: what a conversation's messages cost in a model's window, as counted when each was saved
-- (message.tokens). Until now the sums were of message.tokens_used, which is what a publisher says that writing a message
-- took, and mostly says not at all. And closed conversations from before 0002 get the statistics they never had.
--
-- Messages saved before 0004 were not counted, and add nothing. Days purged before this keep the sums they had.
--
-- What stands is put right in batches of a hundred, each in its own transaction and under the lock that a late arrival
-- takes, so that nobody waits for long; whatever stops it, it may be run again. A close by an older release meanwhile is
-- right as well: it calls the functions that are replaced here. updated_at of a conversation stays: nothing happened to it.
do $migration$
declare
    batch uuid[];
    latest uuid;
begin
    execute $replaced$
        create or replace function conversation_content(conversation uuid)
            returns table (message_count bigint, token_count bigint, content_hash bytea)
            language sql stable parallel safe
        begin atomic
            select count(*),
                   coalesce(sum(m.tokens), 0)::bigint,
                   sha256(string_agg(message_digest(m), ''::bytea order by m.occurred_at, m.sequence, m.event_id))
            from message m
            where m.conversation_id = conversation_content.conversation;
        end
    $replaced$;

    execute $replaced$
        create or replace function conversation_statistics(conversation uuid)
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
                       coalesce(sum(m.tokens), 0)::bigint as token_count,
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
        end
    $replaced$;

    comment on column conversation.token_count is 'tokens of its messages, as counted when they were saved';
    comment on column conversation_stats.token_count is 'tokens of its messages, as counted when they were saved';
    comment on column message.tokens_used is 'what writing it took, as the publisher says; in no sum';
    commit;

    loop
        select array_agg(c.id order by c.id) into batch
        from (
            select id from conversation where latest is null or id > latest
            order by id
            limit 100
        ) c;
        exit when batch is null;
        latest := batch[cardinality(batch)];

        perform 1 from conversation where id = any(batch) order by id for update;

        update conversation c
        set token_count = stands.tokens
        from (
            select one.id, coalesce(sum(m.tokens), 0)::bigint as tokens
            from unnest(batch) as one (id) left join message m on m.conversation_id = one.id
            group by one.id
        ) stands
        where c.id = stands.id and c.token_count <> stands.tokens;

        insert into conversation_stats as kept (
            conversation_id, incoming_count, outgoing_count, system_count, late_count, token_count, first_message_at,
            last_message_at, duration_ms, first_response_ms, rating_count, csat, nps
        )
        select c.id, s.*
        from conversation c cross join lateral conversation_statistics(c.id) s
        where c.id = any(batch) and c.closed_at is not null
        on conflict (conversation_id) do update
        set token_count = excluded.token_count, updated_at = now()
        where kept.token_count <> excluded.token_count;

        commit;
    end loop;
end
$migration$
