//! Settings of the spool.

use super::{Faults, SPOOL_AFTER, SPOOL_BYTES, SPOOL_LEASE, reader::Reader};
use crate::spool::{Limits, Rules};

/// When an outage is spooled, if it is.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Rules> {
    let (lease, bytes) =
        (reader.seconds(SPOOL_LEASE, 60, 86_400), reader.number(SPOOL_BYTES, 1 << 20, i64::MAX as u64));
    let after = reader.optional_seconds(SPOOL_AFTER, 1, 86_400)?;
    Some(Rules { limits: Limits { after, lease }, bytes })
}

/// The same by itself, for commands that need no more.
///
/// # Errors
/// All faults at once.
pub fn rules_of_spool(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Rules>, Faults> {
    let mut reader = Reader { get, faults: Vec::new() };
    let rules = read(&mut reader);
    reader.end(rules)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Rules>, Vec<&'static str>> {
        let get = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        rules_of_spool(&get).map_err(|faults| faults.0.iter().map(|fault| fault.variable).collect())
    }

    #[test]
    fn there_is_no_spool_unless_it_is_said_when() {
        let (after, lease) = ("CONVERSATIOND_SPOOL_AFTER_SECONDS", "CONVERSATIOND_SPOOL_LEASE_SECONDS");
        assert_eq!(read(&[]), Ok(None));
        let rules = read(&[(after, "300")]).expect("usable").expect("rules");
        assert_eq!((rules.limits.after, rules.limits.lease), (Duration::from_secs(300), Duration::from_secs(600)));
        assert_eq!(read(&[(after, "0"), (lease, "5")]), Err(vec![lease, after]));
        let another = ("CONVERSATIOND_POLL_WAIT_SECONDS", "never");
        assert!(read(&[(after, "300"), another]).is_ok(), "another setting's fault is told once, by who reads it");
    }
}
