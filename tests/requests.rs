//! Requests on the model queue: who gets which answer, how much is read for it, and what a wrong one cannot do.
#![allow(clippy::expect_used, clippy::unwrap_used)] // a test may panic

mod model;

#[path = "requests/asked.rs"]
mod asked;
#[path = "requests/contexts.rs"]
mod contexts;
#[path = "requests/house.rs"]
mod house;
#[path = "requests/named.rs"]
mod named;
#[path = "requests/pages.rs"]
mod pages;
