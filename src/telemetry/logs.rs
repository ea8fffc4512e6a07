//! Logs and error reports: structured, and free of personal data.
//!
//! A log line carries ids, counts and codes. Bodies, texts and contacts never get as far as a log call; libraries, which would
//! show requests, are not heard below `info`; what reaches Sentry are errors, cut down to level, message, module and ids,
//! whatever an integration added.

use std::io::IsTerminal;

use sentry::{
    ClientInitGuard, ClientOptions,
    integrations::tracing::ErrorLayer,
    protocol::{Context, Event},
};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::panics;
use crate::config::{LogConfig, LogFormat};

/// What a report may say beside its message: ids and places, never a value that came from outside.
const REPORTED: [&str; 7] =
    ["sqs.message_id", "conversation.id", "event.id", "notice.id", "attempts", "code", panics::LOCATION];

/// Starts logging to stderr and, with a DSN, error reports. Keep what is returned until the end: dropping it sends the last report.
pub fn start(config: &LogConfig) -> Option<ClientInitGuard> {
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
    let reports = guard.as_ref().map(|_| ErrorLayer::new().with_filter(LevelFilter::ERROR));
    let (wanted, heard) = (EnvFilter::new(&config.filter), filter_fn(may_be_heard));
    tracing_subscriber::registry().with(wanted).with(heard).with(lines).with(reports).init();
    panics::log();
    guard
}

/// Libraries show bodies, headers and statements below `info`, and sqlx statements at `info`: no setting makes them.
fn may_be_heard(line: &Metadata<'_>) -> bool {
    let room = |name: &str| line.target() == name || line.target().starts_with(&format!("{name}::"));
    match () {
        () if room("conversationd") => true,
        () if room("sqlx") => *line.level() <= Level::WARN,
        () => *line.level() <= Level::INFO,
    }
}

/// Only what is known to be free of personal data leaves.
fn scrubbed(event: Event<'static>) -> Event<'static> {
    let fields = event.contexts.into_iter().filter_map(|(name, context)| match context {
        Context::Other(fields) => {
            let fields = fields.into_iter().filter(|(name, _)| REPORTED.contains(&name.as_str())).collect();
            Some((name, Context::Other(fields)))
        }
        _ => None,
    });
    Event {
        event_id: event.event_id,
        level: event.level,
        timestamp: event.timestamp,
        platform: event.platform,
        release: event.release,
        logger: event.logger,
        message: event.message,
        contexts: fields.collect(),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use sentry::protocol::{Exception, User};

    use super::*;

    #[test]
    fn a_report_says_what_happened_and_nothing_of_whom() {
        let canary = "whatsapp:+5511999990000";
        let mut event = Event { message: Some("turn failed".into()), ..Event::default() };
        event.user = Some(User { id: Some(canary.into()), ..User::default() });
        event.extra.insert("body".into(), canary.into());
        event.tags.insert("contact".into(), canary.into());
        let fields = [("contact".to_owned(), canary.into()), ("sqs.message_id".to_owned(), "m-1".into())];
        event.contexts.insert("turn".into(), Context::Other(fields.into()));
        event.exception = vec![Exception { value: Some(canary.into()), ..Exception::default() }].into();
        let sent = serde_json::to_string(&scrubbed(event)).expect("json");
        assert!(sent.contains("turn failed") && sent.contains("m-1") && !sent.contains("5511999990000"), "{sent}");
    }
}
