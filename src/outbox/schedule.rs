//! When to try again. Pure: the spread comes with the notice.

use std::time::Duration;

/// A receiver may ask for this much more than the schedule says.
const LEAST_RETRY_AFTER_BOUND: Duration = Duration::from_secs(3600);

/// The attempts at one dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// After these pauses, each ± 20 %; one more attempt than pauses.
    Steps(Vec<Duration>),
    /// Between a second and a ceiling that doubles from `first` to `cap`.
    Exponential {
        /// The ceiling after the first attempt.
        first: Duration,
        /// The highest ceiling.
        cap: Duration,
        /// Attempts in all.
        attempts: u32,
    },
}

impl Schedule {
    /// Standard Webhooks' schedule: ten attempts in about three days.
    pub fn webhook() -> Self {
        let steps = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        Self::Steps(steps.map(Duration::from_secs).into())
    }

    /// For systems of our own: soon, and often, for up to three days.
    pub fn steady() -> Self {
        Self::Exponential { first: Duration::from_secs(2), cap: Duration::from_secs(900), attempts: 288 }
    }

    /// Attempts in all.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Steps(steps) => u32::try_from(steps.len()).unwrap_or(u32::MAX).saturating_add(1),
            Self::Exponential { attempts, .. } => *attempts,
        }
    }

    /// How long to wait after failed `attempt` (from 1), with a `spread` of 0 to 1, when the receiver `asked` for a pause.
    /// `None` when it was the last.
    pub fn after(&self, attempt: u32, spread: f64, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts() {
            return None;
        }
        let spread = spread.clamp(0.0, 1.0);
        let before = attempt.saturating_sub(1);
        let pause = match self {
            Self::Steps(steps) => steps.get(before as usize)?.mul_f64(0.8 + 0.4 * spread),
            Self::Exponential { first, cap, .. } => {
                let ceiling = first.saturating_mul(1_u32.checked_shl(before.min(20)).unwrap_or(u32::MAX)).min(*cap);
                ceiling.mul_f64(spread).max(Duration::from_secs(1))
            }
        };
        Some(match asked {
            Some(asked) => asked.clamp(pause, (2 * pause).max(LEAST_RETRY_AFTER_BOUND)),
            None => pause,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn schedules() -> impl Strategy<Value = Schedule> {
        prop_oneof![Just(Schedule::webhook()), Just(Schedule::steady())]
    }

    proptest! {
        #[test]
        fn retry_schedule_bounds(schedule in schedules(), spread in 0.0..=1.0, asked in proptest::option::of(0_u64..1_000_000)) {
            let asked = asked.map(Duration::from_secs);
            let (mut total, mut attempts) = (Duration::ZERO, 1);
            while let Some(pause) = schedule.after(attempts, spread, None) {
                total += pause;
                let bounded = schedule.after(attempts, spread, asked).expect("as long as there is one without");
                prop_assert!(pause <= bounded && bounded <= (2 * pause).max(Duration::from_secs(3600)));
                attempts += 1;
            }
            prop_assert_eq!(attempts, schedule.attempts());
            prop_assert!(total <= 4 * DAY);
        }
    }

    #[test]
    fn a_step_is_spread_by_a_fifth() {
        let schedule = Schedule::webhook();
        for (attempt, base) in [(1, 5), (2, 300), (9, 86_400)] {
            let base = Duration::from_secs(base);
            assert_eq!(schedule.after(attempt, 0.0, None), Some(base.mul_f64(0.8)));
            assert_eq!(schedule.after(attempt, 1.0, None), Some(base.mul_f64(1.2)));
        }
        assert_eq!(schedule.after(10, 0.5, None), None);
    }
}
