//! Tokens of a text, as a model's own tokenizer counts them.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use tiktoken_rs::{O200K_BASE_PAT_STR, cl100k_base, o200k_base};

use super::table::Table;

/// Characters of one kind, white space or anything else, that are given to the tokenizer in one piece.
///
/// Given a million blanks the tokenizer's regular expression runs out of its backtracking limit. No language has words this
/// long; a longer run is counted in parts, which may add a token at each cut.
const LONGEST_RUN: usize = 4_096;

/// How words are found, for `o200k_base` and for `cl100k_base`: tiktoken's own; of the second it tells nobody.
pub(super) const PATTERNS: [&str; 2] = [
    O200K_BASE_PAT_STR,
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
];

static O200K_BASE: LazyLock<Option<Table>> = LazyLock::new(|| Table::of(&o200k_base().ok()?, PATTERNS[0]));
static CL100K_BASE: LazyLock<Option<Table>> = LazyLock::new(|| Table::of(&cl100k_base().ok()?, PATTERNS[1]));

/// A way to count tokens. Tables are loaded at first use, once: `o200k_base` takes 40 MB for a moment, and 5 from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// GPT-4o and later.
    #[default]
    #[serde(rename = "o200k_base")]
    O200kBase,
    /// GPT-4, GPT-3.5.
    #[serde(rename = "cl100k_base")]
    Cl100kBase,
    /// Words between white space.
    Words,
    /// Unicode code points.
    CodePoints,
}

impl Tokenizer {
    /// Its name in settings, requests and receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
            Self::Words => "words",
            Self::CodePoints => "code_points",
        }
    }

    /// The tokenizer of a model, by its name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::O200kBase, Self::Cl100kBase].into_iter().find(|tokenizer| tokenizer.name() == name)
    }

    /// Tokens of a text; what looks like a special token is counted as the text it is.
    pub fn count(self, text: &str) -> u32 {
        let tokens = match self {
            Self::O200kBase => encoded(&O200K_BASE, text),
            Self::Cl100kBase => encoded(&CL100K_BASE, text),
            Self::Words => text.split(is_blank).filter(|word| !word.is_empty()).count(),
            Self::CodePoints => text.chars().count(),
        };
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// White space as Python's `str.split` knows it.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn encoded(table: &Option<Table>, text: &str) -> usize {
    // a fault of the tokenizer must not be the message's: no text has more tokens than bytes
    let part_encoded = |part: &str| table.as_ref().and_then(|table| table.count(part)).unwrap_or(part.len());
    runs(text).map(part_encoded).sum()
}

/// The text in parts of which none has too long a run: nearly always the text itself.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (part, after) = rest.split_at(first_part(rest));
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

fn first_part(text: &str) -> usize {
    if text.len() <= LONGEST_RUN {
        return text.len();
    }
    let (mut blank, mut run) = (false, 0);
    for (at, c) in text.char_indices() {
        run = if c.is_whitespace() == blank { run + 1 } else { 1 };
        blank = c.is_whitespace();
        if run > LONGEST_RUN {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_known_counts() {
        for (text, o200k, cl100k) in [
            ("", 0, 0),
            ("hello world", 2, 2),
            ("Human: Olá! Quero falar sobre o pedido 1042 🙂", 14, 16),
            ("<|endoftext|>", 7, 7),
            ("日本語のテキスト", 6, 8),
        ] {
            assert_eq!(
                (Tokenizer::O200kBase.count(text), Tokenizer::Cl100kBase.count(text)),
                (o200k, cl100k),
                "{text}"
            );
        }
    }

    #[test]
    fn words_and_code_points_are_those_of_python() {
        assert_eq!(Tokenizer::Words.count("Human: a\u{1c}b\u{a0}c\t\n"), 4);
        assert_eq!(Tokenizer::CodePoints.count("AI: ação 🙂"), 10);
    }

    #[test]
    fn a_text_is_cut_only_within_a_run_that_is_too_long() {
        let words = "pedido ".repeat(10_000);
        assert_eq!(runs(&words).count(), 1);
        let long = "é".repeat(LONGEST_RUN * 2 + 1);
        assert_eq!(runs(&long).map(|part| part.chars().count()).collect::<Vec<_>>(), [LONGEST_RUN, LONGEST_RUN, 1]);
        assert_eq!(runs(&long).collect::<String>(), long);
    }

    #[test]
    fn hostile_texts_are_counted_in_the_end() {
        let many = 200_000;
        let texts = [
            "a".repeat(many),
            "A".repeat(many),
            " ".repeat(many),
            format!("{}x", " ".repeat(many)),
            "\n ".repeat(many / 2),
            "1".repeat(many),
            "!?".repeat(many / 2),
            "aB".repeat(many / 2),
            "\u{301}".repeat(many / 2),
            "a ".repeat(many / 2),
            "'s".repeat(many / 2),
        ];
        for tokenizer in [Tokenizer::O200kBase, Tokenizer::Cl100kBase] {
            for text in &texts {
                let count = tokenizer.count(text);
                assert!(count > 0 && (count as usize) < text.len(), "{count} of {}", text.len());
            }
        }
    }
}
