//! The keys of a webhook, and its signatures: Standard Webhooks 1.0, symmetric (`v1`).
//!
//! Keys are text, one a line, the newest first: `whsec_…`, and for older ones `until=` with the time after which they no
//! longer sign. A receiver may thus change its key at any time in between.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Keys that sign at once.
const MOST: usize = 3;

/// How long an old key signs on after a rotation.
const OVERLAP: TimeDelta = TimeDelta::hours(24);

/// Bytes of a new key.
const BYTES: usize = 32;

/// Where keys begin.
const PREFIX: &str = "whsec_";

/// One key.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    bytes: Vec<u8>,
    until: Option<DateTime<Utc>>,
}

/// The keys of a webhook, newest first.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// Keys after a rotation.
pub struct NewKeys {
    /// All of them, as they are written: a secret.
    pub text: String,
    /// The new one, for the receiver: a secret.
    pub new: String,
    /// When the old ones stop signing.
    pub until: DateTime<Utc>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// Reads keys; what is wrong with them, without repeating anything.
    ///
    /// # Errors
    /// There is none, or too many, or one is not a key of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(key).collect::<Option<Vec<Key>>>();
        match keys {
            None => {
                Err("a line of the secret is not a key: whsec_ and 24 to 64 bytes in base64, then perhaps until=TIME")
            }
            Some(keys) if keys.is_empty() => Err("the secret holds no key"),
            Some(keys) if keys.len() > MOST => Err("the secret holds more than three keys"),
            Some(keys) => Ok(Self(keys)),
        }
    }

    /// The header `webhook-signature`: a signature by every key that has not expired, newest first. Never none: the newest
    /// signs even if it says that it has expired.
    pub fn signatures(&self, id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
        let mut signatures = Vec::new();
        for (place, key) in self.0.iter().enumerate() {
            if place == 0 || key.until.is_none_or(|until| at < until) {
                signatures.push(sign(&key.bytes, id, at.timestamp(), body));
            }
        }
        signatures.join(" ")
    }

    /// The same keys with a new one before them, made of `random`; the old ones sign for another day, those expired go.
    pub fn rotated(&self, random: [u8; BYTES], now: DateTime<Utc>) -> NewKeys {
        let until = now + OVERLAP;
        let new = format!("{PREFIX}{}", STANDARD.encode(random));
        let mut text = format!("{new}\n");
        let old = self.0.iter().filter(|key| key.until.is_none_or(|until| now < until)).take(MOST - 1);
        for key in old {
            let until = key.until.map_or(until, |before| before.min(until));
            let written = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            text += &format!("{PREFIX}{} until={written}\n", STANDARD.encode(&key.bytes));
        }
        NewKeys { text, new, until }
    }
}

fn key(line: &str) -> Option<Key> {
    let (secret, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let bytes = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)).ok()?;
    let until = match rest.trim() {
        "" => None,
        rest => Some(DateTime::parse_from_rfc3339(rest.strip_prefix("until=")?).ok()?.to_utc()),
    };
    (24..=64).contains(&bytes.len()).then_some(Key { bytes, until })
}

/// One signature: `v1,` and HMAC-SHA256 of `id.timestamp.body` in base64.
pub fn sign(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    // every length of key is taken: a longer one than a block is hashed
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn signing_vectors() {
        let keys = Keys::parse(SECRET).expect("a key");
        for (id, seconds, body, expected) in [
            (
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "msg_01JD6Z4T3W",
                1_795_240_800,
                r#"{"type":"conversation.closed","timestamp":"2026-11-21T06:00:00Z","data":{"conversation_id":"c-1"}}"#,
                "v1,AngQhgyQJi1Q63QPnN+wnx2PwJwoq31QdHBqOyrU6Do=",
            ),
        ] {
            assert_eq!(keys.signatures(id, at(seconds), body.as_bytes()), expected);
        }
    }

    #[test]
    fn a_rotation_signs_with_both_keys_for_a_day_and_then_with_the_new_one() {
        let old = Keys::parse(SECRET).expect("a key");
        let rotated = old.rotated([7; BYTES], at(0));
        let keys = Keys::parse(&rotated.text).expect("keys");
        assert!(rotated.text.starts_with(&rotated.new));
        let signatures = keys.signatures("id", at(3_600), b"{}");
        let [new, second] = signatures.split(' ').collect::<Vec<_>>()[..] else { panic!("two signatures") };
        assert_eq!(new, Keys::parse(&rotated.new).expect("a key").signatures("id", at(3_600), b"{}"));
        assert_eq!(second, old.signatures("id", at(3_600), b"{}"));
        assert_eq!(keys.signatures("id", at(24 * 3_600), b"{}").split(' ').count(), 1);
    }

    #[test]
    fn rotating_again_and_again_keeps_three_at_most_and_prolongs_none() {
        let mut keys = Keys::parse(SECRET).expect("a key");
        for turn in 1..6_u8 {
            let now = at(i64::from(turn) * 3_600);
            keys = Keys::parse(&keys.rotated([turn; BYTES], now).text).expect("keys");
        }
        assert_eq!(keys.0.len(), MOST);
        assert_eq!(keys.0[2].until, Some(at(4 * 3_600) + OVERLAP), "as the rotation after it said");
        let later = keys.rotated([9; BYTES], at(1_000_000));
        assert_eq!(Keys::parse(&later.text).expect("keys").0.len(), 2, "those expired are gone");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in
            ["", "# only this", "whsec_hunter2", "whsec_AAAA", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD until=soon"]
        {
            let wrong = Keys::parse(text).expect_err(text);
            assert!(!wrong.contains("hunter2"));
        }
        assert!(Keys::parse(&[SECRET; 4].join("\n")).is_err());
        assert!(!format!("{:?}", Keys::parse(SECRET)).contains("C2FV"));
    }
}
