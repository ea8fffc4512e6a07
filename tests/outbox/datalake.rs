//! The datalake's service on loopback: plaintext HTTP/2, messages decoded as the service would.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use conversationd::{
    domain::{ConversationId, Details, EventId, Notice, NoticeKind, Rating, RatingKind, Record, Sequence, Thread},
    sink::{
        Dispatch, Outcome, Sink,
        datalake_wire::{InsertEventData, Kind, TypedValue, ValueType},
    },
};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Bytes, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    house::noon,
    listener::{built, closed, open},
};

#[derive(Default)]
struct Service {
    got: Mutex<Vec<(HeaderMap, String, InsertEventData)>>,
    statuses: Mutex<VecDeque<&'static str>>,
    connections: Mutex<usize>,
}

async fn serve() -> (u16, Arc<Service>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let service = Arc::new(Service::default());
    let kept = service.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            *service.connections.lock().unwrap() += 1;
            let service = service.clone();
            tokio::spawn(async move {
                let take = service_fn(move |request| take(request, service.clone()));
                let _ =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), take).await;
            });
        }
    });
    (port, kept)
}

type Answer = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn take(request: Request<hyper::body::Incoming>, service: Arc<Service>) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.expect("a whole request").to_bytes();
    assert_eq!(bytes[0], 0, "not compressed");
    assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes")) as usize, bytes.len() - 5);
    let event = InsertEventData::decode(&bytes[5..]).expect("a message");
    service.got.lock().unwrap().push((head.headers, head.uri.path().to_owned(), event));
    let status = service.statuses.lock().unwrap().pop_front().unwrap_or("0");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().expect("a status"));
    // {status: "success"}, behind its prefix
    let answer = Full::new(Bytes::from_static(b"\0\0\0\0\x09\x0a\x07success"));
    let body = answer.with_trailers(async move { Some(Ok(trailers)) }).boxed();
    Ok(Response::builder().header("content-type", "application/grpc").body(body).expect("an answer"))
}

fn rated(score: u8) -> Notice {
    let thread = Thread {
        project: "p".into(),
        contact: Some("whatsapp:5511999990000".into()),
        channel: Some("c".into()),
        conversation: None,
    };
    let record = Record {
        id: ConversationId(Uuid::from_u128(1)),
        opened_at: noon(),
        opened_received_at: noon(),
        contact_name: None,
        agent_id: Some("agent".into()),
        previous: None,
        details: Details::default(),
        recap: None,
    };
    let rating = Rating {
        event_id: EventId(Uuid::from_u128(u128::from(score))),
        kind: RatingKind::Nps,
        key: "weni_nps".into(),
        value: score.to_string(),
        score: Some(score),
        comment: None,
        agent_id: None,
        answered_at: noon(),
        received_at: noon(),
        sequence: Sequence(1),
    };
    Notice::rated(&thread, Some(&record), None, &rating)
}

async fn send(sink: &Arc<dyn Sink>, notice: &Notice) -> Outcome {
    sink.send(&Dispatch { notice, lane: notice.conversation_lane, sequence: 1, attempt: 1 }).await.outcome
}

fn entry(port: u16) -> String {
    format!("kind = 'datalake'\naddress = '127.0.0.1:{port}'")
}

#[tokio::test]
async fn a_score_arrives_as_the_service_knows_it() {
    let (port, service) = serve().await;
    let sink = built(&open(port), &entry(port));
    for score in [9, 0] {
        assert_eq!(send(&sink, &rated(score)).await, Outcome::Delivered);
    }
    let got = service.got.lock().unwrap().clone();
    let (headers, path, event) = &got[0];
    assert_eq!(path, "/events.DatalakeManagerService/InsertEventData");
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-timeout"], "10000m", "weni_deadline");
    assert_eq!((event.event_name.as_str(), event.key.as_str()), ("weni_nexus_data", "weni_nps"));
    assert_eq!(event.date.map(|date| date.seconds), Some(noon().timestamp()));
    assert_eq!(event.value_type, i32::from(ValueType::String));
    let value = |event: &InsertEventData| event.value.clone().and_then(|value| value.value);
    assert_eq!(value(event), Some(TypedValue::String("9".into())));
    assert_eq!(value(&got[1].2), Some(TypedValue::String("0".into())), "zero is a score");
    let metadata = event.metadata.clone().expect("metadata").fields;
    assert_eq!(metadata["agent_uuid"].kind, Some(Kind::String("agent".into())));
    assert_eq!(*service.connections.lock().unwrap(), 1, "one connection for all");
}

#[tokio::test]
async fn a_status_decides_and_what_it_has_no_use_for_is_not_sent() {
    let (port, service) = serve().await;
    service.statuses.lock().unwrap().extend(["14", "3", "16"]);
    let sink = built(&open(port), &entry(port));
    assert_eq!(send(&sink, &rated(1)).await, Outcome::Retry { after: None });
    assert_eq!(send(&sink, &rated(1)).await, Outcome::Refused { tries: 1 });
    assert_eq!(send(&sink, &rated(1)).await, Outcome::Misconfigured);
    let other = Notice { kind: NoticeKind::Updated, ..rated(1) };
    assert_eq!(send(&sink, &other).await, Outcome::Delivered);
    assert_eq!(service.got.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_connected_to() {
    let (port, service) = serve().await;
    let sink = built(&closed(port), &entry(port));
    assert_eq!(send(&sink, &rated(1)).await, Outcome::Misconfigured);
    assert_eq!(*service.connections.lock().unwrap(), 0);
    let nobody = built(&open(1), &entry(1));
    assert_eq!(send(&nobody, &rated(1)).await, Outcome::Retry { after: None });
}
