//! Hot store operations beside heads and messages: walks, small rows, dead letters, and what all replicas are told.

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    domain::{Sequence, ThreadKey},
    hot::{Control, DeadLetter, HotError, HotStore, Parked, Pause, Row, Settled, Settlement, Skip, Walk, Way},
};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestCaseResult},
};

use crate::{hot, modelled::Modelled, target::House};

/// One operation.
#[derive(Clone, Debug)]
pub enum Beside {
    /// Reads from the place of a message on.
    Walk {
        thread: u8,
        conversation: u8,
        from: Option<u8>,
        back: bool,
        most: usize,
    },
    Row {
        name: usize,
        rank: u8,
    },
    Rows {
        prefix: usize,
    },
    Letter {
        number: u8,
        attempts: u32,
    },
    Mark {
        number: u8,
    },
    Letters,
    /// Tells, or lifts what is told.
    Tell {
        what: u8,
        lifts: bool,
    },
    Told,
}

/// Names of rows, on both sides of a prefix's bounds.
const NAMES: [&str; 7] = ["MAP", "S", "S#", "S#flow#a", "S#flow#é", "S#flowers#a", "T#flow#a"];
const PREFIXES: [&str; 4] = ["S#", "S#flow#", "MAP", "T#x"];

pub fn any_operation() -> impl Strategy<Value = Beside> {
    let walk = (0..3_u8, 0..3_u8, proptest::option::of(0..20_u8), any::<bool>(), 1..8_usize);
    prop_oneof![
        3 => walk.prop_map(|(thread, conversation, from, back, most)| Beside::Walk { thread, conversation, from, back, most }),
        3 => (0..NAMES.len(), 0..4_u8).prop_map(|(name, rank)| Beside::Row { name, rank }),
        1 => (0..PREFIXES.len()).prop_map(|prefix| Beside::Rows { prefix }),
        2 => (0..5_u8, 0..3_u32).prop_map(|(number, attempts)| Beside::Letter { number, attempts }),
        1 => (0..5_u8).prop_map(|number| Beside::Mark { number }),
        1 => Just(Beside::Letters),
        2 => (0..CONTROLS, any::<bool>()).prop_map(|(what, lifts)| Beside::Tell { what, lifts }),
        1 => Just(Beside::Told),
    ]
}

/// The model, the store, and the name of the list, under which it keeps what it writes.
pub struct Sides<'a> {
    pub model: &'a Modelled,
    pub house: &'a House,
    pub store: &'a dyn HotStore,
    pub list: &'a str,
}

impl Sides<'_> {
    pub fn run(&self, operation: &Beside, key: &ThreadKey) -> TestCaseResult {
        match operation {
            Beside::Walk { conversation, from, back, most, .. } => {
                let walk = Walk {
                    thread: key.clone(),
                    conversation: hot::id(*conversation),
                    from: from.map(hot::spot),
                    way: if *back { Way::Back } else { Way::Forward },
                    most: *most,
                };
                self.walk(&walk)
            }
            Beside::Row { name, rank } => {
                let row = Row {
                    partition: format!("{}#rows", self.list),
                    name: NAMES[*name].to_owned(),
                    body: format!("{{\"said\":\"{rank} 👋\"}}"),
                    rank: Sequence(u128::from(u64::MAX) - 2 + u128::from(*rank)),
                    expires_at: hot::far_away(),
                };
                self.same("a row", self.model.hot.write_row(&row), self.store.write_row(&row))
            }
            Beside::Rows { prefix } => {
                let (partition, prefix) = (format!("{}#rows", self.list), PREFIXES[*prefix]);
                self.same("rows", self.model.hot.rows(&partition, prefix), self.store.rows(&partition, prefix))
            }
            Beside::Letter { number, attempts } => {
                let letter = self.letter(*number, *attempts);
                let (model, store) = (&self.model.hot, self.store);
                self.same("a letter", model.write_dead_letter(&letter), store.write_dead_letter(&letter))
            }
            Beside::Mark { number } => {
                let letter = self.letter(*number, 0);
                let (at, id) = (letter.sent_at, letter.message_id.as_str());
                let settled = Settled { how: Settlement::Redriven, at: at + TimeDelta::seconds(1) };
                let (model, store) = (&self.model.hot, self.store);
                self.same("a mark", model.mark_dead_letter(at, id, settled), store.mark_dead_letter(at, id, settled))
            }
            Beside::Letters => self.same("letters", self.letters(&self.model.hot), self.letters(self.store)),
            Beside::Tell { what, lifts } => self.tell(&control(*what, *lifts)),
            Beside::Told => self.same("what is told", self.model.hot.controls(), self.store.controls()),
        }
    }

    /// Lifts everything: the next list finds nothing told.
    pub fn end(&self) -> TestCaseResult {
        self.run(&Beside::Letters, &ThreadKey::stored(String::new()))?;
        (0..CONTROLS).try_for_each(|what| self.tell(&control(what, true)))?;
        self.run(&Beside::Told, &ThreadKey::stored(String::new()))
    }

    fn tell(&self, control: &Control) -> TestCaseResult {
        let at = hot::time(5);
        self.same("a control", self.model.hot.control(control, at), self.store.control(control, at))
    }

    fn same<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        expected: impl Future<Output = Result<T, HotError>>,
        found: impl Future<Output = Result<T, HotError>>,
    ) -> TestCaseResult {
        let expected = self.model.wait(expected).map_err(failed)?;
        let found = self.house.wait(found).map_err(failed)?;
        prop_assert_eq!(found, expected, "{}", what);
        Ok(())
    }

    /// A store may end a walk early, and say that there may be more; but it gets on.
    fn walk(&self, walk: &Walk) -> TestCaseResult {
        let expected = self.model.wait(self.model.hot.walk(walk)).map_err(failed)?;
        let found = self.house.wait(self.store.walk(walk)).map_err(failed)?;
        let whole = found.messages.len() == expected.messages.len();
        prop_assert!(whole || (found.more && !found.messages.is_empty()), "a walk ends at its end");
        prop_assert!(!whole || found.more || !expected.more, "there is more beyond");
        let begins = expected.messages.get(..found.messages.len());
        prop_assert!(begins == Some(&found.messages[..]), "the messages of a walk, {:?}", walk);
        Ok(())
    }

    async fn letters(&self, store: &dyn HotStore) -> Result<Vec<DeadLetter>, HotError> {
        let (mut letters, mut after) = (Vec::new(), None);
        loop {
            let page = store.dead_letters(self.day().date_naive(), after).await?;
            letters.extend(page.letters);
            after = page.next;
            if after.is_none() {
                return Ok(letters);
            }
        }
    }

    /// The beginning of a day that no other list of this house writes of, and whose rows do not expire.
    fn day(&self) -> DateTime<Utc> {
        let number: i64 = self.list.rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("a number");
        hot::far_away() - TimeDelta::hours(12) + TimeDelta::days(number)
    }

    /// Some share their time, and the first and the last stand at the ends of their day.
    fn letter(&self, number: u8, attempts: u32) -> DeadLetter {
        let millis = [0, 1, 1, 43_200_000, 86_399_999][usize::from(number)];
        DeadLetter {
            sent_at: self.day() + TimeDelta::milliseconds(millis),
            message_id: format!("{}-{number}", self.list),
            group_id: "p:ch:José 👋".into(),
            project: Some("p".into()),
            event_type: None,
            code: "invalid_json".into(),
            field: None,
            reason: "not JSON".into(),
            attempts,
            bytes: 12,
            redrives: 0,
            redrive_run: None,
            settled: None,
        }
    }
}

/// How many things can be told.
const CONTROLS: u8 = 4;

fn control(what: u8, lifts: bool) -> Control {
    let at = hot::time(0);
    let parked = || Parked { at, message_id: "m".into(), event_type: "due".into(), reason: "it failed".into() };
    match (what, lifts) {
        (0, false) => Control::Pause(Pause { at, reason: Some("a deployment".into()) }),
        (0, true) => Control::Resume,
        (1, false) => Control::Park("p:ch:é".into(), parked()),
        (1, true) => Control::Unpark("p:ch:é".into()),
        (2, false) => Control::Park("another".into(), parked()),
        (2, true) => Control::Unpark("another".into()),
        (_, false) => Control::Skip("m".into(), Skip { at }),
        (_, true) => Control::Skipped("m".into()),
    }
}

fn failed(error: HotError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
