//! Reading the index of dead letters, day by day.

use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::wanted::Wanted;
use crate::{
    hot::{DeadLetter, HotStore},
    operate::moment::now,
};

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
pub(in crate::operate) async fn rows(
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
pub(in crate::operate) fn is_group_of(group: &str, project: &str, contact: &str) -> bool {
    let rest = group.strip_prefix(project).and_then(|rest| rest.strip_prefix(':'));
    let channel = rest.and_then(|rest| rest.strip_suffix(contact)?.strip_suffix(':'));
    !contact.is_empty() && channel.is_some_and(|channel| !channel.is_empty())
}

/// The row of one message.
pub(in crate::operate) async fn row(index: &dyn HotStore, id: &str) -> anyhow::Result<Option<DeadLetter>> {
    Ok(rows(index, None, 1, |row| row.message_id == id).await?.pop())
}

/// How many rows are of letters that wait.
pub(in crate::operate) async fn waiting_rows(index: &dyn HotStore) -> anyhow::Result<u64> {
    Ok(rows(index, None, usize::MAX, |row| row.settled.is_none()).await?.len() as u64)
}

/// What is wanted, its group in full: it may have been named by the id of one of its letters.
pub(super) async fn resolved(index: &dyn HotStore, wanted: &Wanted) -> anyhow::Result<Wanted> {
    let named = match &wanted.group {
        Some(name) => row(index, name).await?,
        None => None,
    };
    let group = named.map(|row| row.group_id).or_else(|| wanted.group.clone());
    Ok(Wanted { group, ..wanted.clone() })
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
}
