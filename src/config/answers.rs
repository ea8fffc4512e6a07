//! Settings of requests and their answers.

use std::{fmt, time::Duration};

use url::Url;

use super::{
    Faults, MODELS, QUEUE_URL, QueueConfig, REPLY_BYTES, REPLY_QUEUES, REQUEST_QUEUE_URL, REQUEST_SECONDS, REQUESTS,
    SUMMARY_ENDPOINT, SUMMARY_KEY, SUMMARY_MODEL, SUMMARY_SECONDS, Secret, TOKENIZER, reader::Reader,
};
use crate::{
    context::{Model, Models, Tokenizer, window},
    queue::ReplyList,
};

/// How requests are answered.
#[derive(Clone, Debug)]
pub struct AnswerConfig {
    /// Which queues replies may go to.
    pub replies: ReplyList,
    /// Bytes of a reply.
    pub bytes: usize,
    /// How long an answer may take.
    pub patience: Duration,
    /// Answers at once.
    pub at_once: usize,
    /// A queue of requests that need no order.
    pub queue_url: Option<String>,
    /// Who counts tokens when a message is saved.
    pub tokenizer: Tokenizer,
    /// What is known of models.
    pub models: Models,
    /// The model that summarises, if one does.
    pub endpoint: Option<EndpointConfig>,
}

/// Where questions are sent, for a command that asks.
#[derive(Clone, Debug)]
pub struct AskConfig {
    /// The inbound queue: reply queues are named beside it.
    pub queue: QueueConfig,
    /// The queue of requests that need no order.
    pub request_queue: Option<String>,
    /// Which queues replies may go to, as far as this environment knows.
    pub replies: Option<ReplyList>,
}

impl AskConfig {
    /// Reads it.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let queue = QueueConfig::read(get);
        let mut reader = Reader { get, faults: Vec::new() };
        let answers = AnswerConfig::read(&mut reader);
        let replies = reader.optional(REPLY_QUEUES).map(|_| answers.replies);
        let rest = reader.end((answers.queue_url, replies));
        match (queue, rest) {
            (Ok(queue), Ok((request_queue, replies))) => Ok(Self { queue, request_queue, replies }),
            (Err(faults), Err(others)) => Err(faults.and(others)),
            (Err(faults), _) | (_, Err(faults)) => Err(faults),
        }
    }
}

/// The model that summarises.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Address of its chat completions; may carry a password.
    pub url: Url,
    /// Its key.
    pub key: Option<Secret>,
    /// Its name.
    pub model: String,
    /// How long it may take.
    pub patience: Duration,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What an OpenAI-compatible service adds to its base address for chats.
const CHAT: &str = "/chat/completions";

impl AnswerConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let inbound = reader.optional(QUEUE_URL).unwrap_or_default();
        let replies = ReplyList::parse(&reader.optional(REPLY_QUEUES).unwrap_or_default(), &inbound);
        let replies = replies.unwrap_or_else(|unnamed| {
            reader.fault(REPLY_QUEUES, unnamed.to_string());
            ReplyList::default()
        });
        let queue_url = reader.optional(REQUEST_QUEUE_URL);
        if queue_url.as_ref().is_some_and(|url| !(url.starts_with("http") && url.contains("://"))) {
            reader.fault(REQUEST_QUEUE_URL, "must be the URL of a queue: http(s)://…/name".into());
        }
        let tokenizer = reader.optional(TOKENIZER).unwrap_or_else(|| TOKENIZER.default.to_owned());
        let tokenizer = Tokenizer::named(&tokenizer).unwrap_or_else(|| {
            reader.fault(TOKENIZER, "must be o200k_base or cl100k_base".into());
            Tokenizer::default()
        });
        Self {
            replies,
            bytes: reader.number(REPLY_BYTES, 8_192, 1_048_576),
            patience: reader.seconds(REQUEST_SECONDS, 1, 60),
            at_once: reader.number(REQUESTS, 1, 10_000),
            queue_url,
            tokenizer,
            models: models(reader),
            endpoint: endpoint(reader),
        }
    }
}

/// `name=window` or `name=window:tokenizer`, separated by commas.
fn models(reader: &mut Reader<'_>) -> Models {
    let mut models = Models::default();
    for entry in reader.optional(MODELS).unwrap_or_default().split(',').filter(|entry| !entry.trim().is_empty()) {
        let parsed = entry.split_once('=').and_then(|(name, what)| {
            let (size, tokenizer) = what.split_once(':').unwrap_or((what, TOKENIZER.default));
            let model = Model { window: window(size)?, tokenizer: Tokenizer::named(tokenizer.trim())? };
            Some((name.trim().to_owned(), model)).filter(|(name, _)| !name.is_empty())
        });
        match parsed {
            Some((name, model)) => models.insert(name, model),
            None => {
                reader.fault(MODELS, "each must be name=window or name=window:tokenizer, such as mine=32k".into());
                break;
            }
        }
    }
    models
}

fn endpoint(reader: &mut Reader<'_>) -> Option<EndpointConfig> {
    let url = reader.optional(SUMMARY_ENDPOINT)?;
    let url = url.trim_end_matches('/');
    let url = if url.ends_with(CHAT) { url.to_owned() } else { format!("{url}{CHAT}") };
    let url = Url::parse(&url).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        reader.fault(SUMMARY_ENDPOINT, "must be a URL: https://host/v1".into());
    }
    let model = reader.optional(SUMMARY_MODEL).unwrap_or_else(|| {
        reader.fault(SUMMARY_MODEL, format!("is needed with {}", SUMMARY_ENDPOINT.variable));
        String::new()
    });
    Some(EndpointConfig {
        url: url?,
        key: reader.optional(SUMMARY_KEY).map(Secret),
        model,
        patience: reader.seconds(SUMMARY_SECONDS, 1, 60),
    })
}
