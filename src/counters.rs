//! What happened, in numbers: counted where it happens, read for the log and at the end of a run.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Totals since the start of the process.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[doc = $doc])+ pub $name: Counter,)+ }

        /// The totals at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Totals { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Counters {
            /// The totals now.
            pub fn totals(&self) -> Totals {
                Totals { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counters! {
    /// Calls to SQS, retries and empty receives included.
    sqs_calls,
    /// Calls to DynamoDB, retries included.
    dynamodb_calls,
    /// Receives that brought something.
    receives,
    /// Deliveries received.
    deliveries,
    /// Deliveries settled: acked or dead-lettered.
    settled,
    /// Chat messages stored in the hot store, repeats included.
    messages,
    /// Chat messages appended to an archived conversation.
    late_messages,
    /// Deliveries dead-lettered.
    dead_lettered,
    /// Deliveries given back for another try.
    released,
    /// Deliveries whose lease was lost before they were settled.
    leases_lost,
    /// Conversations opened.
    opened,
    /// Conversations sealed.
    sealed,
    /// Conversations archived by this process.
    archived,
    /// Closes finished on behalf of somebody who began them.
    helped,
    /// Head writes refused because another came first.
    head_conflicts,
    /// Messages whose conversation closed while they were being put.
    displaced,
    /// Conversations copied into the archive while they went on.
    checkpoints,
    /// Commands the timer sent.
    timer_commands,
}

/// One total.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// The total now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
