//! HubSpot's signatures of its webhooks, over the body byte for byte.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::Webhook;
use crate::event::SignedBody;

/// A signature may be this much older, or newer, than when the queue took the body.
const LONGEST: TimeDelta = TimeDelta::minutes(5);

/// What is decoded in the address before it is signed, and nothing else.
const DECODED: [(&str, &str); 14] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
    ("%3a", ":"),
    ("%2f", "/"),
];

/// Why a webhook is not taken. The later tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Forged {
    /// Nobody told us of a portal whose webhooks we take.
    #[error("no portal of the settings takes webhooks")]
    Unknown,
    /// It has only the older signature.
    #[error("only its older signature is given, which the settings do not allow")]
    Older,
    /// The secret cannot be read.
    #[error("the client secret is not where it should be")]
    NoSecret,
    /// The signature is another.
    #[error("is not what the client secret makes of it")]
    Another,
    /// The signature is right, and old.
    #[error("is right, but more than five minutes from when the queue took it")]
    Stale,
    /// The signature is right, and the body is no list of HubSpot's.
    #[error("signs a body that is not a list of changes")]
    Unreadable,
}

/// Whether `signed` is what the app of `webhook` signed, at about the time when the queue took it.
pub(super) fn verify(webhook: &Webhook, signed: &SignedBody, sent_at: DateTime<Utc>) -> Result<(), Forged> {
    let secret = (webhook.secret)().ok_or(Forged::NoSecret)?;
    let Some(signature) = &signed.signature else {
        let older = signed.older_signature.as_deref().filter(|_| webhook.older_too).ok_or(Forged::Older)?;
        return if verify_older(&secret, older, &signed.body) { Ok(()) } else { Err(Forged::Another) };
    };
    let timestamp = signed.timestamp.as_deref().ok_or(Forged::Another)?;
    let given = STANDARD.decode(signature.trim()).map_err(|_| Forged::Another)?;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Err(Forged::NoSecret) };
    for part in [&signed.method, &decoded(&webhook.url), &signed.body, timestamp] {
        mac.update(part.as_bytes());
    }
    mac.verify_slice(&given).map_err(|_| Forged::Another)?; // in constant time
    let at = timestamp.parse().ok().and_then(DateTime::from_timestamp_millis).ok_or(Forged::Another)?;
    if (sent_at - at).abs() > LONGEST { Err(Forged::Stale) } else { Ok(()) }
}

/// Hexadecimal SHA-256 of secret and body.
fn verify_older(secret: &str, given: &str, body: &str) -> bool {
    let made = Sha256::new().chain_update(secret).chain_update(body).finalize();
    let made: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
    let same = made.bytes().zip(given.trim().bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
    same == 0 && made.len() == given.trim().len()
}

fn decoded(url: &str) -> String {
    DECODED.iter().fold(url.to_owned(), |url, (code, character)| url.replace(code, character))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const DOCUMENTED: &str = r#"[{"eventId":531833541,"subscriptionId":3923621,"portalId":48807704,"appId":16111050,"occurredAt":1752613920733,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":138017612137,"changeFlag":"CREATED","changeSource":"CRM_UI","sourceId":"userId:76023669"}]"#;

    fn webhook(secret: &'static str, url: &str, older_too: bool) -> Webhook {
        Webhook { url: url.into(), secret: Arc::new(move || Some(secret.to_owned())), older_too }
    }

    fn documented() -> (Webhook, SignedBody, DateTime<Utc>) {
        let url = "https://webhook.site/335453f5-94b3-49d9-b684-a55354d4b8df";
        let signed = SignedBody {
            method: "POST".into(),
            body: DOCUMENTED.into(),
            signature: Some("gbj1XPRvUt0noT7i7fXfTzOD4sLzQmf0VT28ZYq0EYg=".into()),
            older_signature: None,
            timestamp: Some("1752613922216".into()),
        };
        let at = DateTime::from_timestamp_millis(1_752_613_922_216).expect("a time");
        (webhook("cfc68c0b-4b4e-4ef8-b764-95350e4ea479", url, false), signed, at)
    }

    #[test]
    fn hubspot_v3_documented_vector() {
        let (webhook, signed, at) = documented();
        assert_eq!(verify(&webhook, &signed, at), Ok(()));
    }

    #[test]
    fn hubspot_v3_stale() {
        let (webhook, signed, at) = documented();
        for (minutes, verdict) in [(-6, Err(Forged::Stale)), (-5, Ok(())), (5, Ok(())), (6, Err(Forged::Stale))] {
            assert_eq!(verify(&webhook, &signed, at + TimeDelta::minutes(minutes)), verdict, "{minutes}");
        }
    }

    #[test]
    fn hubspot_v3_uri_decode() {
        for url in [
            "https://bridge.example.com/hubspot?tenant=a:b",
            "https%3A%2F%2Fbridge.example.com%2fhubspot%3Ftenant=a%3ab",
        ] {
            let signed = SignedBody {
                body: r#"[{"objectId":512}]"#.into(),
                signature: Some("g6jaiEK1/lkID0S3XCuQHsemSt2iBFwGYBJhMihBlZ8=".into()),
                timestamp: Some("1795240800000".into()),
                ..documented().1
            };
            let at = DateTime::from_timestamp(1_795_240_800, 0).expect("a time");
            assert_eq!(verify(&webhook("secret-1", url, false), &signed, at), Ok(()), "{url}");
        }
        assert_eq!(
            decoded("%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B%20%26%3D"),
            ":/?@!$'()*,;%20%26%3D",
            "no more than these"
        );
    }

    #[test]
    fn hubspot_v3_raw_body() {
        let (webhook, signed, at) = documented();
        let parsed: serde_json::Value = serde_json::from_str(DOCUMENTED).expect("JSON");
        for changed in [
            SignedBody { body: parsed.to_string(), ..signed.clone() },
            SignedBody { body: format!("{DOCUMENTED}\n"), ..signed.clone() },
            SignedBody { method: "GET".into(), ..signed.clone() },
            SignedBody { timestamp: Some("1752613922217".into()), ..signed.clone() },
            SignedBody { timestamp: None, ..signed.clone() },
            SignedBody { signature: Some("AAAA".into()), ..signed.clone() },
            SignedBody { signature: Some("?".into()), ..signed.clone() },
        ] {
            assert_eq!(verify(&webhook, &changed, at), Err(Forged::Another));
        }
        assert_eq!(
            verify(&Webhook { url: "https://elsewhere.example".into(), ..webhook }, &signed, at),
            Err(Forged::Another)
        );
    }

    #[test]
    fn the_older_signature_is_taken_where_it_is_allowed_and_never_instead_of_the_newer() {
        let older = Sha256::new().chain_update("s").chain_update("[]").finalize();
        let older: String = older.iter().map(|byte| format!("{byte:02x}")).collect();
        let signed = SignedBody {
            body: "[]".into(),
            signature: None,
            older_signature: Some(older.clone()),
            timestamp: None,
            ..documented().1
        };
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(verify(&webhook("s", "u", true), &signed, at), Ok(()));
        assert_eq!(verify(&webhook("s", "u", false), &signed, at), Err(Forged::Older));
        assert_eq!(verify(&webhook("t", "u", true), &signed, at), Err(Forged::Another));
        let cut = SignedBody { older_signature: Some(older[..10].to_owned()), ..signed.clone() };
        assert_eq!(verify(&webhook("s", "u", true), &cut, at), Err(Forged::Another));
        let both = SignedBody { signature: Some("AAAA".into()), timestamp: Some("0".into()), ..signed };
        assert_eq!(verify(&webhook("s", "u", true), &both, at), Err(Forged::Another));
    }
}
