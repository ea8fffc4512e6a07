//! Which dead letters are meant. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::{
    event::{Label, Raw},
    hot::DeadLetter,
    operate::moment::moment,
    queue::{Delivery, Note},
};

/// Which letters; all that are given must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Wanted {
    /// That died of this, such as invalid_json or attempts_exhausted.
    #[arg(long)]
    pub code: Option<String>,
    /// Of this event type, such as message.received.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Of this FIFO group: in full, or named by the id of one of its letters.
    #[arg(long)]
    pub group: Option<String>,
    /// That the queue took at this time or later. A time, a date, or how long ago: 90m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,
    /// Of none of these groups: they are parked.
    #[arg(skip)]
    pub but_of: BTreeSet<String>,
}

impl Wanted {
    /// Whether nothing is asked for in particular.
    pub fn is_everything(&self) -> bool {
        self.code.is_none() && self.event_type.is_none() && self.group.is_none() && self.since.is_none()
    }

    /// Whether a row of the index is meant.
    pub fn takes_row(&self, row: &DeadLetter) -> bool {
        self.takes(&row.code, row.event_type.as_deref(), &row.group_id, row.sent_at)
    }

    /// Whether a letter is meant.
    pub fn takes_letter(&self, letter: &Delivery, note: &Note) -> bool {
        let label = if self.event_type.is_some() { label(letter) } else { Label::default() };
        self.takes(&note.reason.code, label.event_type.as_deref(), &letter.group_id, note.original_sent_at)
    }

    fn takes(&self, code: &str, event_type: Option<&str>, group: &str, sent_at: DateTime<Utc>) -> bool {
        self.code.as_deref().is_none_or(|wanted| wanted == code)
            && self.event_type.as_deref().is_none_or(|wanted| Some(wanted) == event_type)
            && self.group.as_deref().is_none_or(|wanted| wanted == group)
            && self.since.is_none_or(|since| sent_at >= since)
            && !self.but_of.contains(group)
    }
}

/// What decoding sees of a letter.
pub fn raw(letter: &Delivery) -> Raw<'_> {
    Raw {
        body: &letter.body,
        attributes: &letter.attributes,
        sent_at: letter.sent_at,
        sequence: letter.sequence,
        group_id: &letter.group_id,
    }
}

/// What a letter says of its event.
pub fn label(letter: &Delivery) -> Label {
    Label::of(&raw(letter))
}
