//! A road to PostgreSQL that can be cut, and that can lose the answer to a commit.

use std::{str::FromStr, sync::Arc};

use conversationd::config::environment;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How the road is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Everything passes.
    Open,
    /// Standing connections end, new ones end at once.
    Cut,
    /// The next commit reaches the database, its answer reaches nobody; then the road is open again.
    LosesACommit,
}

/// A road to the database of the environment.
pub struct Proxy {
    /// What to say as DATABASE_URL.
    pub url: String,
    road: Arc<watch::Sender<Road>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let database = environment("DATABASE_URL").unwrap_or_default();
        let options = PgConnectOptions::from_str(&database).expect("a PostgreSQL URL");
        let target = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let road = Arc::new(watch::Sender::new(Road::Open));
        let built = road.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *built.borrow() == Road::Cut {
                    continue; // dropped
                }
                let (built, target) = (built.clone(), target.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let mut road = built.subscribe();
                    tokio::select! {
                        _ = carry(client, server, &built) => {}
                        _ = road.wait_for(|road| *road == Road::Cut) => {}
                    }
                });
            }
        });
        Self { url: options.host("127.0.0.1").port(port).to_url_lossy().to_string(), road }
    }

    pub fn set(&self, road: Road) {
        self.road.send_replace(road);
    }

    pub fn is(&self, road: Road) -> bool {
        *self.road.borrow() == road
    }
}

/// Carries bytes both ways until one side ends, or a commit's answer is to be lost.
async fn carry(mut client: TcpStream, mut server: TcpStream, road: &watch::Sender<Road>) -> std::io::Result<()> {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    // a commit goes to and fro twice: it is prepared, then executed
    let mut answers_to_commit = None;
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read? {
                0 => return Ok(()),
                n => {
                    if *road.borrow() == Road::LosesACommit && up[..n].windows(7).any(|bytes| bytes == b"commit\0") {
                        answers_to_commit = Some(0);
                    }
                    server.write_all(&up[..n]).await?;
                }
            },
            read = server.read(&mut down) => match read? {
                0 => return Ok(()),
                n => {
                    answers_to_commit = answers_to_commit.map(|answers| answers + 1);
                    if answers_to_commit == Some(2) {
                        road.send_replace(Road::Open);
                        return Ok(());
                    }
                    client.write_all(&down[..n]).await?;
                }
            },
        }
    }
}
