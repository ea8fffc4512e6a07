//! Whether the role may do what its policy in infra/conversationd.yaml says: each action is tried in a way that does nothing.
//!
//! AWS judges who asks before it judges what is asked for, so a call that cannot succeed tells the two apart: a receipt that is
//! none, a message without a group, a condition that no item meets, an item without a key.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, PutRequest, WriteRequest};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use futures_util::future::join_all;

use super::{
    Finding, Role,
    finding::{code, is_absent, is_refusal},
};
use crate::{
    config::{HotConfig, QueueConfig},
    hot::DUE_INDEX,
    operate::{clients, definition::Definition},
};

/// The template's name for what actions are on, the check, and what fails without them.
struct Place {
    resource: &'static str,
    check: &'static str,
    why: &'static str,
}

const QUEUE: Place = Place {
    resource: "Queue",
    check: "queue permissions",
    why: "what is refused fails each time: nothing is received, or nothing is ever done with",
};
const DEAD_LETTER: Place = Place {
    resource: "DeadLetterQueue",
    check: "dead-letter permissions",
    why: "what cannot be handled cannot be put aside, or not taken up again: its thread waits",
};
const TABLE: Place = Place {
    resource: "Table",
    check: "table permissions",
    why: "what is refused fails each time: conversations are not kept, found or closed",
};
const INDEX: Place = Place {
    resource: "Table/index/due",
    check: "index permissions",
    why: "the timer finds nothing that is due: no conversation closes by itself",
};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was not refused.
    Allowed,
    /// It was, in this word.
    Refused(String),
    /// Nobody answered, or what it is about does not exist: another check says so.
    Untold,
}

/// What an answer to a call that cannot succeed says of the right to make it.
pub(super) fn judged<T, E, R>(answer: Result<T, SdkError<E, R>>) -> Tried
where
    E: ProvideErrorMetadata,
{
    let Err(failure) = answer else { return Tried::Allowed };
    match code(&failure) {
        Some(code) if is_refusal(code) => Tried::Refused(code.to_owned()),
        Some(code) if is_absent(code) || failure.as_service_error().is_none() => Tried::Untold,
        Some(_) => Tried::Allowed,
        None => Tried::Untold,
    }
}

/// Tries what the role's policy says.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Vec<Finding> {
    let (queues, table) = tokio::join!(of_queues(get, role), of_table(get, role));
    [queues, table].concat()
}

/// Tries what the role's policy says of the two queues.
pub(super) async fn of_queues(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Vec<Finding> {
    let of = async |place: Place, queue: Option<QueueConfig>| {
        let queue = queue?;
        let sqs = clients(queue.region.clone(), None).await.sqs.control;
        let (sqs, url) = (&sqs, queue.url.as_str());
        let tried = actions(role, place.resource).into_iter().map(async |action| {
            let outcome = try_queue(sqs, url, &action).await?;
            Some((action, outcome))
        });
        let tried: Vec<_> = join_all(tried).await.into_iter().flatten().collect();
        finding(&place, &tried)
    };
    let (queue, dead_letter) = (QueueConfig::read(get).ok(), QueueConfig::read_dead_letter(get).ok());
    let (queue, dead_letter) = tokio::join!(of(QUEUE, queue), of(DEAD_LETTER, dead_letter));
    queue.into_iter().chain(dead_letter).collect()
}

async fn of_table(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Vec<Finding> {
    let Ok(HotConfig::DynamoDb(table)) = HotConfig::read(get) else { return Vec::new() };
    let dynamodb = clients(None, table.region.clone()).await.dynamodb;
    let (dynamodb, name) = (&dynamodb, table.name.as_str());
    let of_table = join_all(actions(role, TABLE.resource).into_iter().map(async |action| {
        let outcome = try_table(dynamodb, name, &action).await?;
        Some((action, outcome))
    }));
    let of_index = async {
        let may = actions(role, INDEX.resource).iter().any(|action| action == QUERY);
        if may { vec![(QUERY.to_owned(), try_index(dynamodb, name).await)] } else { Vec::new() }
    };
    let (of_table, of_index) = tokio::join!(of_table, of_index);
    let of_table: Vec<_> = of_table.into_iter().flatten().collect();
    finding(&TABLE, &of_table).into_iter().chain(finding(&INDEX, &of_index)).collect()
}

/// What the policy of `role` allows on a resource.
fn actions(role: Role, resource: &str) -> Vec<String> {
    let definition = Definition::with_prefix("conversationd"); // only names depend on it
    let allowed = definition.and_then(|definition| definition.allowed(role.policy())).unwrap_or_default();
    allowed.into_iter().filter(|(on, _)| on == resource).flat_map(|(_, actions)| actions).collect()
}

/// One finding of all that was tried at a place; none when nothing was told.
fn finding(place: &Place, tried: &[(String, Tried)]) -> Option<Finding> {
    let names = |wanted: fn(&Tried) -> bool| -> Vec<&str> {
        tried.iter().filter(|(_, outcome)| wanted(outcome)).map(|(action, _)| action.as_str()).collect()
    };
    let refused = names(|outcome| matches!(outcome, Tried::Refused(_)));
    if !refused.is_empty() {
        let by_key = tried.iter().any(|(_, outcome)| matches!(outcome, Tried::Refused(code) if code.contains("KMS")));
        let key = if by_key { ", and kms:Decrypt and kms:GenerateDataKey on its key" } else { "" };
        let advice =
            format!("attach the policy of infra/conversationd.yaml, or give the role {}{key}", refused.join(", "));
        return Some(Finding::fault(place.check, format!("refused: {}", refused.join(", ")), place.why, advice));
    }
    let allowed = names(|outcome| *outcome == Tried::Allowed);
    (!allowed.is_empty()).then(|| Finding::ok(place.check, format!("not refused: {}", allowed.join(", "))))
}

/// What is no receipt of any message.
const NO_RECEIPT: &str = "doctor";

/// Tries an action on a queue; `None` for one that cannot be tried without doing something.
pub(super) async fn try_queue(sqs: &aws_sdk_sqs::Client, url: &str, action: &str) -> Option<Tried> {
    Some(match action {
        // eleven at once is more than a queue gives
        "sqs:ReceiveMessage" => {
            let call = sqs.receive_message().queue_url(url).max_number_of_messages(11);
            judged(call.visibility_timeout(0).wait_time_seconds(0).send().await)
        }
        "sqs:DeleteMessage" => judged(sqs.delete_message().queue_url(url).receipt_handle(NO_RECEIPT).send().await),
        "sqs:ChangeMessageVisibility" => {
            let call = sqs.change_message_visibility().queue_url(url).receipt_handle(NO_RECEIPT);
            judged(call.visibility_timeout(0).send().await)
        }
        // a character that no message may hold, and no group
        "sqs:SendMessage" => judged(sqs.send_message().queue_url(url).message_body("\u{ffff}").send().await),
        "sqs:ListMessageMoveTasks" => {
            let queue = sqs.get_queue_attributes().queue_url(url);
            let queue = queue.attribute_names(aws_sdk_sqs::types::QueueAttributeName::QueueArn).send().await.ok()?;
            let arn = queue.attributes?.remove(&aws_sdk_sqs::types::QueueAttributeName::QueueArn)?;
            judged(sqs.list_message_move_tasks().source_arn(arn).max_results(1).send().await)
        }
        _ => return None,
    })
}

const QUERY: &str = "dynamodb:Query";

/// A key that no item has.
fn nowhere() -> HashMap<String, AttributeValue> {
    ["pk", "sk"].map(|part| (part.to_owned(), AttributeValue::S("DOCTOR".into()))).into()
}

/// No item is there and is not.
const NEVER: &str = "attribute_exists(pk) and attribute_not_exists(pk)";

async fn try_table(dynamodb: &aws_sdk_dynamodb::Client, table: &str, action: &str) -> Option<Tried> {
    Some(match action {
        "dynamodb:BatchGetItem" => {
            let keys = KeysAndAttributes::builder().keys(nowhere()).build().ok()?;
            judged(dynamodb.batch_get_item().request_items(table, keys).send().await)
        }
        "dynamodb:BatchWriteItem" => {
            let without_key = HashMap::from([("doctor".to_owned(), AttributeValue::Bool(true))]);
            let put = PutRequest::builder().set_item(Some(without_key)).build().ok()?;
            let write = WriteRequest::builder().put_request(put).build();
            judged(dynamodb.batch_write_item().request_items(table, vec![write]).send().await)
        }
        "dynamodb:PutItem" => {
            let call = dynamodb.put_item().table_name(table).set_item(Some(nowhere()));
            judged(call.condition_expression(NEVER).send().await)
        }
        "dynamodb:UpdateItem" => {
            let call = dynamodb.update_item().table_name(table).set_key(Some(nowhere()));
            judged(call.condition_expression(NEVER).send().await)
        }
        QUERY => {
            let call = dynamodb.query().table_name(table).limit(1).key_condition_expression("pk = :nowhere");
            let call = call.expression_attribute_values(":nowhere", AttributeValue::S("DOCTOR".into()));
            judged(call.send().await)
        }
        _ => return None,
    })
}

async fn try_index(dynamodb: &aws_sdk_dynamodb::Client, table: &str) -> Tried {
    let call = dynamodb.query().table_name(table).index_name(DUE_INDEX).limit(1);
    let call = call.key_condition_expression("due_shard = :nowhere");
    judged(call.expression_attribute_values(":nowhere", AttributeValue::S("DOCTOR".into())).send().await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    #[test]
    fn everything_in_the_daemons_policy_is_tried_or_known_not_to_be() {
        let of = |resource| actions(Role::Daemon, resource);
        assert_eq!(of("Queue").len(), 5, "{:?}", of("Queue"));
        for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage"] {
            assert!(of("Queue").iter().any(|it| it == action), "{action}");
        }
        assert!(of("Table").iter().any(|it| it == "dynamodb:BatchWriteItem"));
        assert!(of(INDEX.resource).iter().any(|it| it == QUERY));
        assert!(actions(Role::Operator, "DeadLetterQueue").iter().any(|it| it == "sqs:ReceiveMessage"));
    }

    #[test]
    fn one_refusal_is_a_fault_and_no_answer_is_none_of_its_business() {
        let tried = |outcomes: &[Tried]| -> Option<Level> {
            let tried: Vec<_> =
                outcomes.iter().map(|outcome| ("sqs:SendMessage".to_owned(), outcome.clone())).collect();
            finding(&QUEUE, &tried).map(|finding| finding.level)
        };
        assert_eq!(tried(&[Tried::Allowed, Tried::Refused("AccessDenied".into())]), Some(Level::Fault));
        assert_eq!(tried(&[Tried::Allowed, Tried::Untold]), Some(Level::Ok));
        assert_eq!(tried(&[Tried::Untold]), None);
    }
}
