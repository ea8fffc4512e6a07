//! A message as a model is told it: who spoke, and what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Direction;

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The contact.
    Human,
    /// Whoever answers for the company.
    Ai,
    /// The platform; also a summary.
    System,
}

impl Role {
    /// The role of whoever writes in this direction.
    pub fn of(direction: Direction) -> Self {
        match direction {
            Direction::Incoming => Self::Human,
            Direction::Outgoing => Self::Ai,
            Direction::System => Self::System,
        }
    }

    /// Its name in a chat request.
    pub fn chat_name(self) -> &'static str {
        match self {
            Self::Human => "user",
            Self::Ai => "assistant",
            Self::System => "system",
        }
    }

    /// Its name before a line of text.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Human => "Human",
            Self::Ai => "AI",
            Self::System => "System",
        }
    }
}

/// A line of a dialogue; shown as `Human: …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Who spoke.
    pub role: Role,
    /// What.
    pub text: String,
}

impl Line {
    /// A line.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.role.prefix(), self.text)
    }
}

/// Lines as one text, one below the other.
pub fn buffer_string<'a>(lines: impl IntoIterator<Item = &'a Line>) -> String {
    lines.into_iter().map(Line::to_string).collect::<Vec<_>>().join("\n")
}
