//! Which deliveries we hold, until when, and which of them need their visibility extended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::Receipt;
use crate::clock::Clock;

/// The deliveries held by this process.
///
/// All of them are kept hidden, done or not, until they are settled: a lapsed head would be received again beneath us (facts F2, F3).
pub struct Leases {
    visibility: Duration,
    longest: Duration,
    clock: Arc<dyn Clock>,
    held: Mutex<BTreeMap<Receipt, Lease>>,
    /// No lease lasts beyond this, on either clock; `None` for no such end.
    permitted: Mutex<Option<(Instant, DateTime<Utc>)>>,
}

/// Kept on two clocks: the monotonic one stands still while a machine is suspended, and the wall clock can be set back.
#[derive(Clone, Copy, Debug)]
struct Lease {
    taken: Instant,
    until: Instant,
    until_by_wall: DateTime<Utc>,
    /// It is being given back: nothing is written for it any more, and it is not extended.
    leaving: bool,
}

/// When deliveries were asked for: they may have been received from then on.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    at: Instant,
    by_wall: DateTime<Utc>,
    /// How long an answer may take.
    patience: Duration,
}

/// An answer may come this much after the wait that was asked for. One that comes later found this process suspended.
const AFTER_WAIT: Duration = Duration::from_secs(5);

impl Leases {
    /// Leases of `visibility` each, extended while held up to `longest` after the receipt.
    pub fn new(visibility: Duration, longest: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { visibility, longest, clock, held: Mutex::default(), permitted: Mutex::default() }
    }

    /// What each extension asks for.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// A delivery held longer than this is no longer extended.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Deliveries are about to be asked for, with such a wait.
    pub fn ask(&self, wait: Duration) -> Asked {
        Asked { at: Instant::now(), by_wall: self.clock.now(), patience: wait + AFTER_WAIT }
    }

    /// From now on no lease lasts longer than `time` after this was asked for, unless it is permitted again.
    pub fn permit(&self, asked: Asked, time: Duration) {
        *self.permitted.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked.at + time, asked.by_wall + time));
    }

    /// Whether there may be leases at all.
    pub fn permitted(&self) -> bool {
        self.permitted_after(Duration::ZERO)
    }

    fn permitted_after(&self, margin: Duration) -> bool {
        let permitted = *self.permitted.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, wall) = (Instant::now() + margin, self.clock.now() + margin);
        permitted.is_none_or(|(until, until_by_wall)| now < until && wall < until_by_wall)
    }

    /// A delivery was received just now; unless the answer took too long: then perhaps as soon as it was asked for.
    pub fn take(&self, receipt: Receipt, asked: Asked) {
        let (now, wall) = (Instant::now(), self.clock.now());
        let waited = (now - asked.at).max((wall - asked.by_wall).to_std().unwrap_or_default());
        let gone = if waited > asked.patience { waited.min(self.visibility) } else { Duration::ZERO };
        let left = self.visibility - gone;
        let lease = Lease { taken: now, until: now + left, until_by_wall: wall + left, leaving: false };
        self.lock().insert(receipt, lease);
    }

    /// A delivery is about to be given back. It counts as held until that is confirmed, so that a stop does not forget it.
    pub fn leave(&self, receipt: &Receipt) {
        if let Some(lease) = self.lock().get_mut(receipt) {
            lease.leaving = true;
        }
    }

    /// A delivery was settled, or lost.
    pub fn drop_lease(&self, receipt: &Receipt) {
        self.lock().remove(receipt);
    }

    /// Whether a delivery is still ours, with time enough to start a write.
    pub fn holds(&self, receipt: &Receipt) -> bool {
        let margin = MARGIN.min(self.visibility / 4);
        let (now, wall) = (Instant::now() + margin, self.clock.now() + margin);
        let held = |lease: &Lease| !lease.leaving && now < lease.until && wall < lease.until_by_wall;
        self.lock().get(receipt).is_some_and(held) && self.permitted_after(margin)
    }

    /// Every delivery held.
    pub fn held(&self) -> Vec<Receipt> {
        self.lock().keys().cloned().collect()
    }

    /// How many are held.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The deliveries whose lease is more than half over. Those whose lease is over altogether are given up.
    pub fn to_extend(&self) -> Vec<Receipt> {
        let (now, wall) = (Instant::now(), self.clock.now());
        let mut held = self.lock();
        held.retain(|_, lease| now < lease.until && wall < lease.until_by_wall);
        let over_half = |lease: &Lease| {
            !lease.leaving && lease.until < now + self.visibility / 2 && now < lease.taken + self.longest
        };
        held.iter().filter(|(_, lease)| over_half(lease)).map(|(receipt, _)| receipt.clone()).collect()
    }

    /// A lease that was asked to be extended `ago` was.
    pub fn extended(&self, receipt: &Receipt, ago: Duration) {
        let wall = self.clock.now();
        if let Some(lease) = self.lock().get_mut(receipt) {
            lease.until = Instant::now() + self.visibility - ago.min(self.visibility);
            lease.until_by_wall = wall + self.visibility - ago.min(self.visibility);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Receipt, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No write starts this close to the end of a lease, or in its last quarter if that is shorter: it might land after somebody
/// else took over.
const MARGIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tokio::time::advance;

    use super::*;

    /// A wall clock that can run ahead of the monotonic one, as after a suspended machine wakes.
    struct Wall {
        began: Instant,
        slept: Mutex<TimeDelta>,
    }

    impl Clock for Wall {
        fn now(&self) -> DateTime<Utc> {
            let elapsed = TimeDelta::from_std(self.began.elapsed()).expect("in range");
            DateTime::UNIX_EPOCH + elapsed + *self.slept.lock().expect("lock")
        }
    }

    fn leases(visibility: u64, longest: u64) -> (Leases, Arc<Wall>) {
        let wall = Arc::new(Wall { began: Instant::now(), slept: Mutex::default() });
        (Leases::new(Duration::from_secs(visibility), Duration::from_secs(longest), wall.clone()), wall)
    }

    fn receipt(name: &str) -> Receipt {
        Receipt(name.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_extended_from_its_half_and_no_longer_than_the_longest() {
        let (leases, _) = leases(60, 100);
        leases.take(receipt("a"), leases.ask(Duration::ZERO));
        assert!(leases.to_extend().is_empty());
        advance(Duration::from_secs(31)).await;
        assert_eq!(leases.to_extend(), [receipt("a")]);
        leases.extended(&receipt("a"), Duration::ZERO);
        assert!(leases.to_extend().is_empty());
        advance(Duration::from_secs(59)).await;
        assert!(!leases.holds(&receipt("a")), "too close to its end to start a write");
        assert_eq!(leases.to_extend(), [receipt("a")]);
        leases.extended(&receipt("a"), Duration::ZERO);
        advance(Duration::from_secs(31)).await;
        assert!(leases.to_extend().is_empty(), "held for longer than the longest");
    }

    #[tokio::test(start_paused = true)]
    async fn the_shortest_lease_leaves_time_to_work() {
        let (leases, _) = leases(2, 900);
        leases.take(receipt("a"), leases.ask(Duration::ZERO));
        assert!(leases.holds(&receipt("a")));
        advance(Duration::from_millis(1500)).await;
        assert!(!leases.holds(&receipt("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_over_is_given_up_and_not_extended() {
        let (leases, _) = leases(60, 900);
        leases.take(receipt("a"), leases.ask(Duration::ZERO));
        advance(Duration::from_secs(61)).await;
        assert!(leases.to_extend().is_empty());
        assert!(leases.held().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_machine_holds_nothing_when_it_wakes() {
        let (leases, wall) = leases(60, 900);
        leases.take(receipt("a"), leases.ask(Duration::ZERO));
        *wall.slept.lock().expect("lock") = TimeDelta::minutes(10);
        assert!(!leases.holds(&receipt("a")));
        assert!(leases.to_extend().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_found_the_process_suspended_brings_no_lease() {
        for (monotonic, wall_only, held) in [(9, 0, true), (80, 0, false), (0, 80, false)] {
            let (leases, wall) = leases(60, 300);
            let asked = leases.ask(Duration::from_secs(10));
            advance(Duration::from_secs(monotonic)).await;
            *wall.slept.lock().expect("lock") = TimeDelta::seconds(wall_only);
            leases.take(receipt("a"), asked);
            assert_eq!(leases.holds(&receipt("a")), held, "{monotonic} s, and {wall_only} s by the wall");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_that_is_given_back_is_not_worked_on_nor_extended_and_not_forgotten() {
        let (leases, _) = leases(60, 300);
        leases.take(receipt("a"), leases.ask(Duration::ZERO));
        leases.leave(&receipt("a"));
        assert!(!leases.holds(&receipt("a")));
        assert_eq!(leases.held(), [receipt("a")]);
        advance(Duration::from_secs(31)).await;
        assert!(leases.to_extend().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_lease_lasts_beyond_what_is_permitted_and_a_suspended_machine_is_permitted_nothing() {
        let (leases, wall) = leases(60, 300);
        assert!(leases.permitted(), "nobody asked for an end");
        let asked = leases.ask(Duration::ZERO);
        leases.permit(asked, Duration::from_secs(10));
        leases.take(receipt("a"), asked);
        advance(Duration::from_secs(7)).await;
        assert!(leases.holds(&receipt("a")));
        advance(Duration::from_secs(2)).await;
        assert!(leases.permitted() && !leases.holds(&receipt("a")), "too close to its end to start a write");
        advance(Duration::from_secs(1)).await;
        assert!(!leases.permitted());
        leases.permit(leases.ask(Duration::ZERO), Duration::from_secs(10));
        assert!(leases.permitted() && leases.holds(&receipt("a")), "permitted again");
        *wall.slept.lock().expect("lock") = TimeDelta::minutes(1);
        assert!(!leases.permitted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_delivery_is_not_held() {
        let (leases, _) = leases(60, 300);
        leases.take(receipt("a"), leases.ask(Duration::ZERO));
        assert!(leases.holds(&receipt("a")));
        leases.drop_lease(&receipt("a"));
        assert!(!leases.holds(&receipt("a")));
    }
}
