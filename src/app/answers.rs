//! What requests are answered with, as the settings want it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{
    answer::{Answers, Endpoint, Limits, Summariser},
    archive::ArchiveReader,
    clock::Clock,
    config::Config,
    counters::Counters,
    queue::SqsReplies,
};

/// The part of an answer's time that a model may take to summarise; the rest is for reading and sending.
const SUMMARY_PART: f64 = 0.8;

pub(super) fn of(
    config: &Config,
    client: aws_sdk_sqs::Client,
    archive: Arc<dyn ArchiveReader>,
    counters: &Arc<Counters>,
    clock: &Arc<dyn Clock>,
) -> Answers {
    let wanted = &config.answers;
    let summariser = match &wanted.endpoint {
        None => Summariser::Extract,
        Some(model) => {
            let key = model.key.as_ref().map(|key| key.reveal().to_owned());
            let patience = wanted.patience.mul_f64(SUMMARY_PART);
            Summariser::Endpoint(Box::new(Endpoint::new(
                model.url.reveal().to_owned(),
                key,
                model.model.clone(),
                patience,
            )))
        }
    };
    Answers {
        replies: Arc::new(SqsReplies(client)),
        list: wanted.replies.clone(),
        archive,
        models: wanted.models.clone(),
        tokenizer: wanted.tokenizer,
        summariser,
        limits: Limits { patience: wanted.patience, bytes: wanted.bytes, hot_ttl: config.hot_ttl },
        permits: Semaphore::new(wanted.at_once),
        counters: counters.clone(),
        clock: clock.clone(),
    }
}
