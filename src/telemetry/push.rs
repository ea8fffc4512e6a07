//! The push: metrics to an OpenTelemetry collector, once in a while and at the end, over HTTP.
//!
//! A push that fails is not repeated: the next one says everything again. An outage is told once, and its end.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::otlp;
use crate::{
    clock::Clock,
    config::PushConfig,
    counters::Counters,
    http::{Http, NoAnswer, Outgoing},
};

/// The last push, at the end of the process, must not hold it up.
const LAST_PUSH: Duration = Duration::from_secs(3);

/// Pushes what is counted.
pub struct Push {
    config: PushConfig,
    http: Http,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    began: DateTime<Utc>,
}

impl Push {
    /// Of `counters`, by the process that is called `instance` among the replicas. Connects to nothing yet.
    pub fn new(config: &PushConfig, instance: &str, counters: Arc<Counters>, clock: Arc<dyn Clock>) -> Self {
        let mut config = config.clone();
        for (name, value) in [("service.version", env!("CARGO_PKG_VERSION")), ("service.instance.id", instance)] {
            if !config.resource.iter().any(|(known, _)| known == name) {
                config.resource.push((name.to_owned(), value.to_owned()));
            }
        }
        let http = Http::to_own(clock.clone());
        Self { config, http, counters, began: clock.now(), clock }
    }

    /// Pushes until `ended`, and then once more.
    pub async fn run(&self, ended: CancellationToken) {
        let mut ticks = interval(self.config.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut failing = false;
        loop {
            let last = tokio::select! {
                biased;
                () = ended.cancelled() => true,
                _ = ticks.tick() => false,
            };
            let patience = if last { self.config.timeout.min(LAST_PUSH) } else { self.config.timeout };
            let pushed = self.once(patience).await;
            match &pushed {
                Ok(()) if failing => info!("metrics are pushed again"),
                Err(reason) if !failing => {
                    warn!(reason, "metrics could not be pushed; check OTEL_EXPORTER_OTLP_ENDPOINT")
                }
                _ => {}
            }
            failing = pushed.is_err();
            if last {
                return;
            }
        }
    }

    /// Says nothing about the endpoint: its URL may carry a password.
    async fn once(&self, patience: Duration) -> Result<(), String> {
        let body = otlp::request(&self.counters, &self.config.resource, self.began, self.clock.now());
        let url = Url::parse(self.config.url.reveal()).map_err(|_| NoAnswer::Unfit.to_string())?;
        let mut outgoing = Outgoing::json(&url, None, &body);
        let own = self.config.headers.iter().map(|(name, value)| (name.as_str(), value.reveal().to_owned()));
        outgoing.headers.extend(own);
        match self.http.send_within(patience, outgoing).await {
            Ok(answer) if answer.is_success() => Ok(()),
            Ok(answer) => Err(format!("answered {}", answer.status)),
            Err(none) => Err(none.to_string()),
        }
    }
}
