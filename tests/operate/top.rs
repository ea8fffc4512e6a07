//! Stories of `top`: a replica that runs is seen by what it writes, and what cannot be read says why.

use std::time::Duration;

use conversationd::{
    fleet::State,
    operate::top::{Part, Snapshot},
};
use tokio::time::{Instant, sleep};

use crate::site::{Site, on_a_site};

async fn top(site: &Site, settings: &[(&str, &str)]) -> Snapshot {
    let said = site.run_with(&["top", "--json"], settings, "").await;
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("a snapshot")
}

/// Asks until what is seen is `so`; a daemon writes it in its own time.
async fn seen(site: &Site, what: &str, so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let snapshot = top(site, &[]).await;
        if so(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < until, "{what} was not seen: {snapshot:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_replica_is_seen_at_work_and_when_it_has_stopped() {
    on_a_site(async |site| {
        let event = include_str!("../fixtures/events/message_received.json").replace('\n', " ");
        assert_eq!(site.run_with(&["publish", "-"], &[], &event).await.code, 0);
        let waits = top(&site, &[]).await;
        assert_eq!(waits.queue.known().map(|depth| depth.waiting), Some(1));
        assert_eq!(waits.replicas, Part::Known(Vec::new()));

        let mut daemon = site.command(&["run"]).env("CONVERSATIOND_BEAT_SECONDS", "1").spawn().expect("spawn");
        let works = seen(&site, "a message", |snapshot| snapshot.total(|beat| beat.totals.messages) == 1).await;
        let beat = works.running().next().expect("a replica");
        let told = site.run(&["--version"]).await.out;
        assert_eq!(told.trim_end().strip_prefix("conversationd "), Some(beat.version.as_str()), "the same text");
        assert_eq!(beat.recent.projects.iter().map(|(_, count)| count).sum::<u64>(), 1);
        assert!(beat.totals.sqs_calls > 0 && works.cost() > 0.0);
        assert!(matches!(works.sinks, Part::Known(_)), "{:?}", works.sinks);
        let shown = site.run(&["top", "--once", "--view", "replicas"]).await;
        assert!(shown.out.contains("1 replica run") && shown.out.contains("running"), "{}", shown.out);

        site.run(&["pause", "--reason", "a deployment"]).await;
        seen(&site, "the pause", |snapshot| {
            snapshot.told.known().is_some_and(|told| told.paused_since.is_some())
                && snapshot.running().all(|beat| beat.levels.paused)
        })
        .await;

        let pid = daemon.id().expect("a process").to_string();
        let told = tokio::process::Command::new("kill").arg(pid).status().await.expect("kill");
        assert!(told.success());
        assert!(daemon.wait().await.expect("an end").success());
        let ended = top(&site, &[]).await;
        let states: Vec<State> = ended.replicas.known().expect("replicas").iter().map(|beat| beat.state).collect();
        assert_eq!(states, [State::Stopped]);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_says_why_and_hides_nothing_else() {
    on_a_site(async |site| {
        let settings = [
            ("CONVERSATIOND_HOT_STORE", "dynamodb"),
            ("DYNAMODB_MESSAGE_TABLE", "none-such"),
            ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x"),
        ];
        let snapshot = top(&site, &settings).await;
        assert_eq!(snapshot.queue.known().map(|depth| depth.waiting), Some(0));
        assert!(
            matches!(&snapshot.replicas, Part::Unknown(why) if why.contains("NotFound")),
            "{:?}",
            snapshot.replicas
        );
        assert!(matches!(&snapshot.letters, Part::Unknown(_)) && matches!(&snapshot.sinks, Part::Unknown(_)));
        let shown = site.run_with(&["top", "--once"], &settings, "").await;
        assert!(shown.out.contains("not known") && !shown.out.contains("hunter2"), "{}", shown.out);
        let unset = top(&site, &[("SQS_CONVERSATION_QUEUE_URL", "")]).await;
        assert!(matches!(&unset.queue, Part::Unknown(why) if why.contains("SQS_CONVERSATION_QUEUE_URL")));
        assert!(matches!(unset.replicas, Part::Known(_)));
    })
    .await;
}

#[tokio::test]
async fn without_a_terminal_it_says_what_to_do_instead() {
    on_a_site(async |site| {
        let said = site.run(&["top"]).await;
        assert_eq!(said.code, 1);
        assert!(said.err.contains("--once"), "{}", said.err);
    })
    .await;
}
