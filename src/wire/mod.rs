//! The calls made for every message, straight to the wire: without the SDK's layers around each, which cost more than all that
//! is done with a message.
//!
//! Where, as whom and over which connections is not decided here: a [`Wire`] learns it from the first request that the SDK
//! itself sends. Nothing is retried, mended or explained here either. Whatever is not a plain success is `None`: the caller
//! then asks through the SDK, which does all that, and for a while so do all others.

mod sign;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aws_sdk_sqs::{
    config::{
        ConfigBag, Credentials, Intercept, ResolveCachedIdentity, RuntimeComponents,
        interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{
    auth::{AuthScheme, AuthSchemeId},
    http::{HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector},
    identity::SharedIdentityResolver,
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::clock::Clock;
use sign::{JSON, Scope, Signable, Signer};

/// How long everything goes through the SDK after a call that did not succeed: a service that throttles is not asked twice, and
/// what only the SDK can mend is left to it.
const REST: Duration = Duration::from_secs(10);

/// Making a connection may take this long.
const CONNECT: Duration = Duration::from_secs(3);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The refusal that is an answer.
const CONDITION: &str = "ConditionalCheckFailedException";

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done; the body.
    Done(Bytes),
    /// The condition of a write did not hold.
    ConditionFailed,
}

/// A way to one service.
#[derive(Clone)]
pub struct Wire(Arc<Inner>);

struct Inner {
    /// What the names of operations begin with, such as `AmazonSQS.`.
    prefix: &'static str,
    /// Told of every request that leaves.
    count: Box<dyn Fn() + Send + Sync>,
    clock: Arc<dyn Clock>,
    learnt: OnceLock<Learnt>,
    signer: Signer,
    rests_until: Mutex<Option<Instant>>,
}

/// What a request of the SDK showed.
struct Learnt {
    url: String,
    host: String,
    scope: Scope,
    connector: SharedHttpConnector,
    /// Whose keys these are is asked anew each time, of the SDK's own cache.
    identities: SharedIdentityResolver,
    components: RuntimeComponents,
}

impl Wire {
    /// One that has learnt nothing yet. `count` is told of every request.
    pub fn new(prefix: &'static str, clock: Arc<dyn Clock>, count: impl Fn() + Send + Sync + 'static) -> Self {
        let (learnt, signer, rests_until) = (OnceLock::new(), Signer::default(), Mutex::default());
        Self(Arc::new(Inner { prefix, count: Box::new(count), clock, learnt, signer, rests_until }))
    }

    /// Calls `operation`. `None`: ask through the SDK; the call may have been made.
    pub async fn call(&self, operation: &str, asked: &impl Serialize, patience: Duration) -> Option<Answer> {
        let learnt = self.0.learnt.get()?;
        if self.0.rests_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let body = serde_json::to_vec(asked).ok()?;
        let answer = timeout(patience, self.0.send(learnt, operation, body)).await.ok().flatten();
        if answer.is_none() {
            debug!(operation, "a call did not succeed; it goes on through the SDK");
            *self.0.rests_until() = Some(Instant::now() + REST);
        }
        answer
    }
}

impl Inner {
    async fn send(&self, learnt: &Learnt, operation: &str, body: Vec<u8>) -> Option<Answer> {
        let identity = learnt.components.identity_cache();
        let identity = identity
            .resolve_cached_identity(learnt.identities.clone(), &learnt.components, &ConfigBag::base())
            .await
            .ok()?;
        let target = [self.prefix, operation].concat();
        let what = Signable { host: &learnt.host, target: &target, body: &body, at: self.clock.now() };
        let signed = self.signer.sign(&learnt.scope, identity.data::<Credentials>()?, &what);
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").ok()?;
        request.set_uri(learnt.url.as_str()).ok()?;
        let headers = request.headers_mut();
        headers.insert("content-type", JSON);
        headers.insert("user-agent", USER_AGENT);
        for (name, value) in [
            ("host", learnt.host.clone()),
            ("x-amz-date", signed.date),
            ("x-amz-target", target),
            ("authorization", signed.authorization),
        ] {
            headers.try_insert(name, value).ok()?;
        }
        if let Some(token) = signed.token {
            headers.try_insert("x-amz-security-token", token).ok()?;
        }
        (self.count)();
        let response = learnt.connector.call(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        match status {
            200 => Some(Answer::Done(body)),
            400 if is_condition(&body) => Some(Answer::ConditionFailed),
            _ => None,
        }
    }

    fn rests_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_condition(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: String,
    }
    let refusal = serde_json::from_slice::<Refusal>(body);
    refusal.is_ok_and(|refusal| refusal.code.rsplit('#').next() == Some(CONDITION))
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.0.prefix)
    }
}

/// An interceptor of the SDK's client: learns from its requests.
impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.learnt.get().is_none()
            && let Some(learnt) = Learnt::from(context, components)
        {
            let _ = self.0.learnt.set(learnt); // another request was quicker, and showed the same
        }
        Ok(())
    }
}

impl Learnt {
    /// `None` for a request of another kind than those that are made here: it is then the SDK that makes them all.
    fn from(context: &BeforeTransmitInterceptorContextRef<'_>, components: &RuntimeComponents) -> Option<Self> {
        let request = context.request();
        let (scheme, rest) = request.uri().split_once("://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() || host.is_empty() || request.headers().get("content-type") != Some(JSON) {
            return None;
        }
        let usual_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(usual_port).unwrap_or(host).to_owned();
        let scope = Scope::of(request.headers().get("authorization")?)?;
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).build();
        let connector = components.http_client()?.http_connector(&settings, components);
        let identities = components.auth_scheme(AuthSchemeId::from("sigv4"))?.identity_resolver(components)?;
        let (url, components) = (format!("{scheme}://{host}/"), components.clone());
        Some(Self { url, host, scope, connector, identities, components })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_condition_is_told_from_all_other_refusals() {
        for (body, is) in [
            (r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"x"}"#, true),
            (r#"{"__type":"ConditionalCheckFailedException"}"#, true),
            (r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#, false),
            (r#"{"message":"ConditionalCheckFailedException"}"#, false),
            ("", false),
        ] {
            assert_eq!(is_condition(body.as_bytes()), is, "{body}");
        }
    }
}
