//! Context as LangChain's memories would have it: parity with vectors made by running them, and laws over random dialogues.
#![allow(clippy::expect_used, clippy::unwrap_used)] // a test may panic

#[path = "context/laws.rs"]
mod laws;
#[path = "context/parity.rs"]
mod parity;
#[path = "context/remembered.rs"]
mod remembered;
#[path = "context/vectors.rs"]
mod vectors;
