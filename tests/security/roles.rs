//! infra/archive/roles.sql: everything the daemon does, it does as a role that can delete no conversation, message or rating.

use std::time::Duration;

use conversationd::{
    archive::{NEEDED, Options, PostgresArchive},
    domain::Sequence,
    hot,
    outbox::Outbox,
    queue::{Delivery, Receipt},
    spool::{self, Limits, PostgresSpool, SpoolStore, Stage, Word},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    bodies::{self, event},
    listener::{Listener, open},
    marks::NUMBER,
    process::{Daemon, Files, number, script, send, until},
    site::{Site, on_a_site},
};

const ROLES: &str = include_str!("../../infra/archive/roles.sql");

const ALL: [&str; 5] = ["daemon", "hot", "spool", "reader", "operator"];

/// Logins of this story alone, each with the role of its name; they go with it. Whoever is hot, or spools, is the daemon besides.
struct Logins {
    prefix: String,
    schema: String,
}

impl Logins {
    async fn new(site: &Site) -> Self {
        let prefix = format!("t{}", &Uuid::new_v4().simple().to_string()[..12]);
        let logins = Self { prefix, schema: site.settings["CONVERSATIOND_DATABASE_SCHEMA"].clone() };
        let sql = ROLES.replace("conversationd_", &format!("{}_", logins.prefix));
        script(site, &sql).await;
        script(site, &sql).await; // it may be run again
        for role in ALL.map(|role| logins.role(role)) {
            script(site, &format!("create role {role}_login login; grant {role} to {role}_login")).await;
        }
        for role in ["hot", "spool"] {
            script(site, &format!("grant {} to {}_login", logins.role("daemon"), logins.role(role))).await;
        }
        logins
    }

    fn role(&self, role: &str) -> String {
        format!("{}_{role}", self.prefix)
    }

    fn url(&self, role: &str) -> String {
        let mut url: url::Url = std::env::var("DATABASE_URL").expect("DATABASE_URL").parse().expect("a URL");
        url.set_username(&format!("{}_login", self.role(role))).expect("a user");
        url.to_string()
    }

    /// What the doctor finds missing of `needed`.
    async fn lacking(&self, role: &str, needed: &[(&str, &[&str])]) -> Vec<String> {
        let options = Options { max_connections: 1, schema: Some(self.schema.clone()), ..Options::default() };
        let archive = PostgresArchive::new(&self.url(role), &options).expect("a URL");
        let lacking = archive.lacking(needed).await.expect("the catalogue");
        archive.close().await;
        lacking.into_iter().map(|lacking| lacking.to_string()).collect()
    }

    /// What a role may do to tables, but read them: as many rights as there are.
    async fn writes(&self, site: &Site, role: &str) -> usize {
        let may = "select count(*) from pg_tables t, unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) r
            where t.schemaname = current_schema() and has_table_privilege(ROLE, format('%I', t.tablename), r)";
        let may = number(site, &may.replace("ROLE", &format!("'{}'", self.role(role)))).await;
        usize::try_from(may).expect("a count")
    }

    /// The SQLSTATE that a role gets for a statement; `None` if it may.
    async fn refused(&self, role: &str, sql: &str) -> Option<String> {
        let mut connection = PgConnection::connect(&self.url(role)).await.expect("connect");
        let sql = format!("set search_path to {}; begin; {sql}; rollback", self.schema);
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        done.err().and_then(|failure| failure.as_database_error()?.code().map(Into::into))
    }

    async fn go(&self, site: &Site) {
        for role in ALL.map(|role| self.role(role)) {
            for role in [format!("{role}_login"), role] {
                script(site, &format!("drop owned by {role}; drop role {role}")).await;
            }
        }
    }
}

/// A daemon under `role` does everything that there is to do, and is refused nothing.
async fn lives(site: &Site, logins: &Logins, role: &str, store: &str) {
    let listener = Listener::serve(|_| Some((204, String::new()))).await;
    let mut files = Files::default();
    let sinks = files.hold(&format!(
        "{}\n[[sink]]\nname = 'crm'\nkind = 'crm'\nurl = 'http://127.0.0.1:{}/'\n",
        open(listener.port),
        listener.port
    ));
    let replies = format!("{}-nobody", site.provisioned.table);
    let settings = [
        ("CONVERSATIOND_LOG", "info".to_owned()),
        ("CONVERSATIOND_GRACE_SECONDS", "0".to_owned()),
        ("CONVERSATIOND_CHECKPOINT_SECONDS", "1".to_owned()),
        ("CONVERSATIOND_TIMER_SECONDS", "1".to_owned()),
        ("CONVERSATIOND_POLL_WAIT_SECONDS", "1".to_owned()),
        ("CONVERSATIOND_REPLY_QUEUES", replies.clone()),
        ("CONVERSATIOND_SINKS_FILE", sinks.display().to_string()),
        ("DATABASE_URL", logins.url(role)),
        ("CONVERSATIOND_HOT_STORE", store.to_owned()),
    ];
    let daemon = Daemon::start(site, &settings);
    daemon.says("started").await;
    for body in bodies::all(&replies).taken {
        send(site, "thread", &body, &[]).await;
    }
    let open = format!("{NUMBER}2");
    let message = json!({"message": {"id": "m", "text": "still here"}});
    send(site, "open", &event("message.received", &open, message), &[]).await;
    until("the queue is empty", async || site.depth().await == 0).await;
    daemon.says("conversation archived").await;
    daemon.says("conversation checkpointed").await;
    until("its sink is told", async || !listener.got().is_empty()).await;
    let log = daemon.ended().await;
    for failed in ["42501", "unavailable", "turn failed", "does not answer", "could not be"] {
        let lines: Vec<_> =
            log.lines().filter(|line| line.contains(failed) && !line.contains("a reply could not be sent")).collect();
        assert!(lines.is_empty(), "{lines:?}");
    }
}

const DENIED: Option<&str> = Some("42501");

/// As many of these rights as are to write tables.
fn written(needed: &[(&str, &[&str])]) -> usize {
    let rights = needed.iter().flat_map(|(_, rights)| rights.iter());
    rights.filter(|right| !["SELECT", "EXECUTE"].contains(right)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_does_all_it_does_as_a_role_that_deletes_no_conversation_and_makes_no_table() {
    on_a_site(async |site| {
        let logins = Logins::new(&site).await;
        lives(&site, &logins, "daemon", "dynamodb").await;
        let options = Options { max_connections: 2, schema: Some(logins.schema.clone()), ..Options::default() };
        let archive = PostgresArchive::new(&logins.url("daemon"), &options).expect("a URL");
        let outbox = Outbox::over(archive.pool_beside(2));
        outbox.sweep(10).await.expect("housekeeping");
        outbox.close().await;
        archive.close().await;

        // the doctor asks for the same rights as the roles give, and for no others
        assert_eq!(logins.writes(&site, "daemon").await, written(NEEDED), "infra/archive/roles.sql, and NEEDED");
        assert_eq!(logins.lacking("daemon", NEEDED).await, [""; 0]);
        assert!(!logins.lacking("reader", NEEDED).await.is_empty());

        for (role, sql, code) in [
            ("daemon", "delete from message", DENIED),
            ("daemon", "delete from conversation", DENIED),
            ("daemon", "delete from rating", DENIED),
            ("daemon", "delete from legal_hold", DENIED),
            ("daemon", "update message set text = ''", DENIED),
            ("daemon", "update rating set comment = ''", DENIED),
            ("daemon", "update erasure set done_at = null", DENIED),
            ("daemon", "insert into legal_hold (project, reason) values ('p', 'r')", DENIED),
            ("daemon", "truncate message", DENIED),
            ("daemon", "drop table message", DENIED),
            ("daemon", "alter table message add column x text", DENIED),
            ("daemon", "create table x (y text)", DENIED),
            ("daemon", "update _sqlx_migrations set success = false", DENIED),
            ("daemon", "insert into hot_row values ('p', 'n', 1, now(), '')", DENIED),
            ("daemon", "select hot_expire(1)", DENIED),
            ("reader", "select count(*) from conversation_messages", None),
            ("reader", "insert into rating default values", DENIED),
            ("reader", "update conversation set topic = ''", DENIED),
            ("operator", "delete from message", None),
            ("operator", "truncate message", DENIED),
            ("operator", "delete from _sqlx_migrations", DENIED),
            ("operator", "drop table message", DENIED),
        ] {
            assert_eq!(logins.refused(role, sql).await.as_deref(), code, "{role}: {sql}");
        }
        logins.go(&site).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_dynamodb_it_does_the_same_as_a_role_that_changes_no_message_and_deletes_nothing_that_lives() {
    on_a_site(async |site| {
        let logins = Logins::new(&site).await;
        lives(&site, &logins, "hot", "postgres").await;

        assert_eq!(logins.writes(&site, "hot").await, written(hot::NEEDED), "infra/archive/roles.sql, and NEEDED");
        assert_eq!(logins.lacking("hot", hot::NEEDED).await, [""; 0]);
        assert_eq!(logins.lacking("hot", NEEDED).await, [""; 0], "it is the daemon's login");
        assert!(!logins.lacking("daemon", hot::NEEDED).await.is_empty());
        for (role, sql, code) in [
            ("hot", "select hot_expire(1)", None),
            ("hot", "delete from hot_message", DENIED),
            ("hot", "delete from hot_head", DENIED),
            ("hot", "update hot_message set body = ''", DENIED),
            ("hot", "truncate hot_message", DENIED),
            ("hot", "alter table hot_message add column x text", DENIED),
            ("hot", "delete from message", DENIED),
            ("reader", "select count(*) from hot_head", None),
            ("reader", "select hot_expire(1)", DENIED),
            ("operator", "delete from hot_message", None),
        ] {
            assert_eq!(logins.refused(role, sql).await.as_deref(), code, "{role}: {sql}");
        }
        logins.go(&site).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spooled_is_deleted_by_a_role_that_deletes_nothing_else() {
    on_a_site(async |site| {
        let logins = Logins::new(&site).await;
        let spool = PostgresSpool::new(&logins.url("spool"), Some(&logins.schema)).expect("a URL");
        let limits = Limits { after: Duration::ZERO, lease: Duration::from_secs(60) };
        let word = |stopped| Word {
            replica: Uuid::nil(),
            host: "pod".into(),
            away_for: Some(Duration::from_secs(1)),
            stopped,
        };
        let epoch = spool.hear(&word(None), &limits).await.expect("entering").epoch;
        assert_eq!(spool.hear(&word(Some(epoch)), &limits).await.expect("heard").stage, Stage::Spooling);
        let delivery = Delivery {
            message_id: "m".into(),
            receipt: Receipt("r".into()),
            group_id: "g".into(),
            sequence: Sequence(1),
            sent_at: chrono::DateTime::UNIX_EPOCH,
            receive_count: 1,
            body: "{}".into(),
            attributes: [].into(),
        };
        assert_eq!(spool.hold(epoch, &[delivery]).await, Ok(true));
        let received = spool.receive(Duration::from_secs(30)).await.expect("received");
        assert_eq!(spool.hide(&[(received[0].receipt.clone(), Duration::ZERO)]).await, Ok(vec![Ok(())]));
        let received = spool.receive(Duration::from_secs(30)).await.expect("received");
        assert_eq!(spool.delete(&[received[0].receipt.clone()]).await, Ok(vec![Ok(())]));
        assert!(spool.receive(Duration::ZERO).await.expect("nothing").is_empty());
        spool.forget(Uuid::nil()).await.expect("forgotten");
        spool.fleet().await.expect("the fleet");

        assert_eq!(logins.writes(&site, "spool").await, written(spool::NEEDED), "infra/archive/roles.sql, and NEEDED");
        assert_eq!(logins.lacking("spool", spool::NEEDED).await, [""; 0]);
        assert!(!logins.lacking("daemon", spool::NEEDED).await.is_empty());
        for (role, sql, code) in [
            ("spool", "delete from message", DENIED),
            ("spool", "delete from spool_stage", DENIED),
            ("spool", "truncate spool", DENIED),
            ("daemon", "delete from spool", DENIED),
            ("reader", "select count(*) from spool", None),
        ] {
            assert_eq!(logins.refused(role, sql).await.as_deref(), code, "{role}: {sql}");
        }
        drop(spool);
        logins.go(&site).await;
    })
    .await;
}
