-- How fast a sink may be sent to, over all replicas: a bucket that fills by the second, and a count of the day (UTC).

set local lock_timeout = '5s';

alter table outbox_sink
    add column tokens    double precision,
    add column tokens_at timestamptz,
    add column day       date,
    add column day_used  bigint not null default 0;
comment on column outbox_sink.tokens is 'dispatches that may be begun at tokens_at; null for as many as the bucket holds';
