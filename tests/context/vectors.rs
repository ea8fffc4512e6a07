//! The vectors: tests/fixtures/langchain_parity_vectors.json, or the file of the same form that CONTEXT_VECTORS names.

use std::{fs, path::PathBuf};

use conversationd::context::{Counting, End, Line, Role, Tokenizer, Trim};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Vectors {
    pub token_buffer: Vec<Buffer>,
    pub summary_buffer: Vec<Summary>,
    pub trim: Vec<Trimmed>,
}

#[derive(Deserialize)]
pub struct Buffer {
    pub turns: Vec<(String, String)>,
    pub counter: String,
    pub limit: i64,
    pub kept_after_each_turn: Vec<usize>,
    pub kept: Vec<Line>,
    pub tokens: u64,
    pub history: String,
}

#[derive(Deserialize)]
pub struct Summary {
    pub turns: Vec<(String, String)>,
    pub counter: String,
    pub limit: i64,
    pub summary_calls: Vec<Call>,
    pub kept: Vec<Line>,
    pub summary: String,
    pub load_messages: Vec<Line>,
    pub history: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Call {
    pub turn: usize,
    pub existing: String,
    pub new_lines: String,
    pub returned: String,
}

#[derive(Deserialize)]
pub struct Trimmed {
    messages: Vec<Line>,
    max_tokens: i64,
    counter: String,
    strategy: String,
    #[serde(default)]
    allow_partial: bool,
    #[serde(default)]
    include_system: bool,
    #[serde(default)]
    start_on: Roles,
    #[serde(default)]
    end_on: Roles,
    pub kept: Vec<Line>,
}

/// No role, one, or several; roles that no message of ours has are never met.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Roles {
    #[default]
    Any,
    One(String),
    Several(Vec<String>),
}

impl Roles {
    fn roles(&self) -> Vec<Role> {
        let names = match self {
            Self::Any => return Vec::new(),
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        };
        names.iter().filter_map(|name| serde_json::from_value(name.as_str().into()).ok()).collect()
    }
}

impl Trimmed {
    pub fn input(&self) -> (&[Line], Trim) {
        let how = Trim {
            end: if self.strategy == "first" { End::First } else { End::Last },
            max_tokens: self.max_tokens,
            counting: counting(&self.counter),
            allow_partial: self.allow_partial,
            include_system: self.include_system,
            start_on: self.start_on.roles(),
            end_on: self.end_on.roles(),
        };
        (&self.messages, how)
    }
}

pub fn counting(name: &str) -> Counting {
    match name {
        "ws" => Counting::Lines(Tokenizer::Words),
        "char" => Counting::Lines(Tokenizer::CodePoints),
        "o200k_base" | "cl100k_base" => Counting::Lines(Tokenizer::named(name).expect("a tokenizer")),
        "chat:o200k_base" | "chat:cl100k_base" => Counting::Chat(Tokenizer::named(&name[5..]).expect("a tokenizer")),
        "approximate" => Counting::Approximate,
        "len" => Counting::Messages,
        name => panic!("a counter nobody knows: {name}"),
    }
}

pub fn all() -> Vec<Vectors> {
    let named = std::env::var_os("CONTEXT_VECTORS").map(PathBuf::from);
    let own = ["langchain_parity_vectors.json", "langchain_more_vectors.json"];
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = named.map_or_else(|| own.iter().map(|name| fixtures.join(name)).collect(), |path| vec![path]);
    let read = |path: &PathBuf| fs::read_to_string(path).expect("the vectors are there");
    paths.iter().map(|path| serde_json::from_str(&read(path)).expect("vectors of this form")).collect()
}
