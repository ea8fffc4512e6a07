//! Which deliveries we hold, until when, and which of them need their visibility extended.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Receipt;

/// The deliveries held by this process.
///
/// All of them are kept hidden, done or not, until they are settled: a lapsed head would be received again beneath us (facts F2, F3).
#[derive(Debug)]
pub struct Leases {
    visibility: Duration,
    longest: Duration,
    held: Mutex<BTreeMap<Receipt, Lease>>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    taken: Instant,
    until: Instant,
}

impl Leases {
    /// Leases of `visibility` each, extended while held up to `longest` after the receipt.
    pub fn new(visibility: Duration, longest: Duration) -> Self {
        Self { visibility, longest, held: Mutex::default() }
    }

    /// What each extension asks for.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// A delivery was received just now.
    pub fn take(&self, receipt: Receipt) {
        let now = Instant::now();
        self.lock().insert(receipt, Lease { taken: now, until: now + self.visibility });
    }

    /// A delivery was settled, or lost.
    pub fn drop_lease(&self, receipt: &Receipt) {
        self.lock().remove(receipt);
    }

    /// Whether a delivery is still ours, with time enough to start a write.
    pub fn holds(&self, receipt: &Receipt) -> bool {
        let margin = MARGIN.min(self.visibility / 4);
        self.lock().get(receipt).is_some_and(|lease| Instant::now() + margin < lease.until)
    }

    /// Every delivery held.
    pub fn held(&self) -> Vec<Receipt> {
        self.lock().keys().cloned().collect()
    }

    /// The deliveries whose lease is more than half over.
    pub fn to_extend(&self) -> Vec<Receipt> {
        let now = Instant::now();
        let over_half = |lease: &Lease| lease.until < now + self.visibility / 2 && now < lease.taken + self.longest;
        self.lock().iter().filter(|(_, lease)| over_half(lease)).map(|(receipt, _)| receipt.clone()).collect()
    }

    /// A lease asked to be extended at `asked_at` was.
    pub fn extended(&self, receipt: &Receipt, asked_at: Instant) {
        if let Some(lease) = self.lock().get_mut(receipt) {
            lease.until = asked_at + self.visibility;
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
    use super::*;

    fn receipt(name: &str) -> Receipt {
        Receipt(name.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_extended_from_its_half_and_no_longer_than_the_longest() {
        let leases = Leases::new(Duration::from_secs(60), Duration::from_secs(100));
        leases.take(receipt("a"));
        assert!(leases.to_extend().is_empty());
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(leases.to_extend(), [receipt("a")]);
        leases.extended(&receipt("a"), Instant::now());
        assert!(leases.to_extend().is_empty());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!leases.holds(&receipt("a")), "too close to its end to start a write");
        assert_eq!(leases.to_extend(), [receipt("a")]);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(leases.to_extend().is_empty(), "held for longer than the longest");
    }

    #[tokio::test(start_paused = true)]
    async fn the_shortest_lease_leaves_time_to_work() {
        let leases = Leases::new(Duration::from_secs(2), Duration::from_secs(2));
        leases.take(receipt("a"));
        assert!(leases.holds(&receipt("a")));
        tokio::time::advance(Duration::from_millis(1_400)).await;
        assert!(leases.holds(&receipt("a")));
        tokio::time::advance(Duration::from_millis(200)).await;
        assert!(!leases.holds(&receipt("a")), "too close to its end to start a write");
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_delivery_is_not_held() {
        let leases = Leases::new(Duration::from_secs(60), Duration::from_secs(300));
        leases.take(receipt("a"));
        assert!(leases.holds(&receipt("a")));
        leases.drop_lease(&receipt("a"));
        assert!(!leases.holds(&receipt("a")));
    }
}
