//! Alerts into a chat channel: `{"text": …}`, as Slack's incoming webhooks take them, and others after them.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use url::Url;

use super::{Dispatch, Http, Outcome, Shared, Sink, Verdict, http::Outgoing};
use crate::{config::SecretRef, domain::Notice};

/// The sink.
pub(super) struct Alert {
    url: SecretRef,
    http: Arc<Http>,
}

impl Alert {
    pub(super) fn new(url: &SecretRef, shared: &Shared) -> Self {
        Self { url: url.clone(), http: shared.http.clone() }
    }
}

#[async_trait]
impl Sink for Alert {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        let url = self.url.read().and_then(|url| url.reveal().parse::<Url>().ok());
        let Some(url) = url.filter(|url| url.scheme() == "https" || self.http.allows_http()) else {
            return Verdict::failed(Outcome::Misconfigured, None, "the secret is no https: URL");
        };
        let body = json!({ "text": text(dispatch.notice) }).to_string().into_bytes();
        let headers = vec![("content-type", "application/json".to_owned())];
        Verdict::of_http(&self.http.send(Outgoing { method: "POST", url: &url, headers, body }).await)
    }
}

/// What a person reads. Names nobody: a conversation stands for it.
fn text(notice: &Notice) -> String {
    let part = |name: &str| notice.text(name).map(escaped);
    match (part("rule"), part("subject"), part("text")) {
        (Some(rule), Some(subject), Some(text)) => format!("*{rule}* {subject}: {text}"),
        _ => {
            let conversation = notice.conversation.map(|id| format!(" {id}")).unwrap_or_default();
            let score = notice.number("score").map(|score| format!(", score {score}")).unwrap_or_default();
            format!("{}{conversation}{score}", notice.kind.as_str())
        }
    }
}

/// What would be markup, as text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::shape::testing::{noon, rated};

    #[test]
    fn an_alert_names_its_rule_and_nobody_can_mention_the_channel_by_it() {
        let alert = Notice::alert_of_sink("sink_paused", "<!channel>", "refused our key", noon());
        assert_eq!(text(&alert), "*sink_paused* &lt;!channel&gt;: refused our key");
        assert!(!text(&rated(crate::domain::RatingKind::Csat, 1)).contains("5511"));
    }
}
