//! The push, as a collector sees it.

use crate::{
    collector::Collector,
    daemon::{CANARY_CONTACT, CANARY_TEXT, Daemon, Thread, until, until_settled},
    site::on_a_site,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_told_everything_and_at_the_end_once_more() {
    on_a_site(|site| async move {
        let collector = Collector::serve().await;
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ];
        let daemon = Daemon::start(&site, &settings).await;
        until("a push while it runs", || async { !collector.pushed().is_empty() }).await;
        let thread = Thread::new();
        thread.publish(&site, &[thread.says("m1"), thread.says("m2"), thread.closes()], None).await;
        until_settled(&site).await;
        let log = daemon.said("");
        daemon.signal("TERM").await;
        assert!(daemon.ended().await.success());

        let pushed = collector.pushed();
        assert!(pushed.windows(2).all(|pair| {
            let settled = |n: usize| pair[n].count("conversationd.deliveries.settled");
            settled(0) <= settled(1)
        }));
        let last = pushed.last().expect("a push");
        assert_eq!(last.line, "POST /v1/metrics");
        assert_eq!(last.headers["content-type"], "application/json");
        assert_eq!(last.headers["authorization"], "Bearer hunter2");
        assert_eq!(last.attribute("service.name").as_deref(), Some("conversationd"));
        assert_eq!(last.attribute("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(last.attribute("deployment.environment.name").as_deref(), Some("test"));
        assert!(last.attribute("service.instance.id").is_some_and(|id| id.len() == 36));
        for (name, count) in [
            ("messaging.client.consumed.messages", 3),
            ("conversationd.deliveries.settled", 3),
            ("conversationd.messages.stored", 2),
            ("conversationd.conversations.archived", 1),
            ("conversationd.queue.age", 3),
            ("conversationd.held.deliveries", 0),
            ("conversationd.pollers", 0),
        ] {
            assert_eq!(last.count(name), count, "{name}");
        }
        assert!(last.point("conversationd.queue.age")["sum"].as_f64().is_some_and(|sum| sum > 0.0));
        let text: String = pushed.iter().map(|pushed| pushed.text.as_str()).collect();
        for canary in [CANARY_TEXT, CANARY_CONTACT, "hunter2"] {
            assert!(!text.contains(canary) && !format!("{log:?}").contains(canary), "{canary}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_told_of_once_and_disturbs_nothing() {
    on_a_site(|site| async move {
        let collector = Collector::serve().await;
        collector.answer_with(503);
        let settings =
            [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", collector.url.as_str()), ("OTEL_METRIC_EXPORT_INTERVAL", "100")];
        let daemon = Daemon::start(&site, &settings).await;
        until("pushes that fail", || async { collector.pushed().len() > 5 }).await;
        let thread = Thread::new();
        thread.publish(&site, &[thread.says("m1")], None).await;
        until_settled(&site).await;
        assert_eq!(daemon.said("metrics could not be pushed").len(), 1);
        assert_eq!(daemon.said("metrics could not be pushed")[0]["reason"], "answered 503");

        collector.answer_with(200);
        daemon.says("metrics are pushed again").await;
        let told =
            async || collector.pushed().last().is_some_and(|last| last.count("conversationd.deliveries.settled") == 1);
        until("what happened meanwhile is told", told).await;
        daemon.signal("TERM").await;
        assert!(daemon.ended().await.success());
    })
    .await;
}
