//! What stands before the local stack when AWS itself should be odd: it refuses an action, or tells another time.

use std::env;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// How it is odd.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oddity {
    /// The action that nobody may take, as a request's target ends.
    pub refused: Option<&'static str>,
    /// The date of every answer.
    pub date: Option<&'static str>,
}

/// Serves on a port of its own, as long as the test runs. Returns its URL.
pub async fn serve(oddity: Oddity) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stack = env::var("AWS_ENDPOINT_URL").expect("the local stack");
    let stack = stack.trim_start_matches("http://").trim_end_matches('/').to_owned();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(pass(connection, stack.clone(), oddity));
        }
    });
    url
}

/// One request a connection.
async fn pass(connection: TcpStream, stack: String, oddity: Oddity) -> Option<()> {
    let mut connection = BufReader::new(connection);
    let (mut head, mut length, mut target) = (String::new(), 0, String::new());
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let lower = line.trim_end().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        } else if lower.starts_with("x-amz-target:") {
            target = line.trim_end().to_owned();
        } else if lower.starts_with("connection:") {
            continue;
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    let answer = if oddity.refused.is_some_and(|refused| target.ends_with(&format!(".{refused}"))) {
        let body = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not you"}"#;
        format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    } else {
        let mut stack = TcpStream::connect(stack).await.ok()?;
        stack.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.ok()?;
        stack.write_all(&body).await.ok()?;
        let mut answer = String::new();
        stack.read_to_string(&mut answer).await.ok()?;
        dated(&answer, oddity.date)
    };
    connection.write_all(answer.as_bytes()).await.ok()
}

/// The answer with another date.
fn dated(answer: &str, date: Option<&str>) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let line = |line: &str| match date {
        Some(date) if line.to_ascii_lowercase().starts_with("date:") => format!("date: {date}"),
        _ => line.to_owned(),
    };
    format!("{}\r\n\r\n{body}", head.split("\r\n").map(line).collect::<Vec<_>>().join("\r\n"))
}
