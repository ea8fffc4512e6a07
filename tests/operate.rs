//! Stories of the operator's commands: the program itself, on the real local stack; each on a site of its own.
#![allow(clippy::expect_used, clippy::disallowed_methods)] // the environment, and names of its own for each site

#[path = "operate/conversations.rs"]
mod conversations;
#[path = "operate/doctor.rs"]
mod doctor;
#[path = "operate/publish.rs"]
mod publish;
#[path = "operate/site.rs"]
mod site;
#[path = "operate/unsteady.rs"]
mod unsteady;
