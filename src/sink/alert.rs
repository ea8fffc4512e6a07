//! Alerts: into a chat channel as `{"text": …}`, as Slack's incoming webhooks take them, and others after them; or signed, to
//! whoever verifies what it gets.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use url::Url;

use super::{Dispatch, Outcome, Shared, Sink, Verdict, shape, webhook};
use crate::{
    clock::Clock,
    config::{AlertRules, SecretRef},
    domain::{Notice, NoticeKind},
    http::{Http, Outgoing},
};

/// The sink.
pub(super) struct Alert {
    url: SecretRef,
    secret: Option<SecretRef>,
    rules: AlertRules,
    http: Arc<Http>,
    clock: Arc<dyn Clock>,
}

impl Alert {
    pub(super) fn new(url: &SecretRef, secret: Option<SecretRef>, rules: AlertRules, shared: &Shared) -> Self {
        let (http, clock) = (shared.http.clone(), shared.clock.clone());
        Self { url: url.clone(), secret, rules, http, clock }
    }
}

#[async_trait]
impl Sink for Alert {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        if !is_worth_it(dispatch.notice, &self.rules) {
            return Verdict::not_for_it();
        }
        let url = self.url.read().and_then(|url| url.reveal().parse::<Url>().ok());
        let Some(url) = url.filter(|url| url.scheme() == "https" || self.http.allows_http()) else {
            return Verdict::failed(Outcome::Misconfigured, None, "the secret is no https: URL");
        };
        let Some(secret) = &self.secret else {
            let body = json!({ "text": text(dispatch.notice) });
            return Verdict::of_http(&self.http.send(Outgoing::json(&url, None, &body)).await);
        };
        let body = shape::notice(dispatch).to_string().into_bytes();
        let headers = match webhook::signed(secret, dispatch, self.clock.now(), &body) {
            Ok(headers) => headers,
            Err(verdict) => return verdict,
        };
        Verdict::of_http(&self.http.send(Outgoing { method: "POST", url: &url, headers, body }).await)
    }
}

/// Whether the rules want a person to hear of it. Without a rule about scores, or about time, whatever the sink takes is worth
/// it.
fn is_worth_it(notice: &Notice, rules: &AlertRules) -> bool {
    match notice.kind {
        NoticeKind::Rated if rules.csat_at_most.is_some() || rules.nps_at_most.is_some() => {
            let most = match notice.text("rating") {
                Some("csat") => rules.csat_at_most,
                Some("nps") => rules.nps_at_most,
                _ => None,
            };
            most.zip(notice.number("score")).is_some_and(|(most, score)| score <= u64::from(most))
        }
        // another sink's rule may have asked for another age
        NoticeKind::OpenForLong => rules.open_for.is_none_or(|age| notice.open_for() == Some(age)),
        _ => true,
    }
}

/// What a person reads. Names nobody: a conversation stands for it.
fn text(notice: &Notice) -> String {
    let part = |name: &str| notice.text(name).map(escaped);
    match (part("rule"), part("subject"), part("text")) {
        (Some(rule), Some(subject), Some(text)) => format!("*{rule}* {subject}: {text}"),
        _ if notice.kind == NoticeKind::OpenForLong => {
            let since = part("started_at").unwrap_or_default();
            let conversation = notice.conversation.map(|id| id.to_string()).unwrap_or_default();
            format!("*open_for_long* {conversation}: open since {since}")
        }
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
    use std::time::Duration;

    use crate::domain::RatingKind;
    use crate::sink::shape::testing::{noon, rated, record, thread};

    #[test]
    fn an_alert_names_its_rule_and_nobody_can_mention_the_channel_by_it() {
        let alert = Notice::alert_of_sink("sink_paused", "<!channel>", "refused our key", noon());
        assert_eq!(text(&alert), "*sink_paused* &lt;!channel&gt;: refused our key");
        assert!(!text(&rated(RatingKind::Csat, 1)).contains("5511"));
    }

    #[test]
    fn rules_of_scores_table() {
        let rules = |csat_at_most, nps_at_most| AlertRules { csat_at_most, nps_at_most, open_for: None };
        for (rules, kind, score, worth) in [
            (rules(Some(2), None), RatingKind::Csat, 2, true),
            (rules(Some(2), None), RatingKind::Csat, 3, false),
            (rules(Some(2), None), RatingKind::Nps, 0, false),
            (rules(None, Some(6)), RatingKind::Nps, 0, true),
            (rules(None, Some(6)), RatingKind::Nps, 7, false),
            (rules(None, None), RatingKind::Nps, 10, true),
        ] {
            assert_eq!(is_worth_it(&rated(kind, score), &rules), worth, "{rules:?} {kind:?} {score}");
        }
    }

    #[test]
    fn a_conversation_that_is_open_for_long_is_told_to_those_whose_age_it_reached() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        let rules = |open_for| AlertRules { open_for, ..AlertRules::default() };
        let notice = Notice::open_for_long(&thread(), &record(), hours(4));
        for (open_for, worth) in [(Some(hours(4)), true), (Some(hours(8)), false), (None, true)] {
            assert_eq!(is_worth_it(&notice, &rules(open_for)), worth, "{open_for:?}");
        }
        let id = record().id;
        assert_eq!(text(&notice), format!("*open_for_long* {id}: open since 2026-03-01T10:00:00.500Z"));
    }
}
