//! Who summarises: the extract that is built in, or a model behind an OpenAI-compatible chat endpoint.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use url::Url;

use super::outcome::Unanswered;
use crate::{
    breaker::Breaker,
    clock::Clock,
    context::{Counting, Line, buffer_string, extract},
    http::{
        Http, NoAnswer, Outgoing,
        chat::{self, Question},
    },
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
    url: Url,
    key: Option<String>,
    model: String,
    patience: Duration,
    http: Http,
    breaker: Breaker,
}

impl Endpoint {
    /// Of `model` at `url`, the whole address of its chat completions. Connects to nothing yet; waits `patience` for an answer.
    pub fn new(url: Url, key: Option<String>, model: String, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        let http = Http::to_own(clock).reading(LONGEST_ANSWER);
        Self { url, key, model, patience, http, breaker: Breaker::default() }
    }

    async fn ask(&self, told: &Told<'_>) -> Result<String, Unanswered> {
        if self.breaker.admit().is_err() {
            return Err(Unanswered::Refused(
                "the summariser failed several times in a row and is left alone for a while",
            ));
        }
        let answer = self.answer(told).await;
        match &answer {
            Ok(_) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(),
        };
        answer
    }

    async fn answer(&self, told: &Told<'_>) -> Result<String, Unanswered> {
        let mut lines = buffer_string(told.lines);
        if lines.len() > LONGEST_TOLD {
            // tokens are at most as many as bytes
            lines = extract("", told.lines, LONGEST_TOLD as i64 / 8, told.counting);
        }
        let content =
            format!("Current summary:\n{}\n\nNew lines of conversation:\n{lines}\n\nNew summary:", told.previous);
        let question = Question {
            model: &self.model,
            instruction: INSTRUCTION,
            told: &content,
            tokens: told.most.max(1),
            object: false,
        };
        let body = question.body();
        let outgoing = Outgoing::json(&self.url, self.key.as_deref(), &body);
        let left = told.until.saturating_duration_since(Instant::now()).mul_f64(PART);
        let summary = match self.http.send_within(self.patience.min(left), outgoing).await {
            Ok(answer) if answer.is_success() => chat::said(&answer.body).ok(),
            Ok(_) => None,
            Err(NoAnswer::Timeout) => return Err(Unanswered::Late),
            Err(_) => None,
        };
        let failed = Unanswered::Refused("the summariser did not answer with a summary");
        summary.filter(|text| !text.trim().is_empty()).ok_or(failed)
    }
}
