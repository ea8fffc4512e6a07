//! Many callers, one call: gathers what is asked at about the same time into the batches that AWS charges for.
//!
//! The code of a conversation reads as if it were alone; that ten of them share a call is decided here. Knows nothing of what is asked.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::sleep,
};

/// How a batch is made.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Most requests in one call: the service's limit.
    pub most: usize,
    /// How long the first request of a batch waits for others.
    pub linger: Duration,
    /// Calls on their way at once; more requests wait and so fill their batches.
    pub parallel: usize,
}

/// Gathers requests into batches and hands each asker its own answer.
#[derive(Debug)]
pub struct Coalescer<Q, A> {
    requests: mpsc::Sender<(Q, oneshot::Sender<A>)>,
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Starts a coalescer whose batches go to `call`, which answers in the order it was asked.
    pub fn start<F, Fut>(batching: Batching, call: F) -> Self
    where
        F: Fn(Vec<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<A>> + Send + 'static,
    {
        let (requests, inbox) = mpsc::channel(batching.most * batching.parallel);
        tokio::spawn(gather(inbox, batching, Arc::new(call)));
        Self { requests }
    }

    /// Asks, and waits for the answer; `None` when the call ended without one.
    pub async fn ask(&self, request: Q) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        self.requests.send((request, reply)).await.ok()?;
        answer.await.ok()
    }
}

async fn gather<Q, A, F, Fut>(mut inbox: mpsc::Receiver<(Q, oneshot::Sender<A>)>, batching: Batching, call: Arc<F>)
where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Vec<Q>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<A>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(batching.parallel));
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        // one timer for the batch, and all that has come at each look
        let over = sleep(batching.linger);
        tokio::pin!(over);
        while batch.len() < batching.most {
            let room = batching.most - batch.len();
            tokio::select! {
                biased;
                more = inbox.recv_many(&mut batch, room) => if more == 0 { break },
                () = &mut over => break,
            }
        }
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        while batch.len() < batching.most {
            match inbox.try_recv() {
                Ok(request) => batch.push(request),
                Err(_) => break,
            }
        }
        let call = call.clone();
        tokio::spawn(async move {
            let (requests, replies): (Vec<Q>, Vec<_>) = batch.into_iter().unzip();
            for (answer, reply) in call(requests).await.into_iter().zip(replies) {
                let _ = reply.send(answer);
            }
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_together_goes_in_one_call_and_everyone_gets_their_own_answer() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = sizes.clone();
        let batching = Batching { most: 10, linger: Duration::from_millis(2), parallel: 2 };
        let coalescer = Coalescer::start(batching, move |numbers: Vec<u32>| {
            seen.lock().expect("lock").push(numbers.len());
            async move { numbers.into_iter().map(|n| n * 2).collect() }
        });
        let answers = futures_util::future::join_all((0..25).map(|n| coalescer.ask(n))).await;
        assert_eq!(answers, (0..25).map(|n| Some(n * 2)).collect::<Vec<_>>());
        assert_eq!(*sizes.lock().expect("lock"), [10, 10, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_dies_answers_nobody_and_hangs_nobody() {
        let batching = Batching { most: 10, linger: Duration::from_millis(2), parallel: 1 };
        let coalescer = Coalescer::start(batching, |_: Vec<u32>| async { Vec::<u32>::new() });
        assert_eq!(coalescer.ask(1).await, None);
    }
}
