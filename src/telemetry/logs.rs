//! Logs and error reports: structured, and free of personal data.
//!
//! A log line carries ids, counts and codes. Bodies, texts and contacts never get as far as a log call; what reaches Sentry
//! is cut down to level, message, module and ids, whatever an integration added.

use std::io::IsTerminal;

use sentry::{ClientInitGuard, ClientOptions, integrations::tracing::ErrorLayer, protocol::Event};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// Wire logging of the SDK shows bodies and never goes below this.
const SDK_DIRECTIVES: [&str; 3] = ["aws_smithy_runtime=info", "hyper_util=info", "sqlx=warn"];

/// Starts logging to stderr and, with a DSN, error reports. Keep what is returned until the end: dropping it sends the last report.
pub fn start(config: &LogConfig) -> Option<ClientInitGuard> {
    let mut filter = EnvFilter::new(&config.filter);
    for directive in SDK_DIRECTIVES {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Pretty => lines.compact().with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let guard = config.sentry_dsn.as_ref().map(|dsn| {
        let options = ClientOptions::new()
            .dsn(dsn.reveal())
            .release(concat!("conversationd@", env!("CARGO_PKG_VERSION")))
            .send_default_pii(false)
            .max_breadcrumbs(0)
            .before_send(|event| Some(scrubbed(event)));
        sentry::init(options)
    });
    let reports = guard.as_ref().map(|_| ErrorLayer::new());
    tracing_subscriber::registry().with(filter).with(lines).with(reports).init();
    guard
}

/// Only what is known to be free of personal data leaves.
fn scrubbed(event: Event<'static>) -> Event<'static> {
    Event {
        event_id: event.event_id,
        level: event.level,
        timestamp: event.timestamp,
        platform: event.platform,
        release: event.release,
        logger: event.logger,
        message: event.message,
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use sentry::protocol::{Context, Exception, User};

    use super::*;

    #[test]
    fn a_report_says_what_happened_and_nothing_of_whom() {
        let canary = "whatsapp:+5511999990000";
        let mut event = Event { message: Some("turn failed".into()), ..Event::default() };
        event.user = Some(User { id: Some(canary.into()), ..User::default() });
        event.extra.insert("body".into(), canary.into());
        event.tags.insert("contact".into(), canary.into());
        event.contexts.insert("turn".into(), Context::Other([("contact".to_owned(), canary.into())].into()));
        event.exception = vec![Exception { value: Some(canary.into()), ..Exception::default() }].into();
        let sent = serde_json::to_string(&scrubbed(event)).expect("json");
        assert!(sent.contains("turn failed") && !sent.contains("5511999990000"), "{sent}");
    }
}
