//! Who summarises: the extract that is built in, or a model behind an OpenAI-compatible chat endpoint.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::outcome::Unanswered;
use crate::{
    breaker::Breaker,
    context::{Counting, Line, buffer_string, extract},
};

/// An endpoint's answer is read up to this many bytes: a summary is a thousand tokens.
const LONGEST_ANSWER: usize = 262_144;

/// Text told to a model in one call, in bytes; more is extracted first.
const LONGEST_TOLD: usize = 262_144;

/// The part of what is left of an answer's time that a model may take; the rest is for what comes behind.
const PART: f64 = 0.8;

/// What is asked of a model.
const INSTRUCTION: &str = "Progressively summarize the lines of conversation provided, adding onto the previous summary \
    and returning a new summary. Keep names of products, numbers, dates, decisions and open questions. Answer in the \
    language of the conversation, with the summary alone.";

/// What a summary is made of.
pub(super) struct Told<'a> {
    /// The summary so far; empty for the first.
    pub(super) previous: &'a str,
    /// What it does not cover yet, oldest first.
    pub(super) lines: &'a [Line],
    /// Tokens of the new one, at most.
    pub(super) most: i64,
    /// How they are counted.
    pub(super) counting: Counting,
    /// When the answer that needs it must be there.
    pub(super) until: Instant,
}

/// Who summarises.
pub enum Summariser {
    /// Picks sentences; needs no model.
    Extract,
    /// A model.
    Endpoint(Box<Endpoint>),
}

impl Summariser {
    /// A new summary.
    ///
    /// # Errors
    /// There is none, or none in time: a model has its own limit, and never more than a part of what is left for the answer.
    pub(super) async fn summarise(&self, told: &Told<'_>) -> Result<String, Unanswered> {
        match self {
            Self::Extract => Ok(extract(told.previous, told.lines, told.most, told.counting)),
            Self::Endpoint(endpoint) => endpoint.ask(told).await,
        }
    }
}

/// An OpenAI-compatible chat endpoint.
pub struct Endpoint {
    url: String,
    key: Option<String>,
    model: String,
    patience: Duration,
    connector: Connector,
    breaker: Breaker,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
}

#[derive(Deserialize)]
struct Content {
    content: Option<String>,
}

impl Endpoint {
    /// Of `model` at `url`, the whole address of its chat completions. Connects to nothing yet; waits `patience` for an answer.
    pub fn new(url: String, key: Option<String>, model: String, patience: Duration) -> Self {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        Self { url, key, model, patience, connector, breaker: Breaker::default() }
    }

    async fn ask(&self, told: &Told<'_>) -> Result<String, Unanswered> {
        let failed = Unanswered::Refused("the summariser did not answer with a summary");
        if self.breaker.admit().is_err() {
            return Err(Unanswered::Refused(
                "the summariser failed several times in a row and is left alone for a while",
            ));
        }
        let left = told.until.saturating_duration_since(Instant::now()).mul_f64(PART);
        let answer = timeout(self.patience.min(left), self.answer(told)).await;
        let answer = match answer {
            Ok(answer) => answer.filter(|text| !text.trim().is_empty()).ok_or(failed),
            Err(_) => Err(Unanswered::Late),
        };
        match &answer {
            Ok(_) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(),
        };
        answer
    }

    /// Says nothing of why not: an endpoint's words may repeat what it was told.
    async fn answer(&self, told: &Told<'_>) -> Option<String> {
        let mut lines = buffer_string(told.lines);
        if lines.len() > LONGEST_TOLD {
            // tokens are at most as many as bytes
            lines = extract("", told.lines, LONGEST_TOLD as i64 / 8, told.counting);
        }
        let content =
            format!("Current summary:\n{}\n\nNew lines of conversation:\n{lines}\n\nNew summary:", told.previous);
        let body = json!({
            "model": self.model,
            "temperature": 0,
            "max_tokens": told.most.max(1),
            "messages": [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": content}],
        });
        let mut request = HttpRequest::new(SdkBody::from(body.to_string()));
        request.set_method("POST").ok()?;
        request.set_uri(self.url.as_str()).ok()?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", "application/json").ok()?;
        if let Some(key) = &self.key {
            headers.try_insert("authorization", format!("Bearer {key}")).ok()?;
        }
        let response = self.connector.call(request).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let (mut body, mut read) = (ByteStream::new(response.into_body()), Vec::new());
        while let Some(chunk) = body.next().await {
            read.extend_from_slice(&chunk.ok()?);
            if read.len() > LONGEST_ANSWER {
                return None;
            }
        }
        let answer: Answer = serde_json::from_slice(&read).ok()?;
        answer.choices.into_iter().next()?.message.content
    }
}
