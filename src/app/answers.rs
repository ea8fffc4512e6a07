//! What requests are answered with, as the settings want it.

use std::sync::Arc;

use crate::{
    answer::{Answers, Endpoint, Limits, Permits, Summariser},
    archive::{ArchiveReader, GuardedReader, Options, PostgresArchive},
    clock::Clock,
    config::{Config, Secret},
    counters::Counters,
    queue::SqsReplies,
};

/// The archive as answers read it: by connections and a breaker of their own, so that slow questions keep no close waiting.
pub(super) struct Readers {
    archive: Arc<dyn ArchiveReader>,
    replica: Option<Arc<dyn ArchiveReader>>,
}

impl Readers {
    /// Of the archive that `config` names, and of its replica if there is one. No statement outlives its answer for long.
    ///
    /// # Errors
    /// A URL cannot be used.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let (database, patience) = (&config.database, config.answers.patience);
        let options = Options {
            max_connections: database.read_connections,
            acquire_timeout: patience.min(Options::default().acquire_timeout),
            statement_timeout: patience,
            schema: database.schema.clone(),
        };
        let reader = |url: &Secret| -> anyhow::Result<Arc<dyn ArchiveReader>> {
            let archive = Arc::new(PostgresArchive::new(url.reveal(), &options)?);
            Ok(Arc::new(GuardedReader::by(Arc::default(), archive)))
        };
        Ok(Self { archive: reader(&database.url)?, replica: database.replica.as_ref().map(reader).transpose()? })
    }
}

pub(super) fn of(
    config: &Config,
    client: aws_sdk_sqs::Client,
    readers: Readers,
    counters: &Arc<Counters>,
    clock: &Arc<dyn Clock>,
) -> Answers {
    let wanted = &config.answers;
    let summariser = match &wanted.endpoint {
        None => Summariser::Extract,
        Some(model) => {
            let key = model.key.as_ref().map(|key| key.reveal().to_owned());
            let (url, name) = (model.url.clone(), model.model.clone());
            Summariser::Endpoint(Box::new(Endpoint::new(url, key, name, model.patience, clock.clone())))
        }
    };
    Answers {
        replies: Arc::new(SqsReplies(client)),
        list: wanted.replies.clone(),
        archive: readers.archive,
        replica: readers.replica,
        models: wanted.models.clone(),
        tokenizer: wanted.tokenizer,
        summariser,
        limits: Limits { patience: wanted.patience, bytes: wanted.bytes, hot_ttl: config.hot_ttl },
        permits: Permits::new(wanted.at_once),
        counters: counters.clone(),
        clock: clock.clone(),
    }
}
