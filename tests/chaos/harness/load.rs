//! The load: many threads that speak, end and speak again until they are told to finish, each event sent once the one before
//! it in its thread is acknowledged, and sent again until it is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use chrono::SecondsFormat;
use conversationd::{
    clock::{Clock, SystemClock},
    queue::fifo_id,
};
use serde_json::json;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    found,
    history::{Entry, History, Said},
    rng::Rng,
    site::Site,
};

/// How often events are sent.
const TICK: Duration = Duration::from_millis(100);

/// Entries of one call.
const BATCH: usize = 10;

/// How often the queue's depth is asked for, and the depth at which the load waits: what piles up only makes the end longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const DEEPEST: usize = 400;

/// How long the queue may refuse an event.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a thread is silent after a session's end, at most; its conversation may end meanwhile, or not.
const SILENCE_MILLIS: u64 = 4_000;

const PROJECT: &str = "chaos";
const CHANNEL: &str = "7f1c9c1e-1d2e-4f3a-9b4c-5d6e7f8a9b0c";

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Threads that speak at once.
    pub threads: usize,
    /// Events a second.
    pub events: u32,
}

/// One thread of it.
struct Thread {
    contact: String,
    rng: Rng,
    /// Whether its messages carry a time of their own.
    dated: bool,
    /// Whether its conversations end with a session's end, most of the time.
    sessions: bool,
    /// The number of its last event.
    n: u32,
    /// Messages left until it ends.
    left: u64,
    silent_until: Instant,
}

impl Thread {
    fn new(place: usize, rng: &mut Rng) -> Self {
        let mut rng = Rng(rng.next());
        let left = 1 + rng.below(8);
        Self {
            contact: format!("tel:{place}"),
            dated: rng.chance(500),
            sessions: place % 4 == 3,
            rng,
            n: 0,
            left,
            silent_until: Instant::now(),
        }
    }

    fn next(&mut self, to_the_end: bool) -> Letter {
        let said = match self.left {
            _ if to_the_end => Said::Close,
            0 if self.sessions && self.rng.chance(800) => Said::SessionEnd,
            0 => Said::Close,
            _ => Said::Message,
        };
        match said {
            Said::Message => self.left -= 1,
            _ => self.left = 1 + self.rng.below(8),
        }
        if said == Said::SessionEnd {
            self.silent_until = Instant::now() + Duration::from_millis(self.rng.below(SILENCE_MILLIS));
        }
        self.n += 1;
        let words = 1 + self.rng.below(12) as usize;
        Letter::of(&self.contact, self.n, said, self.dated, words)
    }
}

/// An event on its way.
#[derive(Clone, Debug)]
struct Letter {
    thread: String,
    n: u32,
    said: Said,
    body: String,
    id: String,
}

impl Letter {
    fn of(contact: &str, n: u32, said: Said, dated: bool, words: usize) -> Self {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{contact} {n}").as_bytes()).to_string();
        let mut data = json!({ "project_uuid": PROJECT, "contact_urn": contact, "channel_uuid": CHANNEL });
        let event_type = match said {
            Said::Message => {
                let text = vec!["word"; words].join(" ");
                data["message"] = json!({ "id": n.to_string(), "text": text, "source": "incoming" });
                if dated {
                    let now = SystemClock.now().to_rfc3339_opts(SecondsFormat::Micros, true);
                    data["message"]["created_at"] = json!(now);
                }
                "message.received"
            }
            Said::Close => {
                data["resolution"] = json!(0);
                "conversation.close"
            }
            Said::SessionEnd => {
                data["session_id"] = json!(format!("{contact}/{n}"));
                "session.closed"
            }
        };
        let body = json!({ "event_type": event_type, "correlation_id": id, "data": data }).to_string();
        Self { thread: contact.to_owned(), n, said, body, id }
    }

    fn entry(&self, place: usize) -> SendMessageBatchRequestEntry {
        let group = fifo_id(&format!("{PROJECT}:{CHANNEL}:{}", self.thread));
        let entry = SendMessageBatchRequestEntry::builder().id(place.to_string()).message_body(&self.body);
        entry.message_group_id(group).message_deduplication_id(&self.id).build().expect("an entry has all it needs")
    }
}

/// A load that runs.
pub struct Load {
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<u64>>,
}

impl Load {
    /// Begins it; `seed` decides who speaks when.
    pub fn begin(site: Site, history: History, rate: Rate, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let publisher = Publisher { site: Arc::new(site), history, rate };
        Self { stop: stop.clone(), running: tokio::spawn(publisher.run(Rng(seed), stop)) }
    }

    /// Ends it: every thread's conversation is closed. Returns how many events there were.
    pub async fn end(self) -> anyhow::Result<u64> {
        self.stop.cancel();
        self.running.await.context("the publisher panicked")?
    }
}

#[derive(Clone)]
struct Publisher {
    site: Arc<Site>,
    history: History,
    rate: Rate,
}

impl Publisher {
    async fn run(self, mut rng: Rng, stop: CancellationToken) -> anyhow::Result<u64> {
        let all = (1..=self.rate.threads).map(|place| Thread::new(place, &mut rng));
        let mut idle: BTreeMap<String, Thread> = all.map(|thread| (thread.contact.clone(), thread)).collect();
        let mut sending: JoinSet<anyhow::Result<Vec<Thread>>> = JoinSet::new();
        let (mut ticks, mut looked, mut deep, mut sent) = (interval(TICK), Instant::now(), false, 0);
        let mut due = 0.0;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(back) = sending.join_next() => back_home(&mut idle, back)?,
                _ = ticks.tick() => {
                    if looked.elapsed() > LOOK_EVERY {
                        looked = Instant::now();
                        deep = found::depth(&self.site).await.map_or(deep, |depth| depth > DEEPEST);
                    }
                    if !deep {
                        due += f64::from(self.rate.events) * TICK.as_secs_f64();
                        let chosen = choose(&mut idle, due as usize, &mut rng);
                        due = due.fract();
                        sent += chosen.len() as u64;
                        self.spawn(chosen, false, &mut sending);
                    }
                }
            }
        }
        while let Some(back) = sending.join_next().await {
            back_home(&mut idle, back)?;
        }
        let last: Vec<Thread> = idle.into_values().filter(|thread| thread.n > 0).collect();
        sent += last.len() as u64;
        self.spawn(last, true, &mut sending);
        while let Some(back) = sending.join_next().await {
            back.context("the publisher panicked")??;
        }
        Ok(sent)
    }

    fn spawn(&self, mut threads: Vec<Thread>, to_the_end: bool, sending: &mut JoinSet<anyhow::Result<Vec<Thread>>>) {
        while !threads.is_empty() {
            let batch = threads.split_off(threads.len().saturating_sub(BATCH));
            sending.spawn(self.clone().send(batch, to_the_end));
        }
    }

    /// Sends one event of each thread, until the queue has all of them.
    async fn send(self, mut threads: Vec<Thread>, to_the_end: bool) -> anyhow::Result<Vec<Thread>> {
        let mut letters: Vec<Letter> = threads.iter_mut().map(|thread| thread.next(to_the_end)).collect();
        for Letter { thread, n, said, .. } in &letters {
            self.history.add(Entry::Sent { thread: thread.clone(), n: *n, said: *said });
        }
        let begun = Instant::now();
        while !letters.is_empty() {
            let entries = letters.iter().enumerate().map(|(place, letter)| letter.entry(place)).collect();
            let call = self.site.clients.sqs.control.send_message_batch().queue_url(&self.site.names.queue_url);
            match call.set_entries(Some(entries)).send().await {
                Ok(sent) => {
                    let taken: Vec<usize> =
                        sent.successful().iter().filter_map(|entry| entry.id().parse().ok()).collect();
                    for (place, letter) in std::mem::take(&mut letters).into_iter().enumerate() {
                        if taken.contains(&place) {
                            self.history.add(Entry::Acknowledged { thread: letter.thread, n: letter.n });
                        } else {
                            letters.push(letter);
                        }
                    }
                }
                Err(failure) if begun.elapsed() > PATIENCE => return Err(failure).context("the queue takes nothing"),
                Err(_) => sleep(TICK * 2).await,
            }
        }
        Ok(threads)
    }
}

fn back_home(
    idle: &mut BTreeMap<String, Thread>,
    back: Result<anyhow::Result<Vec<Thread>>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    let threads = back.context("the publisher panicked")??;
    idle.extend(threads.into_iter().map(|thread| (thread.contact.clone(), thread)));
    Ok(())
}

/// Some of those that may speak, by lot.
fn choose(idle: &mut BTreeMap<String, Thread>, most: usize, rng: &mut Rng) -> Vec<Thread> {
    let now = Instant::now();
    let may: Vec<String> =
        idle.values().filter(|thread| thread.silent_until <= now).map(|thread| thread.contact.clone()).collect();
    if may.is_empty() {
        return Vec::new();
    }
    let first = rng.below(may.len() as u64) as usize;
    let names = may.iter().cycle().skip(first).take(most.min(may.len()));
    names.filter_map(|name| idle.remove(name)).collect()
}
