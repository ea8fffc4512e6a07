//! What happened to a customer record in its CRM.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Something that happened to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// The CRM, as links name it (`hubspot`).
    pub crm: String,
    /// The account there: a portal.
    pub account: String,
    /// The record's id there; after a merge, of the one that is left.
    pub crm_id: String,
    /// What happened.
    pub what: What,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// What happened to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A property has another value.
    Property {
        /// Its name.
        name: String,
        /// Its value; `None` when it was cleared.
        value: Option<String>,
    },
    /// Others were merged into it.
    Merged {
        /// Their ids.
        from: Vec<String>,
    },
    /// It was deleted.
    Deleted,
    /// It was deleted because the person wants to be forgotten.
    Erased,
    /// It is back.
    Restored,
}

impl What {
    /// Its name on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Property { .. } => "property",
            Self::Merged { .. } => "merge",
            Self::Deleted => "deletion",
            Self::Erased => "privacy_deletion",
            Self::Restored => "restore",
        }
    }
}

impl RecordChange {
    /// The same for every report of it, whichever way it came: 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let said = match &self.what {
            What::Property { name, value } => json!([name, value]),
            What::Merged { from } => json!(from),
            What::Deleted | What::Erased | What::Restored => Value::Null,
        };
        let at = self.occurred_at.timestamp_millis();
        let whole = json!([self.crm, self.account, self.crm_id, self.what.as_str(), at, said]);
        hex(&Sha256::digest(whole.to_string().as_bytes()))
    }
}

/// What stands for a property's value where the value itself need not be kept.
pub fn value_digest(crm_id: &str, property: &str, value: Option<&str>) -> [u8; 32] {
    Sha256::digest(json!([crm_id, property, value.unwrap_or_default()]).to_string().as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_report_is_one_and_any_other_is_another() {
        let of = |crm_id: &str, value: Option<&str>, milliseconds| RecordChange {
            crm: "hubspot".into(),
            account: "1".into(),
            crm_id: crm_id.into(),
            what: What::Property { name: "email".into(), value: value.map(str::to_owned) },
            occurred_at: DateTime::from_timestamp_millis(milliseconds).expect("a time"),
        };
        let one = of("512", Some("a"), 1).fingerprint();
        assert_eq!(one, of("512", Some("a"), 1).fingerprint());
        for other in [of("513", Some("a"), 1), of("512", Some("b"), 1), of("512", None, 1), of("512", Some("a"), 2)] {
            assert_ne!(one, other.fingerprint());
        }
    }
}
