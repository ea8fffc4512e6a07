//! What a group's run does when it was told something: it waits, its deliveries become dead letters, or its head is given up.

use std::time::Duration;

use tracing::{error, warn};

use super::{
    control::Told,
    runner::{Runner, Verdict, given_up, pause},
};
use crate::{
    alert::{self, Alert},
    event::Kind,
    hot::{Control, HEARD_WITHIN, Parked, SKIP_HOLDS},
    pipeline::{Failure, Work},
    queue::{DeadLetterReason, Delivery},
};

/// Groups parked at once, at most: all of their rows are read every few seconds.
const MOST_PARKED: usize = 1_000;

/// SQS hides for whole seconds: a head that comes back a little early has waited for nothing.
const SPARE: Duration = Duration::from_secs(1);

impl Runner {
    /// What is to be done with the head of a parked group; `None` when its group is not parked.
    pub(super) async fn parked(&self, works: &[Work], told: &Told) -> Option<Verdict> {
        let work = works.first()?;
        let (parked, until_all_know) = told.parked(&work.delivery.group_id)?;
        if !until_all_know.is_zero() {
            // were it settled now, a replica that has not heard yet could receive what stands behind it, and apply it
            return Some(Verdict::Release(until_all_know + SPARE));
        }
        if matches!(work.event.as_ref().map(|event| &event.kind), Ok(Kind::Due(_))) {
            // the timer says it again for as long as it is so
            return Some(match self.pipeline.ack(&works[..1]).await {
                Ok(()) => Verdict::Settled(1),
                Err(failure) => self.not_settled(&work.delivery, &failure),
            });
        }
        let reason = match work.delivery.message_id == parked.message_id {
            true => DeadLetterReason { code: alert::EXHAUSTED.into(), field: None, reason: parked.reason.clone() },
            false => DeadLetterReason {
                code: alert::PARKED.into(),
                field: None,
                reason: "its group is parked: a message before it failed too often".into(),
            },
        };
        Some(match self.pipeline.bury(work, &reason).await {
            Ok(()) => Verdict::Settled(1),
            Err(failure) => self.not_settled(&work.delivery, &failure),
        })
    }

    /// Parks the group of a delivery that failed too often, if that is how its type is to be treated; `None` when it is not.
    pub(super) async fn park(&self, work: &Work, failure: &Failure, attempts: u32) -> Option<Verdict> {
        let event_type = work.event.as_ref().ok().map(|event| event.kind.name())?;
        if !self.parks.contains(event_type) {
            return None;
        }
        let delivery = &work.delivery;
        let told = match self.control.current().await {
            Ok(told) => told,
            Err(_) => return Some(Verdict::Release(pause(delivery, attempts))),
        };
        if told.controls.parked.len() >= MOST_PARKED {
            Alert::GroupNotParked { message_id: &delivery.message_id }.raise(&self.pipeline.counters);
            return None;
        }
        let at = self.pipeline.clock.now();
        let parked = Parked {
            at,
            message_id: delivery.message_id.clone(),
            event_type: event_type.to_owned(),
            reason: given_up(failure, attempts),
        };
        let parking = Control::Park(delivery.group_id.clone(), parked);
        match self.pipeline.hot.control(&parking, at).await {
            Ok(true) => {
                error!(sqs.message_id = delivery.message_id, attempts, error = %failure, "group parked: its head failed too often");
                Alert::GroupParked { event_type, message_id: &delivery.message_id }.raise(&self.pipeline.counters);
            }
            Ok(false) => {}
            Err(_) => return Some(Verdict::Release(pause(delivery, attempts))),
        }
        // so that its age begins to count; who fails to read it now reads it later
        let _ = self.control.refresh().await;
        Some(Verdict::Release(HEARD_WITHIN + SPARE))
    }

    /// Whether an operator has given up this failing head. The wish is used up by asking, and the head charged to its limit:
    /// should it not be buried now, it is at its next receipt.
    pub(super) async fn is_given_up(&self, delivery: &Delivery) -> bool {
        let Some(name) = self.wish(delivery).await else { return false };
        let now = self.pipeline.clock.now();
        if !matches!(self.pipeline.hot.control(&Control::Skipped(name), now).await, Ok(true)) {
            return false;
        }
        let limit = i32::try_from(self.max_attempts).unwrap_or(i32::MAX);
        if let Err(failure) = self.charge(delivery, limit).await {
            warn!(error = %failure, "a head that an operator gave up is not charged for it");
        }
        true
    }

    /// The name under which an operator wishes to give up this head.
    pub(super) async fn wish(&self, delivery: &Delivery) -> Option<String> {
        let told = self.control.current().await.ok()?;
        let now = self.pipeline.clock.now();
        let holds = |name: &&String| {
            let skip = told.controls.skips.get(*name);
            skip.is_some_and(|skip| delivery.sent_at <= skip.at && now < skip.at + SKIP_HOLDS)
        };
        [&delivery.group_id, &delivery.message_id].into_iter().find(holds).cloned()
    }

    /// Waits while consuming is paused: what is held is kept.
    pub(super) async fn wait(&self, head: &Delivery, stop: &tokio_util::sync::CancellationToken) -> Verdict {
        if !self.pipeline.leases.holds(&head.receipt) {
            return Verdict::Abandon;
        }
        self.control.paused(stop).await;
        Verdict::Settled(0)
    }

    fn not_settled(&self, delivery: &Delivery, failure: &Failure) -> Verdict {
        match failure {
            Failure::LeaseLost => Verdict::Abandon,
            _ => {
                warn!(error = %failure, sqs.message_id = delivery.message_id, "a delivery of a parked group is not settled");
                Verdict::Release(pause(delivery, delivery.receive_count))
            }
        }
    }
}
