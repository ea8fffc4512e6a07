//! The push: metrics to an OpenTelemetry collector, once in a while and at the end, over the HTTP client that AWS calls use.
//!
//! A push that fails is not repeated: the next one says everything again. An outage is told once, and its end.

use std::{sync::Arc, time::Duration};

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::body::SdkBody;
use chrono::{DateTime, Utc};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::otlp;
use crate::{clock::Clock, config::PushConfig, counters::Counters};

/// The last push, at the end of the process, must not hold it up.
const LAST_PUSH: Duration = Duration::from_secs(3);

/// Pushes what is counted.
pub struct Push {
    config: PushConfig,
    connector: Connector,
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
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        Self { config, connector, counters, began: clock.now(), clock }
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
            let pushed = timeout(patience, self.once()).await.unwrap_or_else(|_| Err("no answer in time".into()));
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
    async fn once(&self) -> Result<(), String> {
        let body = otlp::request(&self.counters, &self.config.resource, self.began, self.clock.now());
        let mut request = HttpRequest::new(SdkBody::from(body.to_string()));
        let unfit = |_| "the request could not be built".to_owned();
        request.set_method("POST").map_err(unfit)?;
        request.set_uri(self.config.url.reveal()).map_err(unfit)?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", "application/json").map_err(unfit)?;
        for (name, value) in &self.config.headers {
            headers.try_insert(name.clone(), value.reveal().to_owned()).map_err(unfit)?;
        }
        match self.connector.call(request).await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("answered {}", response.status().as_u16())),
            Err(_) => Err("no connection".into()),
        }
    }
}
