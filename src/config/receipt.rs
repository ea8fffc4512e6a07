//! What receipts are signed with.

use super::{Faults, RECEIPT_KEY, Secret, reader::Reader};

/// Shortest key, in bytes.
const SHORTEST: usize = 32;

/// The key of receipts, for the one command that needs it.
#[derive(Clone, Debug)]
pub struct ReceiptConfig {
    /// The key.
    pub key: Secret,
}

impl ReceiptConfig {
    /// Reads the key.
    ///
    /// # Errors
    /// There is none, or it is too short.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let key = reader.required(RECEIPT_KEY);
        if !key.is_empty() && key.len() < SHORTEST {
            reader.fault(
                RECEIPT_KEY,
                format!("must have at least {SHORTEST} characters: `openssl rand -hex 32` makes one"),
            );
        }
        reader.end(Self { key: Secret(key) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_and_never_repeated() {
        let read = |key: &str| ReceiptConfig::read(&|_| Some(key.to_owned()).filter(|key| !key.is_empty()));
        assert!(read("").is_err());
        let short = read("hunter2").expect_err("too short");
        assert!(!short.to_string().contains("hunter2"));
        assert_eq!(read(&"k".repeat(32)).expect("a key").key.reveal().len(), 32);
    }
}
