//! Dead letters as their index and their queue know them: rows, day by day; counts; what it means when the two do not agree.

use anyhow::Context;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::moment::now;
use crate::hot::{DeadLetter, HotStore};

/// Rows older than that have expired.
const KEPT: TimeDelta = TimeDelta::days(30);

/// The days from `since` to today, the earliest first.
fn days(since: Option<DateTime<Utc>>) -> impl Iterator<Item = NaiveDate> {
    let today = now().date_naive();
    let first = since.unwrap_or(DateTime::UNIX_EPOCH).max(now() - KEPT).date_naive();
    // a queue's clock may be ahead of ours
    first.iter_days().take_while(move |day| *day <= today + Days::new(1))
}

/// The rows from `since` on that `wanted` takes, oldest first, `limit` at most.
pub(super) async fn rows(
    index: &dyn HotStore,
    since: Option<DateTime<Utc>>,
    limit: usize,
    wanted: impl Fn(&DeadLetter) -> bool,
) -> anyhow::Result<Vec<DeadLetter>> {
    let mut found = Vec::new();
    for day in days(since) {
        let mut after = None;
        loop {
            let page = index.dead_letters(day, after).await;
            let page = page.context("the index of dead letters cannot be read; `conversationd doctor` says more")?;
            let taken = page.letters.into_iter().filter(|row| since.is_none_or(|since| row.sent_at >= since));
            found.extend(taken.filter(|row| wanted(row)).take(limit - found.len()));
            after = page.next;
            if after.is_none() || found.len() >= limit {
                break;
            }
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// Whether `group` is made of `project` and `contact`, as `Thread::group_name` makes it: `project:channel:contact`.
pub(super) fn is_group_of(group: &str, project: &str, contact: &str) -> bool {
    let rest = group.strip_prefix(project).and_then(|rest| rest.strip_prefix(':'));
    let channel = rest.and_then(|rest| rest.strip_suffix(contact)?.strip_suffix(':'));
    !contact.is_empty() && channel.is_some_and(|channel| !channel.is_empty())
}

/// The row of one message.
pub(super) async fn row(index: &dyn HotStore, id: &str) -> anyhow::Result<Option<DeadLetter>> {
    Ok(rows(index, None, 1, |row| row.message_id == id).await?.pop())
}

/// How many rows are of letters that wait.
pub(super) async fn waiting_rows(index: &dyn HotStore) -> anyhow::Result<u64> {
    Ok(rows(index, None, usize::MAX, |row| row.settled.is_none()).await?.len() as u64)
}

/// How many messages a queue holds: waiting, and in somebody's hands.
pub(super) async fn depth(sqs: &aws_sdk_sqs::Client, url: &str) -> anyhow::Result<(u64, u64)> {
    let wanted = [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible];
    let call = sqs.get_queue_attributes().queue_url(url);
    let got = call.set_attribute_names(Some(wanted.to_vec())).send().await;
    let got = got.map_err(|failure| {
        anyhow::Error::new(failure).context("a queue does not tell how much it holds; `conversationd doctor` says more")
    })?;
    let attributes = got.attributes.unwrap_or_default();
    let [waiting, in_flight] =
        wanted.map(|name| attributes.get(&name).and_then(|n| n.parse().ok()).unwrap_or_default());
    Ok((waiting, in_flight))
}

/// What it means when the queue and the index do not agree, and what to do.
pub(super) fn disagreement(queue: u64, index: u64) -> Option<(String, &'static str)> {
    match queue.checked_sub(index) {
        Some(0) => None,
        Some(more) => Some((
            format!(
                "{more} in the queue without a row: SQS moved them there by itself, after 100 receipts, or something else \
                 sent them"
            ),
            "look again in a minute, the queue's count lags; then `conversationd dlq export --out FILE` shows them (code \
             moved_by_sqs), and `conversationd dlq redrive --all` takes them too",
        )),
        None => Some((
            format!("{} rows without a letter in the queue", index - queue),
            "look again in a minute, the queue's count lags; then they were deleted by hand, moved by SQS's own redrive, or \
             are older than the queue keeps them: nothing is left to do, and the rows go 30 days after their messages came",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_of_the_contact_that_ends_it() {
        for (group, expected) in [
            ("p:ch:whatsapp:+55", true),
            ("p:ch:whatsapp:+551", false),
            ("q:ch:whatsapp:+55", false),
            ("p:whatsapp:+55", false),
            ("pp:ch:whatsapp:+55", false),
        ] {
            assert_eq!(is_group_of(group, "p", "whatsapp:+55"), expected, "{group}");
        }
    }

    #[test]
    fn letters_without_rows_and_rows_without_letters_are_told() {
        assert_eq!(disagreement(3, 3), None);
        assert!(disagreement(5, 3).is_some_and(|(said, _)| said.starts_with("2 in the queue without a row")));
        assert!(disagreement(3, 5).is_some_and(|(said, _)| said.starts_with("2 rows without a letter")));
    }
}
