//! What the program says about itself while it runs, on the real local stack: its metrics page, its pushes, its health, its
//! logs' traces. And that the documentation lists exactly what is exported.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

#[path = "metrics/collector.rs"]
mod collector;
#[path = "metrics/daemon.rs"]
mod daemon;
#[path = "metrics/docs.rs"]
mod docs;
#[path = "metrics/health.rs"]
mod health;
#[path = "metrics/page.rs"]
mod page;
#[path = "metrics/push.rs"]
mod push;
#[path = "operate/site.rs"]
#[allow(dead_code)] // the operator's stories need more of it
mod site;
#[path = "metrics/trace.rs"]
mod trace;
