//! What the relay looks at now and then, so that a person hears of it: sinks that lag, and what the consumer gave up.
//!
//! Every replica looks; an alert of one rule about one subject is told once an hour, whoever tells it.

use std::time::Duration;

use tracing::warn;

use super::Relay;
use crate::{domain::Notice, outbox::OutboxError};

/// What was counted when it was looked at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    dead_lettered: u64,
    parkings: u64,
}

impl Relay {
    /// Tells what there is to tell now; `seen` is what was there the last time.
    pub(super) async fn watch(&self, seen: &mut Seen) -> Result<(), OutboxError> {
        let totals = self.counters.totals();
        let now = Seen { dead_lettered: totals.dead_lettered, parkings: totals.parkings };
        let mut alerts = Vec::new();
        if now.dead_lettered > seen.dead_lettered {
            alerts.push(self.of_queue("dead_letters", "deliveries were dead-lettered: conversationd dlq list"));
        }
        if now.parkings > seen.parkings {
            alerts.push(self.of_queue("group_parked", "a group was parked: conversationd dlq group parked"));
        }
        for sink in self.outbox.lagging(self.lag).await? {
            warn!(sink, minutes = self.lag.as_secs() / 60, "notices wait too long for a sink");
            alerts.push(self.alert("outbox_lag", &sink, &format!("notices wait for {} or longer", minutes(self.lag))));
        }
        for (sink, outlet) in self.routes.get().into_iter().flatten() {
            if let Some(rate) = outlet.rate
                && self.outbox.day_is_used(*sink, rate).await?
            {
                let (name, text) =
                    (&outlet.registration.name, "a day's requests are used up; notices wait for tomorrow");
                alerts.push(self.alert("daily_limit", name, text));
            }
        }
        self.outbox.tell(&alerts).await?;
        *seen = now;
        Ok(())
    }

    fn of_queue(&self, rule: &str, text: &str) -> Notice {
        Notice::alert(rule, "the inbound queue", text, self.clock.now())
    }
}

fn minutes(time: Duration) -> String {
    match time.as_secs() / 60 {
        1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}
