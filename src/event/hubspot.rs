//! `crm.hubspot_raw`: the body of one of HubSpot's webhooks as it came, and how it was signed. What it says is read once the
//! signature is verified, which needs a secret: not here.

use serde_json::json;

use super::Raw;
use super::fields::Fields;
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use crate::domain::Thread;

/// The event's name on the wire.
pub(super) const NAME: &str = "crm.hubspot_raw";

/// The attributes by which a gateway hands over a webhook without touching its body.
const SIGNATURE_V3: &str = "x-hubspot-signature-v3";
const SIGNATURE_V1: &str = "x-hubspot-signature";
const TIMESTAMP: &str = "x-hubspot-request-timestamp";

/// A webhook's body, not trusted yet.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedBody {
    /// The request's method.
    pub method: String,
    /// The request's body, byte for byte.
    pub body: String,
    /// The signature of version 3.
    pub signature: Option<String>,
    /// The signature of version 1, which covers neither address nor time.
    pub older_signature: Option<String>,
    /// When it was signed, in milliseconds since 1970, as the header says it.
    pub timestamp: Option<String>,
}

impl std::fmt::Debug for SignedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedBody").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Where webhooks are taken in turn: not a thread of any project.
pub(super) fn place() -> Thread {
    Thread { project: "crm".to_owned(), contact: None, channel: None, conversation: Some("hubspot".to_owned()) }
}

/// The webhook that a delivery is, when attributes say so: its body is the request's, a list, and no envelope of ours.
pub(super) fn bare(raw: &Raw<'_>) -> Option<SignedBody> {
    let attribute = |name: &str| raw.attributes.get(name).cloned();
    let is_one = attribute("event_type").as_deref() == Some(NAME) && raw.body.trim_start().starts_with('[');
    is_one.then(|| SignedBody {
        method: "POST".to_owned(),
        body: raw.body.to_owned(),
        signature: attribute(SIGNATURE_V3),
        older_signature: attribute(SIGNATURE_V1),
        timestamp: attribute(TIMESTAMP),
    })
}

/// Reads `crm.hubspot_raw`.
///
/// # Errors
/// No body or no signature, or a field of another type.
pub(super) fn read(data: &mut Fields) -> Result<SignedBody, Rejection> {
    let body = data.text("body")?;
    let (signature, older_signature) = (data.label("signature_v3")?, data.label("signature_v1")?);
    let (method, timestamp) = (data.label("method")?, data.id("timestamp_ms", 32)?);
    if body.is_empty() {
        return Err(Rejection::missing("body"));
    }
    if signature.is_none() && older_signature.is_none() {
        return Err(Rejection::field(Code::MissingField, "signature_v3", "is required, or signature_v1"));
    }
    Ok(SignedBody { method: method.unwrap_or_else(|| "POST".to_owned()), body, signature, older_signature, timestamp })
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    let body = Form::any().but(json!({ "type": "string", "minLength": 1 }));
    Shape::default()
        .one_at_least(&["signature_v3", "signature_v1"])
        .must("body", body.says("The request's body, byte for byte."))
        .may("signature_v3", Form::label().says("The header X-HubSpot-Signature-v3."))
        .may("signature_v1", Form::label().says("The header X-HubSpot-Signature, where the settings allow it."))
        .may("timestamp_ms", Form::id(32).says("The header X-HubSpot-Request-Timestamp."))
        .may("method", Form::label().says("The request's method; POST unless it is given."))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::Sequence;
    use crate::event::testing::{decode_body, sent_at};
    use crate::event::{Kind, decode};

    fn decoded(body: &str, attributes: &[(&str, &str)]) -> Result<Kind, Rejection> {
        let attributes: BTreeMap<_, _> = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let raw = Raw { body, attributes: &attributes, sent_at: sent_at(), sequence: Sequence(7), group_id: "g" };
        decode(&raw).map(|event| event.kind)
    }

    #[test]
    fn a_gateway_hands_over_the_body_as_it_is_and_a_lambda_wraps_it() {
        let body = " [{\"objectId\" : 512}]";
        let signed = SignedBody {
            method: "POST".into(),
            body: body.into(),
            signature: Some("c2ln".into()),
            older_signature: None,
            timestamp: Some("1795240800000".into()),
        };
        let attributes = [("event_type", NAME), (SIGNATURE_V3, "c2ln"), (TIMESTAMP, "1795240800000")];
        assert_eq!(decoded(body, &attributes), Ok(Kind::HubSpotRaw(Box::new(signed.clone()))));
        let data = json!({"body": body, "signature_v3": "c2ln", "timestamp_ms": 1_795_240_800_000_i64});
        let wrapped = json!({"event_type": NAME, "data": data}).to_string();
        assert_eq!(decoded(&wrapped, &[]), Ok(Kind::HubSpotRaw(Box::new(signed))));
        assert!(decoded(body, &[]).is_err(), "a list that nothing names is no event");
    }

    #[test]
    fn what_cannot_be_verified_is_rejected_at_once() {
        for (data, field) in [
            (json!({"signature_v3": "s"}), "body"),
            (json!({"body": "[]"}), "signature_v3"),
            (json!({"body": 7, "signature_v3": "s"}), "body"),
        ] {
            let rejection = decode_body(&json!({"event_type": NAME, "data": data}).to_string()).expect_err(field);
            assert_eq!(rejection.field.as_deref(), Some(field));
        }
    }
}
