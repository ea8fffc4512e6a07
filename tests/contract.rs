//! The contract as documents: that they are as the code has them, that they are right, and that what they show works.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

#[path = "contract/asyncapi.rs"]
mod asyncapi;
#[path = "contract/bodies.rs"]
mod bodies;
#[path = "contract/documents.rs"]
mod documents;
#[path = "contract/examples.rs"]
mod examples;
#[path = "contract/judge.rs"]
mod judge;
#[path = "contract/lint.rs"]
mod lint;
#[path = "contract/replies.rs"]
mod replies;
#[allow(dead_code)] // not all of a site is used here
#[path = "operate/site.rs"]
mod site;
#[path = "contract/tools.rs"]
mod tools;
#[path = "operate/unsteady.rs"]
mod unsteady;
