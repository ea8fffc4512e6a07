//! Settings of the spool.

use super::{SPOOL_AFTER, SPOOL_BYTES, SPOOL_LEASE, WAIT, reader::Reader};
use crate::spool::{Limits, Rules};

/// When an outage is spooled, if it is.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Rules> {
    let (lease, bytes) =
        (reader.seconds(SPOOL_LEASE, 60, 86_400), reader.number(SPOOL_BYTES, 1 << 20, i64::MAX as u64));
    let after = reader.optional_seconds(SPOOL_AFTER, 1, 86_400)?;
    Some(Rules { limits: Limits { after, lease }, bytes, wait: reader.seconds(WAIT, 0, 20) })
}
