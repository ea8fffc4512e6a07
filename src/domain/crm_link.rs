//! Which customer record of which CRM a conversation belongs to.

use serde_json::{Map, Value};

use super::Sequence;

/// A conversation's link to a customer record.
#[derive(Clone, Debug, PartialEq)]
pub struct CrmLink {
    /// The CRM, by the name its publisher gives it (`hubspot`).
    pub crm: String,
    /// The record's id there.
    pub crm_id: String,
    /// What the CRM, or whoever linked them, says of the person.
    pub prospect: Map<String, Value>,
    /// The event's place in its group: an older link never replaces a newer one.
    pub sequence: Sequence,
}
