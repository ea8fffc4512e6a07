//! What real processes go through and what must be true afterwards: a load, faults, a history, and a judge who sees only the
//! history and the stores.

pub mod checker;
pub mod daemon;
pub mod fault;
pub mod found;
pub mod frames;
pub mod history;
pub mod load;
pub mod outage;
pub mod outside;
pub mod road;
pub mod roads;
pub mod round;
pub mod site;
pub mod trial;

#[allow(dead_code)] // the models use all of it
#[path = "../../model/rng.rs"]
pub mod rng;
