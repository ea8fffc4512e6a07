//! The setting that binds senders to projects.

use super::{SENDERS, reader::Reader};
use crate::queue::Senders;

/// Who may send for which project; bound to none unless set.
pub(super) fn read(reader: &mut Reader<'_>) -> Senders {
    let Some(text) = reader.optional(SENDERS) else { return Senders::default() };
    Senders::parse(&text).filter(Senders::are_bound).unwrap_or_else(|| {
        reader.fault(SENDERS, "must be SENDER=PROJECT or SENDER=*, separated by commas".into());
        Senders::default()
    })
}
