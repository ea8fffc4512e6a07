-- Links made by the older service, which knew conversations by any text; and its view of them.

set local lock_timeout = '5s';

alter table crm_link
    add column external_id text,
    add constraint crm_link_external_id_length check (octet_length(external_id) <= 1024) not valid;
comment on column crm_link.external_id is 'the older service''s id of the conversation';

create view conversation_mappings as
    select coalesce(external_id, conversation_id::text) as conversation_id, crm_id as hubspot_id, prospect as prospect_data,
           created_at, updated_at
    from crm_link;
comment on view conversation_mappings is 'links as the older service''s file had them';
