//! Receipts: what was erased, in numbers, signed; and a digest by which only the key's owner recognises whose it was.

use std::fmt::Write;

use anyhow::Context;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::{archive::Traces, config::ReceiptConfig, operate::moment::written};

/// What was taken out of the hot store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct HotTraces {
    /// Threads.
    pub threads: u64,
    /// Items: heads, messages, variables, sessions.
    pub items: u64,
    /// Dead letters, out of their queue.
    pub dead_letters: u64,
    /// Rows of the index of dead letters.
    pub dead_letter_rows: u64,
}

/// What signs.
pub(super) struct Signer {
    key: Hmac<Sha256>,
}

impl Signer {
    /// # Errors
    /// The key cannot be used.
    pub(super) fn new(config: &ReceiptConfig) -> anyhow::Result<Self> {
        let key = Hmac::new_from_slice(config.key.reveal().as_bytes());
        Ok(Self { key: key.context("the receipt key cannot be used")? })
    }

    /// Whose erasure it was.
    pub(super) fn subject(&self, project: &str, contact: &str) -> String {
        self.hex(&["subject", project, contact].join("\0"))
    }

    /// The signature of a receipt: of its JSON text with sorted keys and without blanks.
    pub(super) fn sign(&self, receipt: &Value) -> String {
        self.hex(&receipt.to_string())
    }

    /// Whether a signature is this key's, of this receipt. Takes the same time wherever they differ.
    pub(super) fn signed(&self, receipt: &Value, signature: &str) -> bool {
        let mut mac = self.key.clone();
        mac.update(receipt.to_string().as_bytes());
        bytes(signature).is_some_and(|signature| mac.verify_slice(&signature).is_ok())
    }

    fn hex(&self, text: &str) -> String {
        let mut mac = self.key.clone();
        mac.update(text.as_bytes());
        let mut hex = String::with_capacity(64);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// What hexadecimal digits stand for.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair.get(1)?).ok()).collect()
}

/// A receipt: names nobody.
pub(super) fn receipt(
    id: Uuid,
    project: &str,
    subject: &str,
    requested_at: DateTime<Utc>,
    done_at: DateTime<Utc>,
    erased: (&HotTraces, &Traces),
) -> Value {
    json!({
        "erasure": id.to_string(),
        "project": project,
        "subject": subject,
        "requested_at": written(requested_at),
        "done_at": written(done_at),
        "hot_store": erased.0,
        "archive": erased.1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(key: &str) -> Signer {
        let key = key.to_owned();
        Signer::new(&ReceiptConfig::read(&move |_| Some(key.clone())).expect("a key")).expect("a signer")
    }

    #[test]
    fn a_signature_is_of_the_receipt_and_of_the_key() {
        let (one, other) = (signer(&"a".repeat(32)), signer(&"b".repeat(32)));
        let receipt = json!({"b": 1, "a": 2});
        assert_eq!(one.sign(&receipt), one.sign(&serde_json::from_str(r#"{ "a": 2, "b": 1 }"#).expect("json")));
        assert_ne!(one.sign(&receipt), other.sign(&receipt));
        assert!(one.signed(&receipt, &one.sign(&receipt)) && one.signed(&receipt, &one.sign(&receipt).to_uppercase()));
        for signature in ["", "0", "zz", &other.sign(&receipt), &one.sign(&json!({"a": 2}))[..62]] {
            assert!(!one.signed(&receipt, signature), "{signature}");
        }
        assert_ne!(one.sign(&receipt), one.sign(&json!({"b": 1, "a": 3})));
        assert_ne!(one.subject("p", "tel:1"), one.subject("p", "tel:2"));
        assert_eq!(one.subject("p", "tel:1").len(), 64);
    }

    #[test]
    fn the_digest_is_hmac_sha256() {
        // printf '{"a":2}' | openssl dgst -sha256 -hmac aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        let signature = signer(&"a".repeat(32)).sign(&json!({"a": 2}));
        assert_eq!(signature, "f40efc931252735746a0981527bc8543e6e0f1f73440faf761adaec2a951653e");
    }
}
