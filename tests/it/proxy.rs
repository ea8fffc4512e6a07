//! A road to a server that can be cut, and that can lose the answer to a commit.

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
    /// Nothing passes, and nobody is told.
    Swallows,
    /// The next commit reaches the database, its answer reaches nobody; then the road is open again.
    LosesACommit,
}

/// A road that leads somewhere else than its URL says.
pub struct Proxy {
    /// What to say in place of the server's own URL.
    pub url: String,
    road: Arc<watch::Sender<Road>>,
}

impl Proxy {
    /// To the database of the environment.
    pub async fn to_database() -> Self {
        let database = environment("DATABASE_URL").unwrap_or_default();
        let options = PgConnectOptions::from_str(&database).expect("a PostgreSQL URL");
        let (port, road) = lay(format!("{}:{}", options.get_host(), options.get_port())).await;
        Self { url: options.host("127.0.0.1").port(port).to_url_lossy().to_string(), road }
    }

    /// To an emulated AWS service: `SQS` or `DYNAMODB`.
    pub async fn to_aws(service: &str) -> Self {
        let own = environment(&format!("AWS_ENDPOINT_URL_{service}"));
        let url = own.or_else(|| environment("AWS_ENDPOINT_URL")).unwrap_or_default();
        let address = url.strip_prefix("http://").expect("an emulator, at an http:// URL").trim_end_matches('/');
        let (port, road) = lay(address.to_owned()).await;
        Self { url: format!("http://127.0.0.1:{port}"), road }
    }

    pub fn set(&self, road: Road) {
        self.road.send_replace(road);
    }

    pub fn is(&self, road: Road) -> bool {
        *self.road.borrow() == road
    }
}

/// Lays a road to `target`. Returns the port where it begins.
async fn lay(target: String) -> (u16, Arc<watch::Sender<Road>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let road = Arc::new(watch::Sender::new(Road::Open));
    let laid = road.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if *laid.borrow() == Road::Cut {
                continue; // dropped
            }
            let (laid, target) = (laid.clone(), target.clone());
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(target).await else { return };
                let mut road = laid.subscribe();
                tokio::select! {
                    _ = carry(client, server, &laid) => {}
                    _ = road.wait_for(|road| *road == Road::Cut) => {}
                }
            });
        }
    });
    (port, road)
}

/// Carries bytes both ways until one side ends, or a commit's answer is to be lost.
async fn carry(mut client: TcpStream, mut server: TcpStream, road: &watch::Sender<Road>) -> std::io::Result<()> {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    // a commit goes to and fro twice: it is prepared, then executed
    let (mut answers_to_commit, mut standing) = (None, road.subscribe());
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let bytes = &up[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                if *road.borrow() == Road::LosesACommit && bytes.windows(7).any(|bytes| bytes == b"commit\0") {
                    answers_to_commit = Some(0);
                }
                passable(&mut standing).await;
                server.write_all(bytes).await?;
            }
            read = server.read(&mut down) => {
                let bytes = &down[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                answers_to_commit = answers_to_commit.map(|answers| answers + 1);
                if answers_to_commit == Some(2) {
                    road.send_replace(Road::Open);
                    return Ok(());
                }
                passable(&mut standing).await;
                client.write_all(bytes).await?;
            }
        }
    }
}

/// Until what was read may be passed on.
async fn passable(road: &mut watch::Receiver<Road>) {
    let _ = road.wait_for(|road| *road != Road::Swallows).await;
}
