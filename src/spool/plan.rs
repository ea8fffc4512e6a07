//! What the fleet does next: decided under one lock, from what every replica said last.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Where deliveries come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From the queue.
    Direct,
    /// From nowhere: every replica ends what it has of the queue, and says so.
    Entering,
    /// From the spool, into which the queue is moved.
    Spooling,
    /// From the spool until it is empty; what is new stays in the queue.
    Leaving,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Entering, Self::Spooling, Self::Leaving];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Entering => "entering",
            Self::Spooling => "spooling",
            Self::Leaving => "leaving",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When the fleet goes on to another stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An outage that every replica has seen for so long is spooled.
    pub after: Duration,
    /// A replica that could not say anything for so long takes nothing from the queue any more, and writes nothing.
    pub lease: Duration,
}

/// One that said nothing for longer is not asked whether it reaches DynamoDB.
const LIVE: Duration = Duration::from_secs(30);

/// A call that left before the lease was over may still land: it is waited for.
const MARGIN: Duration = Duration::from_secs(60);

/// What a replica said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How long ago.
    pub silent_for: Duration,
    /// For how long it had not reached DynamoDB; `None` when it did.
    pub away_for: Option<Duration>,
    /// The epoch in which it had stopped taking from the queue.
    pub stopped: Option<u64>,
}

/// What is known of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Every replica that has not said farewell.
    pub replicas: Vec<Seen>,
    /// Whether anything stands in the spool.
    pub holds: bool,
}

/// The stage after `stage` in `epoch`; the same one, if there is something to wait for.
pub fn next(stage: Stage, epoch: u64, facts: &Facts, limits: &Limits) -> Stage {
    let mut live = facts.replicas.iter().filter(|replica| replica.silent_for < LIVE).peekable();
    let nobody = live.peek().is_none();
    let away = |replica: &Seen, least| replica.away_for.is_some_and(|time| time >= least);
    let all_away_for = |least| !nobody && live.clone().all(|replica| away(replica, least));
    let works = |replica: &Seen| replica.silent_for < limits.lease + MARGIN && replica.stopped != Some(epoch);
    match stage {
        Stage::Direct if all_away_for(limits.after) => Stage::Entering,
        Stage::Entering | Stage::Spooling if !all_away_for(Duration::ZERO) => Stage::Leaving,
        Stage::Entering if !facts.replicas.iter().any(works) => Stage::Spooling,
        Stage::Leaving if !facts.holds => Stage::Direct,
        stage => stage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { after: Duration::from_secs(300), lease: Duration::from_secs(600) };

    fn seen(silent_for: u64, away_for: Option<u64>, stopped: Option<u64>) -> Seen {
        let seconds = Duration::from_secs;
        Seen { silent_for: seconds(silent_for), away_for: away_for.map(seconds), stopped }
    }

    #[test]
    fn the_fleet_goes_on_when_all_agree() {
        use Stage::{Direct, Entering, Leaving, Spooling};
        let away = |stopped| seen(1, Some(400), stopped);
        for (what, stage, replicas, holds, then) in [
            ("nobody has said anything", Direct, vec![], false, Direct),
            ("all see an outage that is long enough", Direct, vec![away(None), away(None)], false, Entering),
            ("one sees it only now", Direct, vec![away(None), seen(1, Some(299), None)], false, Direct),
            ("one does not see it", Direct, vec![away(None), seen(1, None, None)], false, Direct),
            ("one that is silent is not asked", Direct, vec![away(None), seen(31, None, None)], false, Entering),
            ("all are silent", Direct, vec![seen(31, Some(400), None)], false, Direct),
            ("one still works", Entering, vec![away(Some(7)), away(None)], false, Entering),
            ("one stopped an epoch ago", Entering, vec![away(Some(7)), away(Some(6))], false, Entering),
            ("all have stopped", Entering, vec![away(Some(7)), away(Some(7))], false, Spooling),
            ("one is silent and may work", Entering, vec![away(Some(7)), seen(659, None, None)], false, Entering),
            ("its lease is over", Entering, vec![away(Some(7)), seen(660, None, None)], false, Spooling),
            ("it is back before all have stopped", Entering, vec![away(Some(7)), seen(1, None, None)], false, Leaving),
            ("the outage lasts", Spooling, vec![away(Some(7)), away(None)], true, Spooling),
            ("one reaches DynamoDB again", Spooling, vec![away(Some(7)), seen(1, None, None)], true, Leaving),
            ("something is left", Leaving, vec![away(None)], true, Leaving),
            ("nothing is left", Leaving, vec![away(None)], false, Direct),
        ] {
            assert_eq!(next(stage, 7, &Facts { replicas, holds }, &LIMITS), then, "{what}");
        }
    }

    #[test]
    fn an_outage_that_begins_again_is_spooled_again() {
        let mut stage = Stage::Direct;
        let mut stages = Vec::new();
        for (away, stopped, holds) in [(400, None, false), (405, Some(7), false), (0, None, true), (0, None, false)] {
            let away_for = Some(away).filter(|away| *away > 0);
            stage = next(stage, 7, &Facts { replicas: vec![seen(1, away_for, stopped)], holds }, &LIMITS);
            stages.push(stage);
        }
        assert_eq!(stages, [Stage::Entering, Stage::Spooling, Stage::Leaving, Stage::Direct]);
    }
}
