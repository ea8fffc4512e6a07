//! The relay, step by step, to a sink that answers as it is told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use conversationd::{
    clock::SystemClock,
    counters::Counters,
    domain::NoticeKind,
    outbox::{Filter, Rate, Registration, Schedule},
    relay::{Outlet, Relay},
    sink::{Dispatch, Outcome, Sink, Verdict},
};

use crate::house::{House, in_a_house, notice, sink};

/// How long a notice may wait.
const LAG: Duration = Duration::from_secs(600);

/// A receiver: what it got, and what it will answer; when it has nothing to answer, it takes what it gets.
#[derive(Default)]
pub struct Receiver {
    got: Mutex<Vec<(u64, i64, u32)>>,
    answers: Mutex<VecDeque<Outcome>>,
}

#[async_trait]
impl Sink for Receiver {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        let event = dispatch.notice.number("event").unwrap_or_default();
        self.got.lock().unwrap().push((event, dispatch.sequence, dispatch.attempt));
        match self.answers.lock().unwrap().pop_front() {
            None | Some(Outcome::Delivered) => Verdict::delivered(Some(200)),
            Some(outcome) => Verdict::failed(outcome, Some(500), "as told"),
        }
    }
}

impl Receiver {
    fn answering<const N: usize>(answers: [Outcome; N]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into()), ..Self::default() })
    }

    /// Event, place, attempt of everything it got.
    fn got(&self) -> Vec<(u64, i64, u32)> {
        self.got.lock().unwrap().clone()
    }
}

/// A sink of everything but alerts, with no pause between attempts.
fn outlet(name: &str, receiver: &Arc<Receiver>, attempts: usize) -> Outlet {
    let kinds = NoticeKind::ALL.iter().copied().filter(|kind| *kind != NoticeKind::Alert).collect();
    Outlet {
        registration: Registration { kinds, ..sink(name) },
        sink: receiver.clone(),
        schedule: Schedule::Steps(vec![Duration::ZERO; attempts - 1]),
        concurrency: 8,
        park: false,
        timeout: Duration::from_secs(5),
        rate: None,
    }
}

fn relay(house: &House, outlets: Vec<Outlet>) -> Relay {
    Relay::new(house.outbox.clone(), outlets, LAG, Arc::new(SystemClock), Arc::new(Counters::default()))
}

/// The relay registers its sinks at its first step; notices told before that would reach nobody.
async fn ready(house: &House, outlets: Vec<Outlet>) -> Relay {
    let relay = relay(house, outlets);
    assert_eq!(relay.run_once().await.expect("a step"), 0);
    relay
}

/// Steps until nothing is due.
async fn settle(relay: &Relay) {
    while relay.run_once().await.expect("a step") > 0 {}
}

async fn states(house: &House) -> Vec<String> {
    let rows = house.outbox.list(&Filter { limit: 100, ..Filter::default() }).await.expect("list");
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row.seq, row.state)).collect();
    rows.sort();
    rows.into_iter().map(|(_, state)| state).collect()
}

async fn state_of(house: &House, name: &str) -> (String, String) {
    let sinks = house.outbox.sinks().await.expect("sinks");
    let row = sinks.into_iter().find(|row| row.name == name).expect("the sink");
    (row.state, row.breaker)
}

const RETRY: Outcome = Outcome::Retry { after: None };

#[tokio::test]
async fn everything_arrives_in_order_with_its_place_and_attempt() {
    in_a_house(async |house| {
        let receiver = Receiver::answering([Outcome::Delivered, RETRY, RETRY, Outcome::Delivered]);
        let relay = ready(&house, vec![outlet("a", &receiver, 10)]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(1, 3)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(receiver.got(), [(1, 1, 1), (2, 2, 1), (2, 2, 2), (2, 2, 3), (3, 3, 1)]);
        assert_eq!(states(&house).await, ["delivered"; 3]);
        assert_eq!(state_of(&house, "a").await, ("enabled".into(), "closed".into()));
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_or_exhausted_is_given_up_and_an_alert_says_so_once() {
    in_a_house(async |house| {
        let refused = Outcome::Refused { tries: 1 };
        let receiver = Receiver::answering([refused, RETRY, RETRY, refused, Outcome::Delivered]);
        let on_call = Arc::new(Receiver::default());
        let alerts = Outlet {
            registration: Registration { kinds: vec![NoticeKind::Alert], ..sink("on-call") },
            ..outlet("on-call", &on_call, 2)
        };
        let relay = ready(&house, vec![outlet("a", &receiver, 2), alerts]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(1, 3), notice(1, 4)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(receiver.got(), [(1, 1, 1), (2, 2, 1), (2, 2, 2), (3, 3, 1), (4, 4, 1)]);
        let filter = Filter { sink: Some("a".into()), states: Some(vec!["dead"]), limit: 10, ..Filter::default() };
        assert_eq!(house.outbox.list(&filter).await.expect("list").len(), 3);
        assert_eq!(on_call.got().len(), 1, "three were given up within an hour");
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_parks_stops_its_lane_and_no_other() {
    in_a_house(async |house| {
        let receiver = Receiver::answering([Outcome::Refused { tries: 1 }]);
        let relay = ready(&house, vec![Outlet { park: true, ..outlet("a", &receiver, 2) }]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell");
        settle(&relay).await;
        house.outbox.tell(&[notice(2, 3)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(receiver.got(), [(1, 1, 1), (3, 1, 1)]);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_refuses_our_key_is_paused_and_loses_nothing() {
    in_a_house(async |house| {
        let receiver = Receiver::answering([Outcome::Misconfigured]);
        let relay = ready(&house, vec![outlet("a", &receiver, 2)]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        settle(&relay).await;
        house.outbox.tell(&[notice(1, 2)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(receiver.got(), [(1, 1, 1)]);
        assert_eq!(state_of(&house, "a").await.0, "paused");
        house.outbox.resume("a").await.expect("resume");
        settle(&relay).await;
        assert_eq!(receiver.got(), [(1, 1, 1), (1, 1, 1), (2, 2, 1)], "no attempt was counted");
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_is_gone_is_disabled() {
    in_a_house(async |house| {
        let receiver = Receiver::answering([Outcome::Gone]);
        let relay = ready(&house, vec![outlet("a", &receiver, 2)]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(state_of(&house, "a").await.0, "disabled");
        assert_eq!(house.outbox.tell(&[notice(1, 2)]).await.expect("tell"), 0);
    })
    .await;
}

#[tokio::test]
async fn an_outage_opens_the_breaker_burns_no_attempts_and_ends_with_one_probe() {
    in_a_house(async |house| {
        let receiver = Receiver::answering([RETRY; 5]);
        let relay = ready(&house, vec![Outlet { concurrency: 1, ..outlet("a", &receiver, 10) }]).await;
        house.outbox.tell(&[notice(1, 1), notice(2, 2), notice(3, 3)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(receiver.got().len(), 5);
        assert_eq!(state_of(&house, "a").await.1, "open");
        house.script("update outbox_sink set open_until = now() - interval '1 second'").await;
        assert_eq!(relay.run_once().await.expect("a step"), 1, "the probe");
        assert_eq!(state_of(&house, "a").await.1, "closed");
        settle(&relay).await;
        assert_eq!(states(&house).await, ["delivered"; 3]);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_notice_that_kills_its_process_each_time_is_given_up() {
    in_a_house(async |house| {
        let receiver = Arc::new(Receiver::default());
        let relay = ready(&house, vec![outlet("a", &receiver, 3)]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell");
        // three claims that nobody settled: three crashes
        house.script("update outbox_lane set attempts = 3").await;
        settle(&relay).await;
        assert_eq!(receiver.got(), [(2, 2, 1)]);
        assert_eq!(states(&house).await, ["dead", "delivered"]);
        house.is_sound().await;
    })
    .await;
}

/// Panics, or never answers.
struct Broken {
    panics: bool,
}

#[async_trait]
impl Sink for Broken {
    async fn send(&self, _: &Dispatch<'_>) -> Verdict {
        assert!(!self.panics, "a defect of a sink");
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_sink_that_panics_or_never_answers_holds_up_nobody() {
    in_a_house(async |house| {
        let well = Arc::new(Receiver::default());
        let broken = |name, panics| Outlet {
            sink: Arc::new(Broken { panics }),
            timeout: Duration::from_millis(50),
            ..outlet(name, &well, 1)
        };
        let outlets = vec![broken("panics", true), broken("hangs", false), outlet("well", &well, 1)];
        let relay = ready(&house, outlets).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        settle(&relay).await;
        assert_eq!(well.got().len(), 1);
        let filter = Filter { states: Some(vec!["dead"]), limit: 10, ..Filter::default() };
        let dead = house.outbox.list(&filter).await.expect("list");
        let mut reasons: Vec<_> = dead.iter().filter_map(|row| row.last_reason.as_deref()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["no answer in time", "the attempt panicked"]);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn the_loop_sends_what_comes_and_ends_when_it_is_told_to() {
    in_a_house(async |house| {
        let receiver = Arc::new(Receiver::default());
        let relay = Arc::new(ready(&house, vec![outlet("a", &receiver, 2)]).await);
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn(relay.run(stop.clone()));
        for event in 1..=20 {
            house.outbox.tell(&[notice(u128::from(event % 3), event)]).await.expect("tell");
        }
        let delivered = "select count(*) from outbox_dispatch where state = 'delivered'";
        while house.number(delivered).await < 20 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.expect("it ends");
        assert_eq!(receiver.got().len(), 20);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_person_hears_of_dead_letters_and_of_sinks_that_lag_once_an_hour() {
    in_a_house(async |house| {
        let (ill, on_call) = (Arc::new(Receiver::default()), Arc::new(Receiver::default()));
        let alerts = Outlet {
            registration: Registration { kinds: vec![NoticeKind::Alert], ..sink("on-call") },
            ..outlet("on-call", &on_call, 2)
        };
        let counters = Arc::new(Counters::default());
        let outlets = vec![outlet("ill", &ill, 2), alerts];
        let relay = Relay::new(house.outbox.clone(), outlets, LAG, Arc::new(SystemClock), counters.clone());
        relay.run_once().await.expect("a step");
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        let rules = async || {
            relay.look().await.expect("a look");
            let sql = "select array_agg(content ->> 'rule' order by content ->> 'rule') from outbox_notice where kind = 'alert.raised'";
            sqlx::query_scalar::<_, Option<Vec<String>>>(sql).fetch_one(&house.pool).await.expect("rules").unwrap_or_default()
        };
        assert!(rules().await.is_empty(), "nothing is wrong yet");
        house.script("update outbox_dispatch set created_at = now() - interval '11 minutes'").await;
        assert_eq!(rules().await, ["outbox_lag"]);
        counters.dead_lettered.add(2);
        for _ in 0..3 {
            assert_eq!(rules().await, ["dead_letters", "outbox_lag"]);
        }
        settle(&relay).await;
        assert_eq!((ill.got().len(), on_call.got().len()), (1, 2), "the one that lags is not told of it");
        house.is_sound().await;
    })
    .await;
}

/// Half an hour passes, for leases, pauses and breakers.
const HALF_AN_HOUR: &str = "
    update outbox_lane set due_at = due_at - interval '30 minutes', leased_until = leased_until - interval '30 minutes';
    update outbox_sink
    set open_until = open_until - interval '30 minutes', failing_since = failing_since - interval '30 minutes'";

#[tokio::test]
async fn a_sink_that_is_down_for_a_day_gets_everything_in_order_afterwards_and_was_asked_seldom() {
    in_a_house(async |house| {
        const LANES: u128 = 6;
        let receiver = Receiver::answering([RETRY; 1_000]);
        let outlet = Outlet { schedule: Schedule::webhook(), ..outlet("a", &receiver, 10) };
        let relay = ready(&house, vec![outlet]).await;
        for half_hour in 0..48 {
            let told: Vec<_> = (0..LANES).map(|lane| notice(lane, half_hour)).collect();
            house.outbox.tell(&told).await.expect("tell");
            settle(&relay).await;
            house.script(HALF_AN_HOUR).await;
        }
        assert_eq!(states(&house).await, ["pending"; 100], "as many as were asked for: none is given up");
        assert_eq!(state_of(&house, "a").await.0, "enabled");
        let tried = receiver.got().len();
        assert!(tried < 60, "{tried} requests to a sink that is down");
        assert_eq!(house.number("select count(*) from outbox_dispatch where attempts > 0").await, LANES as i64);

        receiver.answers.lock().unwrap().clear();
        for _ in 0..48 {
            house.script(HALF_AN_HOUR).await;
            settle(&relay).await;
        }
        assert_eq!(house.number("select count(*) from outbox_dispatch where state <> 'delivered'").await, 0);
        let delivered = receiver.got().split_off(tried);
        assert_eq!(delivered.len(), 48 * LANES as usize, "each once");
        let mut places = std::collections::BTreeMap::<i64, u32>::new();
        for (event, place, _) in delivered {
            assert_eq!(event as i64 + 1, place);
            *places.entry(place).or_default() += 1;
            let before = places.get(&(place - 1)).copied().unwrap_or(LANES as u32);
            assert!(places[&place] <= before, "no lane is at a place that it was not at before");
        }
        assert!(places.values().all(|count| *count == LANES as u32));
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_is_down_for_a_week_loses_nothing_and_goes_on_once_it_is_resumed() {
    in_a_house(async |house| {
        let receiver = Receiver::answering([RETRY; 1_000]);
        // far fewer attempts than a week has probes
        let relay = ready(&house, vec![outlet("a", &receiver, 5)]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(2, 1)]).await.expect("tell");
        for _ in 0..(7 * 48) {
            settle(&relay).await;
            house.script(HALF_AN_HOUR).await;
        }
        assert_eq!(states(&house).await, ["pending"; 3], "an outage gives nothing up");
        assert_eq!(state_of(&house, "a").await.0, "disabled", "for longer than 120 hours");
        assert!(receiver.got().len() > 50, "it was asked again and again until then");

        let tried = receiver.got().len();
        receiver.answers.lock().unwrap().clear();
        house.outbox.resume("a").await.expect("resume");
        settle(&relay).await;
        assert_eq!(receiver.got().len(), tried + 3);
        assert_eq!(states(&house).await, ["delivered"; 3]);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn replicas_share_what_a_sink_allows_and_an_idle_one_uses_none_of_it() {
    in_a_house(async |house| {
        let receiver = Arc::new(Receiver::default());
        let rate = Some(Rate { per_window: 10, per_day: 1_000 });
        let replica = async || ready(&house, vec![Outlet { rate, ..outlet("a", &receiver, 3) }]).await;
        let (one, other) = (replica().await, replica().await);
        for _ in 0..10 {
            assert_eq!(one.run_once().await.expect("a step"), 0, "nothing is due");
        }
        house.outbox.tell(&(0..20).map(|lane| notice(lane, 1)).collect::<Vec<_>>()).await.expect("tell");
        let sent = one.run_once().await.expect("a step") + other.run_once().await.expect("a step");
        assert!((5..=6).contains(&sent), "half of the window at once: {sent}");
        for _ in 0..40 {
            house.script("update outbox_sink set tokens_at = tokens_at - interval '1 second'").await;
            settle(&other).await;
        }
        assert_eq!(states(&house).await, ["delivered"; 20]);
        house.is_sound().await;
    })
    .await;
}
