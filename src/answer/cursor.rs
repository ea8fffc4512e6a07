//! Cursors: where a page ended, as text that means nothing to whoever carries it.
//!
//! It holds places, no contents, and a check over them and what they belong to: a cursor that was altered, or that comes
//! with another project or another question, is told from one of ours. It is no secret and grants nothing: every read is
//! within the asker's project anyway.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::outcome::Unanswered;

/// Bytes of the check.
const CHECK: usize = 8;

/// Writes a cursor for what `of` names.
pub(super) fn written<T: Serialize>(of: &[&str], place: &T) -> String {
    let place = serde_json::to_vec(place).unwrap_or_default();
    let bytes = check(of, &place).into_iter().chain(place);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a cursor that was written for what `of` names.
///
/// # Errors
/// It was not.
pub(super) fn read<T: DeserializeOwned>(of: &[&str], cursor: &str) -> Result<T, Unanswered> {
    let unfit = Unanswered::Refused("the cursor is not one of this question");
    let digits = cursor.as_bytes().chunks(2).map(|pair| {
        let hex = std::str::from_utf8(pair).ok().filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
    });
    let Some(bytes) = digits.collect::<Option<Vec<u8>>>() else { return Err(unfit) };
    match bytes.split_at_checked(CHECK) {
        Some((stands, place)) if stands == check(of, place) => serde_json::from_slice(place).map_err(|_| unfit),
        _ => Err(unfit),
    }
}

fn check(of: &[&str], place: &[u8]) -> [u8; CHECK] {
    let mut hasher = Sha256::new();
    for part in of {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(place);
    let digest: [u8; 32] = hasher.finalize().into();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_by_what_it_was_written_for_and_by_nothing_else() {
        let cursor = written(&["get_conversation", "p"], &(7, "x"));
        assert_eq!(read::<(i32, String)>(&["get_conversation", "p"], &cursor).ok(), Some((7, "x".into())));
        for (of, cursor) in [
            (["get_conversation", "q"], cursor.clone()),
            (["list_conversations", "p"], cursor.clone()),
            (["get_conversation", "p"], cursor.replace('7', "8")),
            (["get_conversation", "p"], cursor[2..].to_owned()),
            (["get_conversation", "p"], cursor[..cursor.len() - 1].to_owned()),
            (["get_conversation", "p"], "zz".into()),
            (["get_conversation", "p"], "é".into()),
            (["get_conversation", "p"], "+1+1".into()),
            (["get_conversation", "p"], String::new()),
        ] {
            assert!(matches!(read::<(i32, String)>(&of, &cursor), Err(Unanswered::Refused(_))), "{cursor}");
        }
    }
}
