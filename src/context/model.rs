//! Which strategy suits which window, and what is known of the models by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Tokenizer;

/// How a dialogue is made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The newest messages.
    TokenBuffer,
    /// The newest messages, and a summary of those before.
    SummaryBuffer,
}

impl Strategy {
    /// Its name in requests and receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenBuffer => "token_buffer",
            Self::SummaryBuffer => "summary_buffer",
        }
    }
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its window, in tokens.
    pub window: u32,
    /// How it counts.
    pub tokenizer: Tokenizer,
}

/// How a window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The strategy.
    pub strategy: Strategy,
    /// Tokens for the dialogue; the rest is the prompt's and the answer's.
    pub limit: i64,
}

/// From which window on, which plan.
const PLANS: [(u32, Plan); 3] = [
    (128_000, Plan { strategy: Strategy::SummaryBuffer, limit: 120_000 }),
    (32_000, Plan { strategy: Strategy::TokenBuffer, limit: 28_000 }),
    (8_000, Plan { strategy: Strategy::TokenBuffer, limit: 6_000 }),
];

/// How a window of so many tokens is used. One smaller than all of the table keeps a quarter free.
pub fn plan(window: u32) -> Plan {
    let known = PLANS.iter().find(|(from, _)| *from <= window).map(|(_, plan)| *plan);
    let smaller = i64::from(window) * 3 / 4;
    known.unwrap_or(Plan { strategy: Strategy::TokenBuffer, limit: smaller })
}

/// Models by the beginnings of their names.
const KNOWN: [(&str, Model); 14] = [
    ("gpt-3.5", Model { window: 16_000, tokenizer: Tokenizer::Cl100kBase }),
    ("gpt-4", Model { window: 8_000, tokenizer: Tokenizer::Cl100kBase }),
    ("gpt-4-32k", Model { window: 32_000, tokenizer: Tokenizer::Cl100kBase }),
    ("gpt-4-turbo", Model { window: 128_000, tokenizer: Tokenizer::Cl100kBase }),
    ("gpt-4o", Model { window: 128_000, tokenizer: Tokenizer::O200kBase }),
    ("gpt-4.1", Model { window: 1_000_000, tokenizer: Tokenizer::O200kBase }),
    ("gpt-5", Model { window: 400_000, tokenizer: Tokenizer::O200kBase }),
    ("gpt-oss", Model { window: 128_000, tokenizer: Tokenizer::O200kBase }),
    ("chatgpt-4o", Model { window: 128_000, tokenizer: Tokenizer::O200kBase }),
    ("o1", Model { window: 128_000, tokenizer: Tokenizer::O200kBase }),
    ("o3", Model { window: 200_000, tokenizer: Tokenizer::O200kBase }),
    ("o4", Model { window: 200_000, tokenizer: Tokenizer::O200kBase }),
    ("claude", Model { window: 200_000, tokenizer: Tokenizer::O200kBase }),
    ("gemini", Model { window: 1_000_000, tokenizer: Tokenizer::O200kBase }),
];

/// What is known of models, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Models(BTreeMap<String, Model>);

impl Default for Models {
    fn default() -> Self {
        Self(KNOWN.iter().map(|(name, model)| ((*name).to_owned(), *model)).collect())
    }
}

impl Models {
    /// Adds a model, or changes what is known of it.
    pub fn insert(&mut self, name: String, model: Model) {
        self.0.insert(name, model);
    }

    /// The model called `name`, or else the one with the longest name that `name` begins with: versions and dates follow.
    pub fn find(&self, name: &str) -> Option<Model> {
        let begins = |known: &&String| {
            name.strip_prefix(known.as_str()).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        };
        self.0.keys().filter(begins).max_by_key(|known| known.len()).and_then(|known| self.0.get(known)).copied()
    }
}

/// A window as people write it: `8192`, `8k`, `128K`, `1m`.
pub fn window(text: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, times) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('m').map_or((text.as_str(), 1), |digits| (digits, 1_000_000)),
    };
    digits.parse::<u32>().ok()?.checked_mul(times).filter(|window| *window > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_leaves_room_for_prompt_and_answer() {
        use Strategy::{SummaryBuffer, TokenBuffer};
        for (window, strategy, limit) in [
            (4_000, TokenBuffer, 3_000),
            (8_000, TokenBuffer, 6_000),
            (8_192, TokenBuffer, 6_000),
            (16_000, TokenBuffer, 6_000),
            (32_768, TokenBuffer, 28_000),
            (128_000, SummaryBuffer, 120_000),
            (1_000_000, SummaryBuffer, 120_000),
        ] {
            assert_eq!(plan(window), Plan { strategy, limit }, "{window}");
        }
    }

    #[test]
    fn a_model_is_known_by_the_longest_beginning_of_its_name() {
        let mut models = Models::default();
        for (name, window) in [
            ("gpt-4", Some(8_000)),
            ("gpt-4-0613", Some(8_000)),
            ("gpt-4-32k-0613", Some(32_000)),
            ("gpt-4o-mini", Some(128_000)),
            ("gpt-4.1-nano", Some(1_000_000)),
            ("o1", Some(128_000)),
            ("o10", None),
            ("gpt-4omega", None),
            ("", None),
        ] {
            assert_eq!(models.find(name).map(|model| model.window), window, "{name}");
        }
        models.insert("gpt-4o-mini".into(), Model { window: 16_000, tokenizer: Tokenizer::O200kBase });
        assert_eq!(models.find("gpt-4o-mini-2024").map(|model| model.window), Some(16_000));
    }

    #[test]
    fn a_window_is_written_in_tokens_thousands_or_millions() {
        for (text, tokens) in
            [("8192", Some(8_192)), ("8k", Some(8_000)), (" 128K", Some(128_000)), ("1m", Some(1_000_000))]
        {
            assert_eq!(window(text), tokens, "{text}");
        }
        for text in ["", "k", "-8k", "8.5k", "0", "5000m", "8 k"] {
            assert_eq!(window(text), None, "{text}");
        }
    }
}
