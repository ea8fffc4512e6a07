//! A person's dead letters: out of the queue, and out of the index.
//!
//! A group may be shared by several persons, for publishers choose it; so a letter is taken by what its body says, or, where
//! that cannot be read, by a group that is the person's own or by the person's URN in it.

use std::collections::BTreeSet;

use anyhow::Context;

use super::person::{Found, Person};
use crate::{
    domain::Thread,
    event::{self, Event},
    hot::{DeadLetter, WholeStore},
    operate::{
        dlq::{peek::Peek, wanted::raw},
        letters,
    },
    queue::{Delivery, fifo_id},
};

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cleared {
    /// Letters.
    pub letters: u64,
    /// Rows of the index.
    pub rows: u64,
    /// Letters of the person that wait still, and could not be reached.
    pub waiting: u64,
}

/// Which letters and rows are a person's.
pub(super) struct Theirs<'a> {
    person: &'a Person<'a>,
    threads: BTreeSet<crate::domain::ThreadKey>,
    /// Groups made of the person's threads, and of nobody else's.
    own: BTreeSet<String>,
    /// Groups that their heads name: perhaps shared.
    named: BTreeSet<String>,
}

impl<'a> Theirs<'a> {
    pub(super) fn of(person: &'a Person<'a>, found: &Found) -> Self {
        let threads: BTreeSet<_> = found.threads.keys().cloned().collect();
        let own = threads.iter().filter_map(Thread::named_by).map(|thread| fifo_id(&thread.group_name())).collect();
        let named = found.threads.values().flatten().map(|head| head.group_id.clone()).collect();
        Self { person, threads, own, named }
    }

    /// Whether the group is made of the person's project and URN.
    fn owns(&self, group: &str) -> bool {
        self.own.contains(group) || letters::is_group_of(group, self.person.project, self.person.contact)
    }

    /// Whether a row of the index is theirs, as far as its group tells.
    fn takes_row(&self, row: &DeadLetter) -> bool {
        self.owns(&row.group_id) || (self.named.contains(&row.group_id) && row.settled.is_some())
    }

    fn takes(&self, letter: &Delivery) -> bool {
        match event::decode(&raw(letter)) {
            Ok(event) => self.takes_event(&event),
            Err(_) => self.owns(&letter.group_id) || names(&letter.body, self.person),
        }
    }

    fn takes_event(&self, event: &Event) -> bool {
        self.person.is(&event.thread) || self.threads.contains(&event.thread.key())
    }
}

/// Whether a body that is no event names the person: both names stand in it as whole JSON strings.
fn names(body: &str, person: &Person<'_>) -> bool {
    let whole = |name: &str| [format!("\"{name}\""), format!("\\\"{name}\\\"")].iter().any(|it| body.contains(it));
    whole(person.contact) && whole(person.project)
}

/// The rows of the index that are theirs and of which a letter still waits, as far as the index knows.
pub(super) async fn waiting(hot: &dyn WholeStore, theirs: &Theirs<'_>) -> anyhow::Result<u64> {
    let rows = letters::rows(hot, None, usize::MAX, |row| row.settled.is_none() && theirs.owns(&row.group_id)).await?;
    Ok(rows.len() as u64)
}

/// Takes letters and rows out. What cannot be reached is counted and left, with its row.
pub(super) async fn clear(hot: &dyn WholeStore, mut peek: Peek, theirs: &Theirs<'_>) -> anyhow::Result<Cleared> {
    let mut cleared = Cleared::default();
    let looked = look(&mut peek, theirs, &mut cleared).await;
    peek.end().await;
    let (gone, all) = looked?;
    let rows =
        letters::rows(hot, None, usize::MAX, |row| theirs.takes_row(row) || gone.contains(&row.message_id)).await?;
    for row in rows {
        if row.settled.is_none() && !all && !gone.contains(&row.message_id) {
            cleared.waiting += 1;
            continue;
        }
        hot.forget_dead_letter(&row).await.context("a row cannot be deleted; the role needs dynamodb:DeleteItem")?;
        cleared.rows += 1;
    }
    Ok(cleared)
}

/// Deletes the letters that are theirs. Returns the ids their rows have, and whether every letter was looked at.
async fn look(peek: &mut Peek, theirs: &Theirs<'_>, cleared: &mut Cleared) -> anyhow::Result<(BTreeSet<String>, bool)> {
    let mut gone = BTreeSet::new();
    loop {
        let letters = peek.more().await?;
        if letters.is_empty() {
            return Ok((gone, peek.has_all().await?));
        }
        for letter in letters {
            if theirs.takes(&letter) {
                let note = crate::queue::Note::of_letter(&letter);
                peek.take(&letter).await?;
                gone.extend([note.original_message_id, letter.message_id]);
                cleared.letters += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_body_names_a_person_only_by_whole_strings() {
        let person = Person { project: "p", contact: "tel:1" };
        for (body, expected) in [
            (r#"{"project_uuid":"p","contact_urn":"tel:1""#, true),
            (r#"{"Message":"{\"project_uuid\":\"p\",\"contact_urn\":\"tel:1\""#, true),
            (r#"{"project_uuid":"p","contact_urn":"tel:12""#, false),
            (r#"{"project_uuid":"q","contact_urn":"tel:1""#, false),
            ("tel:1 p", false),
        ] {
            assert_eq!(names(body, &person), expected, "{body}");
        }
    }
}
