//! Taking over the older service's conversations: all of them, once, and what is left is said.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::site::{Said, Site, on_a_site};

/// The older service's tables, in a schema beside the archive's; as a URL.
async fn older(site: &Site) -> String {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL");
    let schema = format!("{}_older", site.settings["CONVERSATIOND_DATABASE_SCHEMA"]);
    let mut connection = PgConnection::connect(&url).await.expect("connect");
    let rows = include_str!("../fixtures/older_service.sql");
    let script = format!("create schema {schema}; set search_path to {schema}; {rows}");
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await.expect("the older service's tables");
    format!("{url}?options=-csearch_path%3D{schema}")
}

async fn forget(site: &Site) {
    let mut connection =
        PgConnection::connect(&std::env::var("DATABASE_URL").expect("DATABASE_URL")).await.expect("connect");
    let schema = &site.settings["CONVERSATIOND_DATABASE_SCHEMA"];
    sqlx::query(AssertSqlSafe(format!("drop schema {schema}_older cascade")))
        .execute(&mut connection)
        .await
        .expect("drop");
}

/// A connection to the archive.
async fn beside(site: &Site) -> PgConnection {
    let mut connection =
        PgConnection::connect(&std::env::var("DATABASE_URL").expect("DATABASE_URL")).await.expect("connect");
    let schema = &site.settings["CONVERSATIOND_DATABASE_SCHEMA"];
    sqlx::query(AssertSqlSafe(format!("set search_path to {schema}")))
        .execute(&mut connection)
        .await
        .expect("search_path");
    connection
}

/// What the archive answers, as JSON.
async fn ask(site: &Site, sql: &str) -> Value {
    let mut connection = beside(site).await;
    let sql = format!("select coalesce(json_agg(r), '[]') from ({sql}) r");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("an answer")
}

async fn write(site: &Site, sql: &str) {
    let mut connection = beside(site).await;
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("written");
}

async fn import(site: &Site, url: &str, more: &[&str]) -> Said {
    let arguments = [&["import", "legacy", "--before", "2026-03-01", "--json"], more].concat();
    site.run_with(&arguments, &[("CONVERSATIOND_OLDER_DATABASE_URL", url)], "").await
}

/// These numbers of what an import said.
fn of(said: &Said, names: &[&str]) -> Vec<u64> {
    let totals = said.json().pop().expect("totals");
    names.iter().map(|name| totals[name].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn what_was_closed_is_taken_over_once_and_holds() {
    on_a_site(async |site| {
        let url = older(&site).await;
        let written = ["new_conversations", "new_messages", "new_ratings", "standing", "elsewhere", "missing"];

        let dry = import(&site, &url, &[]).await;
        assert_eq!(dry.code, 0, "{}", dry.err);
        assert_eq!(of(&dry, &["conversations", "messages", "empty", "unreadable", "open"]), [4, 6, 1, 2, 1]);
        assert_eq!(of(&dry, &["missing", "missing_conversations", "new_messages"]), [6, 3, 0]);
        assert_eq!(ask(&site, "select id from conversation").await, json!([]), "a dry run writes nothing");

        let said = import(&site, &url, &["--yes", "--batch", "1"]).await;
        assert_eq!((said.code, of(&said, &written)), (0, vec![3, 5, 2, 5, 1, 0]), "{}", said.err);
        let again = import(&site, &url, &["--yes"]).await;
        assert_eq!((again.code, of(&again, &written)), (0, vec![0, 0, 0, 5, 1, 0]), "{}", again.err);

        let talks = "select contact_name, close_reason, resolution, topic, csat, nps, message_count, closed_at at time zone 'UTC' as closed
                     from conversation where id = 'aaaaaaaa-0000-4000-8000-000000000001'";
        assert_eq!(
            ask(&site, talks).await,
            json!([{"contact_name": "Ana", "close_reason": "imported", "resolution": 0, "topic": "Delivery", "csat": 5, "nps": 0,
                    "message_count": 3, "closed": "2026-02-02T03:00:00"}])
        );
        let said = "select text from message where conversation_id = 'aaaaaaaa-0000-4000-8000-000000000001' order by occurred_at, sequence";
        assert_eq!(ask(&site, said).await, json!([{"text": "Olá"}, {"text": "Onde está meu pedido?"}, {"text": "Tudo certo!"}]));
        let taken_over = "select ticket, has_chats_room, external_id from conversation where resolution = 4";
        assert_eq!(
            ask(&site, taken_over).await,
            json!([{"ticket": "33333333-3333-4333-8333-333333333333", "has_chats_room": true, "external_id": "aaaaaaaa-0000-4000-8000-000000000003"}])
        );
        let late = "select count(*) as late from rating where arrived_after_close";
        assert_eq!(ask(&site, late).await, json!([{"late": 0}]));
        let verified = site.run(&["verify"]).await;
        assert!(verified.code == 0 && verified.out.contains("checked=3 messages=5 differences=0"), "{}", verified.out);
        assert_eq!(ask(&site, "select id from outbox_notice").await, json!([]), "nobody is told");
        forget(&site).await;
    })
    .await;
}

#[tokio::test]
async fn an_import_goes_on_where_it_was_and_what_differs_is_said() {
    on_a_site(async |site| {
        let url = older(&site).await;
        let said = import(&site, &url, &["--yes", "--after", "aaaaaaaa-0000-4000-8000-000000000001"]).await;
        assert_eq!((said.code, of(&said, &["new_conversations", "new_messages"])), (0, vec![2, 3]), "{}", said.err);
        // the day of both: here, nobody sent the event
        let span = ["import", "compare", "--since", "2026-03-02", "--before", "2026-03-03", "--json"];
        let said = site.run_with(&span, &[("CONVERSATIOND_OLDER_DATABASE_URL", url.as_str())], "").await;
        assert_eq!(said.code, 1, "{}", said.err);
        assert_eq!((&said.json()[0]["found"], &said.json()[1]["lacking"]), (&json!(0), &json!(1)));
        assert!(!said.out.contains("whatsapp"), "{}", said.out);
        // once it stands here, in whatever conversation, nothing is lacking
        for sql in [
            "insert into conversation (id, project, contact, channel, thread, opened_at, closed_at, close_reason)
             values ('bbbbbbbb-0000-4000-8000-000000000001', '11111111-1111-4111-8111-111111111111', 'whatsapp:+5511900000005',
                     '22222222-2222-4222-8222-222222222222', 't', now(), now(), 'idle')",
            "insert into message (event_id, conversation_id, occurred_at, received_at, sequence, direction, text, external_id)
             values ('bbbbbbbb-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-000000000001', now(), now(), 1, 'incoming', '', 'm-9')",
        ] {
            write(&site, sql).await;
        }
        let said = site.run_with(&span, &[("CONVERSATIOND_OLDER_DATABASE_URL", url.as_str())], "").await;
        assert_eq!((said.code, &said.json()[0]["found"]), (0, &json!(1)), "{}", said.err);
        forget(&site).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_quoted() {
    on_a_site(async |site| {
        let said = import(&site, "postgres://u:hunter2@127.0.0.1:1/older", &["--yes"]).await;
        assert!(said.code == 1 && !said.err.contains("hunter2"), "{}", said.err);
        let said = import(&site, "mysql://u:hunter2@host/older", &[]).await;
        assert!(said.code == 64 && !said.err.contains("hunter2"), "{}", said.err);
    })
    .await;
}
