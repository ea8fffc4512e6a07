-- What a message costs in a model's window, counted once, when it was saved. Null for messages saved before: whoever reads
-- them counts. No part of message_digest(): it is not what was said.

set local lock_timeout = '5s';

alter table message
    add column tokens    bigint,
    -- Who counted: o200k_base, cl100k_base.
    add column tokenizer text,
    add constraint message_tokens_whole check ((tokens is null) = (tokenizer is null)) not valid;
comment on column message.tokens is 'tokens of the message with its role in front, as its tokenizer counts';
