//! Reading a conversation from any place, as queries of the table.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;

use super::{DynamoStore, error};
use crate::hot::{
    HotError, Walk, Walked, Way,
    item::{self, Assembly, Item},
};

impl DynamoStore {
    /// The query of a walk. Parts of a message sort behind its bare key, so a bound behind them takes them all.
    fn walking(&self, walk: &Walk) -> QueryFluentBuilder {
        let (first, last) = (item::messages_of(walk.conversation), item::after_messages_of(walk.conversation));
        let place = walk.from.map(|place| item::spot_sk(walk.conversation, place));
        let (low, high) = match walk.way {
            Way::Back => (first, place.unwrap_or(last)),
            Way::Forward => (place.map_or(first, |place| format!("{place}#~")), last),
        };
        // one more: the place itself is among what is found backwards
        let most = walk.most.clamp(1, 1_000) + usize::from(walk.way == Way::Back && walk.from.is_some());
        self.client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk and sk between :low and :high")
            .expression_attribute_values(":pk", item::text(walk.thread.as_str()))
            .expression_attribute_values(":low", item::text(low))
            .expression_attribute_values(":high", item::text(high))
            .scan_index_forward(walk.way == Way::Forward)
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
    }

    pub(super) async fn walk_through(&self, walk: &Walk) -> Result<Walked, HotError> {
        let mut items: Vec<Item> = Vec::new();
        let mut after: Option<Item> = None;
        loop {
            let call = self.walking(walk).set_exclusive_start_key(after.take());
            let mut got = call.send().await.map_err(error)?;
            items.append(got.items.get_or_insert_default());
            after = got.last_evaluated_key.filter(|key| !key.is_empty());
            // a message that is cut by the page's end is read to its end
            if after.is_none() || whole(&items, walk.way)? {
                break;
            }
        }
        if walk.way == Way::Back {
            items.reverse();
        }
        let mut assembly = Assembly::default();
        items.iter().try_for_each(|item| assembly.add(item))?;
        let mut messages = assembly.page(false).messages;
        messages.retain(|message| Some(message.spot()) != walk.from);
        if walk.way == Way::Back {
            messages.reverse();
        }
        // one more was read, for a place at which nothing stands any more
        let most = walk.most.clamp(1, 1_000);
        let more = after.is_some() || messages.len() > most;
        messages.truncate(most);
        Ok(Walked { messages, more })
    }
}

/// Whether the last message found is there with all its parts.
fn whole(items: &[Item], way: Way) -> Result<bool, HotError> {
    match way {
        Way::Back => items.last().map_or(Ok(true), item::is_first_part),
        Way::Forward => {
            let mut assembly = Assembly::default();
            items.iter().try_for_each(|item| assembly.add(item))?;
            Ok(!assembly.in_the_middle())
        }
    }
}
