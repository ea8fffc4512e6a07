//! Group and deduplication ids that SQS accepts.

use sha2::{Digest, Sha256};

/// Longest group or deduplication id (SQS's limit), in characters.
const LONGEST: usize = 128;

/// `name` as a FIFO id: itself when SQS allows it, else its readable beginning and its SHA-256.
///
/// SQS allows 1 to 128 letters, digits and ASCII punctuation. Nothing is normalised away: different names give different ids.
pub fn fifo_id(name: &str) -> String {
    if !name.is_empty() && name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return name.to_owned();
    }
    let digest: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let readable: String = name.chars().filter(char::is_ascii_graphic).take(LONGEST - 1 - digest.len()).collect();
    format!("{readable}~{digest}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_legal_name_stays_as_it_is() {
        assert_eq!(fifo_id("project:channel:whatsapp:+5511"), "project:channel:whatsapp:+5511");
    }

    #[test]
    fn names_that_differ_only_in_what_sqs_forbids_stay_different() {
        let ids = ["a b", "ab", "a  b", "a\u{e9}b", "", &"x".repeat(129), &"x".repeat(130)].map(fifo_id);
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    proptest! {
        #[test]
        fn whatever_the_name_sqs_accepts_the_id(name in ".{0,400}") {
            let id = fifo_id(&name);
            prop_assert!((1..=LONGEST).contains(&id.len()));
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
