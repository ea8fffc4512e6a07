//! The parts of a bench, which run one after another or one alone.

use anyhow::ensure;

use crate::plot::Chart;

/// What a part found.
#[derive(Default)]
pub struct Found {
    /// What it prints.
    pub text: String,
    /// What it draws.
    pub charts: Vec<Chart>,
}

/// A part, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Processor time, calls and memory of a message.
    Ingest,
    /// The same where more waits, more threads speak, or conversations are long.
    Slope,
    /// From exec to the first poll.
    Start,
    /// Tokens of a text.
    Tokens,
    /// Requests among messages.
    Answers,
    /// Closes into an archive.
    Closes,
    /// Claims from the outbox.
    Relay,
}

impl Part {
    /// Every part, and what it is called.
    const ALL: [(Self, &str); 7] = [
        (Self::Ingest, "ingest"),
        (Self::Slope, "slope"),
        (Self::Start, "start"),
        (Self::Tokens, "tokens"),
        (Self::Answers, "answers"),
        (Self::Closes, "closes"),
        (Self::Relay, "relay"),
    ];

    /// Those that `only` names, apart by commas or blanks; if it names none, all, or those that need no stack if it is `quick`.
    ///
    /// # Errors
    /// There is no part of a name.
    pub fn chosen(only: &str, quick: bool) -> anyhow::Result<Vec<Self>> {
        let names: Vec<&str> = only.split([',', ' ']).filter(|name| !name.is_empty()).collect();
        for name in &names {
            let all = Self::ALL.map(|(_, name)| name).join(", ");
            ensure!(Self::ALL.iter().any(|(_, its)| its == name), "no part is called {name}; there are {all}");
        }
        let wanted = |(part, name): &(Self, &str)| match names.is_empty() {
            true => !quick || !matches!(part, Self::Answers | Self::Closes | Self::Relay),
            false => names.contains(name),
        };
        Ok(Self::ALL.iter().filter(|part| wanted(part)).map(|(part, _)| *part).collect())
    }
}

/// What the environment says, if it says anything.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
