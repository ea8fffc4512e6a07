//! The rules of docs/security.md that need the whole program, or a process of their own. Above all: nothing personal and no
//! secret leaves by what it says of itself, in its logs at their most talkative, on the metrics page and in its pushes, in error
//! reports, in its health, in what it prints when it cannot go on. Everything that is sent to it bears marks; everything it
//! says is searched for them; and the search finds what is planted.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

#[path = "security/bodies.rs"]
mod bodies;
#[path = "security/child.rs"]
mod child;
#[path = "outbox/listener.rs"]
#[allow(dead_code)] // the sinks' stories need more of it
mod listener;
#[path = "security/marks.rs"]
mod marks;
#[path = "security/process.rs"]
mod process;
#[path = "security/roles.rs"]
mod roles;
#[path = "security/silence.rs"]
mod silence;
#[path = "operate/site.rs"]
#[allow(dead_code)] // the operator's stories need more of it
mod site;
#[path = "security/unusable.rs"]
mod unusable;
