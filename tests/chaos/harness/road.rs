//! A road between a daemon and a server, on which things go wrong: a TCP proxy whose mode changes while it carries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

use super::{
    frames::{self, Asks, Frame, Postgres},
    rng::Rng,
};

/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(2);

/// Of a thousand requests, so many meet a fault that picks requests: enough to hurt, not enough to stop everything.
const PICKED_PERMILLE: u64 = 400;

/// What is spoken on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Http,
    Postgres,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Open,
    /// Standing connections are reset, new ones at once.
    Cut,
    /// What is sent disappears, and no answer comes; nobody is told. Afterwards such connections are reset.
    Swallows,
    /// Answers come byte by byte.
    Drips,
    /// Some requests never arrive: their connection is reset.
    LosesRequests,
    /// Some requests are carried out, and their answer never arrives: the connection is reset.
    LosesAnswers,
    /// As both above, but nothing other than commits.
    LosesCommits,
    LosesAnswersToCommits,
    /// Some requests are answered with throttling, or with a fault, and do not arrive.
    Refuses,
    /// All are.
    RefusesAll,
    /// Some batches are answered as if nothing of them could be done, and do not arrive.
    DoesNothing,
}

/// What becomes of a request.
enum Fate {
    Arrives,
    Vanishes,
    LosesItsAnswer,
    IsAnswered(Vec<u8>),
}

/// A road.
pub struct Road {
    /// Where it begins, on loopback.
    pub port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    target: String,
    speech: Speech,
    seed: u64,
    mode: watch::Sender<Mode>,
    /// Requests in all, and those that a fault met.
    asked: AtomicU64,
    met: AtomicU64,
    connections: AtomicU64,
}

impl Road {
    /// Lays one to `target`, a host and a port.
    pub async fn lay(target: String, speech: Speech, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (asked, met, connections) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let mode = watch::Sender::new(Mode::Open);
        let state = Arc::new(State { target, speech, seed, mode, asked, met, connections });
        let laid = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(laid.clone().connection(client));
            }
        });
        Ok(Self { port, state, accepting })
    }

    /// Changes it.
    pub fn set(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
    }

    /// How many requests there were so far.
    pub fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::Relaxed)
    }

    /// How many requests met a fault of their own so far.
    pub fn met(&self) -> u64 {
        self.state.met.load(Ordering::Relaxed)
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    async fn connection(self: Arc<Self>, client: TcpStream) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut mode = self.mode.subscribe();
        let began = *mode.borrow_and_update();
        if began == Mode::Swallows {
            // accepted, as a half-open connection is, and silent until the end of it
            let _ = mode.wait_for(|mode| *mode != Mode::Swallows).await;
            return reset(client);
        }
        let server = match began {
            Mode::Cut => None,
            _ => TcpStream::connect(&self.target).await.ok(),
        };
        let Some(server) = server else { return reset(client) };
        let mut carried = Carried { client, server, rng: Rng(self.seed ^ number << 20), state: self.clone() };
        let _ = carried.carry(&mut mode).await;
        reset(carried.client);
        reset(carried.server);
    }

    fn is(&self, mode: Mode) -> bool {
        *self.mode.borrow() == mode
    }

    /// What becomes of a request, in the present mode.
    fn fate(&self, frame: &Frame, rng: &mut Rng) -> Fate {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (mode, is_commit) = (*self.mode.borrow(), frame.asks == Asks::Commit);
        let picks = match mode {
            Mode::Open | Mode::Drips | Mode::Cut | Mode::Swallows => false,
            Mode::RefusesAll => true,
            _ => rng.chance(PICKED_PERMILLE),
        };
        if !picks {
            return Fate::Arrives;
        }
        let fate = match (mode, &frame.asks) {
            (Mode::LosesRequests, _) => Fate::Vanishes,
            (Mode::LosesAnswers, _) => Fate::LosesItsAnswer,
            (Mode::LosesCommits, Asks::Commit) => Fate::Vanishes,
            (Mode::LosesAnswersToCommits, _) if is_commit => Fate::LosesItsAnswer,
            (Mode::Refuses | Mode::RefusesAll, Asks::Operation(..)) => {
                Fate::IsAnswered(frames::refusal(self.met.load(Ordering::Relaxed)))
            }
            (Mode::DoesNothing, Asks::Operation(operation, body)) => {
                frames::nothing_done(operation, body).map_or(Fate::Arrives, Fate::IsAnswered)
            }
            _ => Fate::Arrives,
        };
        if !matches!(fate, Fate::Arrives) {
            self.met.fetch_add(1, Ordering::Relaxed);
        }
        fate
    }
}

/// One connection on its way.
struct Carried {
    client: TcpStream,
    server: TcpStream,
    rng: Rng,
    state: Arc<State>,
}

impl Carried {
    /// Carries until one side ends, or a fault ends it.
    async fn carry(&mut self, mode: &mut watch::Receiver<Mode>) -> std::io::Result<()> {
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        let (mut waiting, mut postgres) = (Vec::new(), Postgres::default());
        let (mut answer_is_lost, mut swallowed) = (false, false);
        loop {
            tokio::select! {
                biased;
                changed = mode.changed() => {
                    let now = *mode.borrow_and_update();
                    if changed.is_err() || now == Mode::Cut || (swallowed && now != Mode::Swallows) {
                        return Ok(());
                    }
                    swallowed |= now == Mode::Swallows;
                }
                read = self.client.read(&mut up) => {
                    let read = read?;
                    if read == 0 {
                        return Ok(());
                    }
                    if swallowed {
                        continue;
                    }
                    waiting.extend_from_slice(&up[..read]);
                    while let Some(frame) = match self.state.speech {
                        Speech::Http => frames::http(&mut waiting),
                        Speech::Postgres => postgres.take(&mut waiting),
                    } {
                        match self.state.fate(&frame, &mut self.rng) {
                            Fate::Arrives => self.server.write_all(&frame.bytes).await?,
                            Fate::Vanishes => return Ok(()),
                            Fate::LosesItsAnswer => {
                                answer_is_lost = true;
                                self.server.write_all(&frame.bytes).await?;
                            }
                            Fate::IsAnswered(answer) => self.client.write_all(&answer).await?,
                        }
                    }
                }
                read = self.server.read(&mut down) => {
                    let read = read?;
                    if read == 0 || answer_is_lost {
                        return Ok(());
                    }
                    if swallowed {
                        continue;
                    }
                    let (slow, fast) = down[..read].split_at(if self.state.is(Mode::Drips) { read } else { 0 });
                    self.client.write_all(fast).await?;
                    for byte in slow {
                        self.client.write_all(&[*byte]).await?;
                        if self.state.is(Mode::Drips) {
                            sleep(DRIP).await;
                        }
                    }
                }
            }
        }
    }
}

/// Ends a connection without a farewell.
fn reset(connection: TcpStream) {
    let _ = connection.set_zero_linger();
}
