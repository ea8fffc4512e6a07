//! AWS clients: one TLS stack, endpoints and credentials from the environment as every AWS tool reads them, every call counted.

use std::{sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_sqs::config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::{counters::Counters, queue::SqsClients};

/// A quick call that takes longer than this is tried again.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A quick call, with its retries, gives up after this: well within a lease.
const OPERATION: Duration = Duration::from_secs(10);

/// A long poll's answer may come this much after the wait.
const AFTER_WAIT: Duration = Duration::from_secs(5);

/// Where the services are, beyond what the environment says by itself.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Region of the queues.
    pub queue_region: Option<String>,
    /// Region of the table.
    pub table_region: Option<String>,
}

/// The clients.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For queues.
    pub sqs: SqsClients,
    /// For the table.
    pub dynamodb: aws_sdk_dynamodb::Client,
}

impl Clients {
    /// Builds clients whose long polls wait for `wait`, and which count their calls.
    pub async fn build(endpoints: &Endpoints, wait: Duration, counters: &Arc<Counters>) -> Self {
        let shared = shared().await;
        let sqs = |timeouts, retries| {
            let config = aws_sdk_sqs::config::Builder::from(&shared)
                .timeout_config(timeouts)
                .retry_config(retries)
                .interceptor(Count { counters: counters.clone(), add: |counters| counters.sqs_calls.add(1) });
            aws_sdk_sqs::Client::from_conf(with_region(config, &endpoints.queue_region).build())
        };
        let with_region_dynamodb = |config: aws_sdk_dynamodb::config::Builder| match &endpoints.table_region {
            Some(region) => config.region(Region::new(region.clone())),
            None => config,
        };
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared)
            .timeout_config(quick())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .interceptor(Count { counters: counters.clone(), add: |counters| counters.dynamodb_calls.add(1) });
        let poll = TimeoutConfig::builder().operation_attempt_timeout(wait + AFTER_WAIT).build();
        Self {
            sqs: SqsClients {
                poll: sqs(poll, RetryConfig::disabled()),
                control: sqs(quick(), RetryConfig::standard().with_max_attempts(3)),
            },
            dynamodb: aws_sdk_dynamodb::Client::from_conf(with_region_dynamodb(dynamodb).build()),
        }
    }
}

fn with_region(config: aws_sdk_sqs::config::Builder, region: &Option<String>) -> aws_sdk_sqs::config::Builder {
    match region {
        Some(region) => config.region(Region::new(region.clone())),
        None => config,
    }
}

fn quick() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build()
}

async fn shared() -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    // a stream that stalls is cut off by the time limit of its attempt
    let unwatched = StalledStreamProtectionConfig::disabled();
    let config = aws_config::defaults(BehaviorVersion::latest()).stalled_stream_protection(unwatched);
    config.http_client(http).load().await
}

/// Counts every request that leaves, retries included.
struct Count {
    counters: Arc<Counters>,
    add: fn(&Counters),
}

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Count")
    }
}

impl Intercept for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_sqs::error::BoxError> {
        (self.add)(&self.counters);
        Ok(())
    }
}
