//! What a dialogue costs: each line by itself, and what is added to them all.

use super::{Line, Tokenizer};

/// A way to count the tokens of a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Each line as text, its role in front (`Human: …`): what LangChain's memories count.
    Lines(Tokenizer),
    /// As a chat request: 3 for the answer, and for each message 3, its role and its content.
    Chat(Tokenizer),
    /// As LangChain's `count_tokens_approximately`: four characters a token, role included, and 3 for each message.
    Approximate,
    /// Each message is one.
    Messages,
}

/// What a chat request costs besides its messages: the answer's beginning.
const ANSWER: u32 = 3;

/// What a message of a chat request costs besides its role and its content.
const MESSAGE: u32 = 3;

/// Characters of a token, approximately.
const CHARACTERS: usize = 4;

impl Counting {
    /// What one line costs.
    pub fn line(self, line: &Line) -> u32 {
        match self {
            Self::Lines(tokenizer) => tokenizer.count(&line.to_string()),
            Self::Chat(tokenizer) => MESSAGE + tokenizer.count(line.role.chat_name()) + tokenizer.count(&line.text),
            Self::Approximate => {
                let characters = line.text.chars().count() + line.role.chat_name().len();
                MESSAGE + u32::try_from(characters.div_ceil(CHARACTERS)).unwrap_or(u32::MAX)
            }
            Self::Messages => 1,
        }
    }

    /// What a dialogue costs besides its lines.
    pub fn fixed(self) -> u32 {
        match self {
            Self::Chat(_) => ANSWER,
            Self::Lines(_) | Self::Approximate | Self::Messages => 0,
        }
    }

    /// What a dialogue costs.
    pub fn lines<'a>(self, lines: impl IntoIterator<Item = &'a Line>) -> u64 {
        lines.into_iter().map(|line| u64::from(self.line(line))).sum::<u64>() + u64::from(self.fixed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Role;

    #[test]
    fn a_dialogue_is_counted_by_lines_as_chat_or_approximately() {
        let lines = [Line::new(Role::Human, "hello world"), Line::new(Role::Ai, "olá"), Line::new(Role::System, "")];
        for (counting, each, all) in [
            (Counting::Lines(Tokenizer::O200kBase), [4, 4, 3], 11),
            (Counting::Chat(Tokenizer::O200kBase), [6, 6, 4], 19),
            (Counting::Lines(Tokenizer::Words), [3, 2, 1], 6),
            (Counting::Approximate, [7, 6, 5], 18),
            (Counting::Messages, [1, 1, 1], 3),
        ] {
            assert_eq!(lines.each_ref().map(|line| counting.line(line)), each, "{counting:?}");
            assert_eq!(counting.lines(&lines), all, "{counting:?}");
        }
    }
}
