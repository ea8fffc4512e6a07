//! An outside system: a webhook on loopback that notes what it takes, and whose manners change.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::{
    history::{Entry, History},
    rng::Rng,
};

/// Of a thousand requests, so many meet a fault that picks requests. Five failures in a row open a sink's breaker for half a
/// minute: enough pass in between.
const PICKED_PERMILLE: u64 = 250;

/// Seconds of silence that it asks for when it has had too much.
const SILENCE: &str = "1";

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes everything.
    Takes,
    /// It answers some with 503, 429 and 500, and forgets them.
    Refuses,
    /// It takes some and never says so.
    TakesSilently,
    /// It reads, and neither takes nor answers anything.
    Hangs,
    /// Its connections are reset.
    Dead,
}

/// An outside system. Ends when dropped.
pub struct Outside {
    pub port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    manner: watch::Sender<Manner>,
    history: History,
    rng: Mutex<Rng>,
    /// Requests and connections that met a fault.
    met: AtomicU64,
}

impl Outside {
    /// Begins one that notes in `history` what it takes; `seed` decides which requests it picks.
    pub async fn begin(history: History, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (manner, rng, met) = (watch::Sender::new(Manner::Takes), Mutex::new(Rng(seed)), AtomicU64::new(0));
        let state = Arc::new(State { manner, history, rng, met });
        let begun = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(begun.clone().connection(connection));
            }
        });
        Ok(Self { port, state, accepting })
    }

    /// Changes its manner.
    pub fn set(&self, manner: Manner) {
        self.state.manner.send_replace(manner);
    }

    /// How many requests and connections met a fault so far.
    pub fn met(&self) -> u64 {
        self.state.met.load(Ordering::Relaxed)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    async fn connection(self: Arc<Self>, connection: TcpStream) {
        if self.is(Manner::Dead) {
            self.met.fetch_add(1, Ordering::Relaxed);
            let _ = connection.set_zero_linger();
            return;
        }
        let answer = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let dies = async {
            let _ = self.manner.subscribe().wait_for(|manner| *manner == Manner::Dead).await;
        };
        tokio::select! {
            _ = http1::Builder::new().serve_connection(TokioIo::new(connection), answer) => {}
            () = dies => {}
        }
    }

    fn is(&self, manner: Manner) -> bool {
        *self.manner.borrow() == manner
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return said(400) };
        let key = head.headers.get("webhook-id").and_then(|key| key.to_str().ok()).unwrap_or_default();
        let manner = *self.manner.borrow();
        let picked = match manner {
            Manner::Takes | Manner::Dead => false,
            Manner::Hangs => true,
            Manner::Refuses | Manner::TakesSilently => {
                self.rng.lock().unwrap_or_else(PoisonError::into_inner).chance(PICKED_PERMILLE)
            }
        };
        if !picked {
            self.take(key, &body.to_bytes());
            return said(200);
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        if manner == Manner::Refuses {
            return said([503, 429, 500][(met % 3) as usize]);
        }
        if manner == Manner::TakesSilently {
            self.take(key, &body.to_bytes());
        }
        std::future::pending().await // until the caller is tired of it
    }

    fn take(&self, key: &str, body: &[u8]) {
        let notice: Value = serde_json::from_slice(body).unwrap_or_default();
        let conversation = notice["data"]["conversation_id"].as_str().and_then(|id| id.parse().ok());
        let conversation = conversation.unwrap_or_default(); // nobody's: the judge says so
        self.history.add(Entry::Told { conversation, key: key.to_owned() });
    }
}

fn said(status: u16) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status);
    let answer = if status == 429 { answer.header("retry-after", SILENCE) } else { answer };
    answer.body(Full::default()).unwrap_or_default()
}
