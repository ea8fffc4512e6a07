//! Stories of the operator's commands: the program itself, on the real local stack; each on a site of its own.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

#[path = "operate/asking.rs"]
mod asking;
#[path = "operate/comparing.rs"]
mod comparing;
#[path = "operate/conversations.rs"]
mod conversations;
#[path = "operate/doctor.rs"]
mod doctor;
#[path = "operate/erasing.rs"]
mod erasing;
#[path = "operate/gateway.rs"]
mod gateway;
#[path = "operate/importing.rs"]
mod importing;
#[path = "operate/keeping.rs"]
mod keeping;
#[path = "operate/planted.rs"]
mod planted;
#[path = "operate/publish.rs"]
mod publish;
#[path = "operate/site.rs"]
mod site;
#[path = "operate/top.rs"]
mod top;
#[path = "operate/unsteady.rs"]
mod unsteady;
