//! AWS Signature Version 4 of one kind of request: a POST to `/` with a JSON body.
//!
//! The key of a day is derived once: of the SDK's signature, that and the sorting of headers cost most.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use aws_sdk_sqs::config::Credentials;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What every body is.
pub(super) const JSON: &str = "application/x-amz-json-1.0";

/// Where a signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    region: String,
    service: String,
}

impl Scope {
    /// The scope of a request that was signed, from its header `authorization`:
    /// `AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/sqs/aws4_request, SignedHeaders=…`.
    pub(super) fn of(authorization: &str) -> Option<Self> {
        let (_, credential) = authorization.strip_prefix(ALGORITHM)?.split_once("Credential=")?;
        let mut parts = credential.split(',').next()?.rsplit('/');
        let (end, service, region) = (parts.next()?, parts.next()?, parts.next()?);
        (end == "aws4_request").then(|| Self { region: region.to_owned(), service: service.to_owned() })
    }
}

/// What is signed.
pub(super) struct Signable<'a> {
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    pub(super) body: &'a [u8],
    pub(super) at: DateTime<Utc>,
}

/// The headers that a signature adds.
pub(super) struct Signed {
    pub(super) date: String,
    pub(super) token: Option<String>,
    pub(super) authorization: String,
}

/// The key of a day, and whose it is.
struct Key {
    day: String,
    secret: String,
    key: Hmac<Sha256>,
}

/// Signs for one scope.
#[derive(Default)]
pub(super) struct Signer(Mutex<Option<Key>>);

impl Signer {
    /// Signs.
    pub(super) fn sign(&self, scope: &Scope, by: &Credentials, what: &Signable<'_>) -> Signed {
        let date = what.at.format("%Y%m%dT%H%M%SZ").to_string();
        let day = &date[..8];
        let (token_line, token_name) = match by.session_token() {
            Some(token) => (format!("x-amz-security-token:{token}\n"), "x-amz-security-token;"),
            None => (String::new(), ""),
        };
        let headers = format!("content-type;host;x-amz-date;{token_name}x-amz-target");
        let (host, target, body) = (what.host, what.target, hex(&Sha256::digest(what.body)));
        let canonical = format!(
            "POST\n/\n\ncontent-type:{JSON}\nhost:{host}\nx-amz-date:{date}\n{token_line}x-amz-target:{target}\n\n\
             {headers}\n{body}"
        );
        let within = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
        let text = format!("{ALGORITHM}\n{date}\n{within}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut mac = self.key(scope, by.secret_access_key(), day);
        mac.update(text.as_bytes());
        let (signature, id) = (hex(&mac.finalize().into_bytes()), by.access_key_id());
        let authorization =
            format!("{ALGORITHM} Credential={id}/{within}, SignedHeaders={headers}, Signature={signature}");
        Signed { date, token: by.session_token().map(str::to_owned), authorization }
    }

    fn key(&self, scope: &Scope, secret: &str, day: &str) -> Hmac<Sha256> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.day == day && known.secret == secret) {
            return known.key.clone();
        }
        let first = mac(format!("AWS4{secret}").as_bytes(), day);
        let last = [&scope.region, &scope.service, "aws4_request"]
            .into_iter()
            .fold(first, |key, part| mac(&key.finalize().into_bytes(), part));
        let key = keyed(&last.finalize().into_bytes());
        *known = Some(Key { day: day.to_owned(), secret: secret.to_owned(), key: key.clone() });
        key
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // of whatever length: longer ones are hashed, so this cannot fail
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = keyed(key);
    mac.update(text.as_bytes());
    mac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4,
    };

    use super::*;

    fn scope() -> Scope {
        Scope { region: "sa-east-1".into(), service: "dynamodb".into() }
    }

    /// The signature that the SDK's own signer gives the same request.
    fn expected(by: &Credentials, what: &Signable<'_>) -> String {
        let (scope, identity) = (scope(), by.clone().into());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&scope.region)
            .name(&scope.service)
            .time(SystemTime::from(what.at))
            .settings(SigningSettings::default())
            .build()
            .expect("all is said");
        let headers = [("host", what.host), ("content-type", JSON), ("x-amz-target", what.target)];
        let url = format!("https://{}/", what.host);
        let request = SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(what.body));
        let (signed, _) = sign(request.expect("a request"), &params.into()).expect("signed").into_parts();
        let (headers, _) = signed.into_parts();
        let authorization = headers.iter().find(|header| header.name() == "authorization");
        authorization.expect("it is signed").value().to_owned()
    }

    #[test]
    fn a_request_is_signed_as_the_sdk_signs_it() {
        let signer = Signer::default();
        for (key, token) in [("a secret", None), ("a secret", Some("a token")), ("another/secret+", None)] {
            let by = Credentials::new("AKID", key, token.map(str::to_owned), None, "test");
            for (at, body) in [(0, "{}"), (86_399, r#"{"text":"é"}"#), (86_400, ""), (1_795_240_800, "{}")] {
                let at = DateTime::from_timestamp(at, 0).expect("in range");
                let (host, target) = ("dynamodb.sa-east-1.amazonaws.com", "DynamoDB_20120810.PutItem");
                let what = Signable { host, target, body: body.as_bytes(), at };
                let signed = signer.sign(&scope(), &by, &what);
                assert_eq!(signed.authorization, expected(&by, &what));
                assert_eq!(signed.token.as_deref(), token);
            }
        }
    }

    #[test]
    fn a_scope_is_read_from_what_the_sdk_signed() {
        let header = "AWS4-HMAC-SHA256 Credential=AK/ID/20150830/sa-east-1/dynamodb/aws4_request, SignedHeaders=host, \
                      Signature=0";
        assert_eq!(Scope::of(header), Some(scope()));
        for other in ["", "Bearer x", "AWS4-HMAC-SHA256 Credential=", "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d"] {
            assert_eq!(Scope::of(other), None, "{other}");
        }
    }
}
