//! What fits into a model's window: counting tokens, buffers of the newest messages, summaries of the rest. Pure.
//!
//! Counts and cuts as LangChain's memories do (`ConversationTokenBufferMemory`, `ConversationSummaryBufferMemory`,
//! `trim_messages`); docs/context.md says where and why something differs. Knows nothing of where messages are read from.

mod buffer;
mod counting;
mod extract;
mod line;
mod model;
mod summary;
mod table;
mod tokenizer;
mod trim;

pub use buffer::{Fill, Kept, suffix};
pub use counting::Counting;
pub use extract::extract;
pub use line::{Line, Role, buffer_string};
pub use model::{Model, Models, Plan, Strategy, plan, window};
pub use summary::{Budget, Divided, Division, LONGEST_SUMMARY, fit};
pub use tokenizer::Tokenizer;
pub use trim::{End, Trim, trim};
