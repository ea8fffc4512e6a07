//! What goes wrong, and what the caller is told: wait, do not try that again, or it does not stand there.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use conversationd::archive::{Archive, ArchiveError, Guarded, Options, PostgresArchive};
use conversationd::breaker::Breaker;
use conversationd::domain::{Direction, Message};
use futures_util::future::select_all;
use sqlx::Connection;
use tokio::time::timeout;

use crate::house::{close, hash, in_a_house, message, messages, record, thread};

#[tokio::test]
async fn an_archive_that_refuses_connections_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("port").port();
    let url = format!("postgres://nobody:secret@127.0.0.1:{port}/nothing");
    let options = Options { acquire_timeout: Duration::from_millis(100), ..Options::default() };
    let archive = PostgresArchive::new(&url, &options).expect("lazy");
    let error = archive.begin().await.err().expect("refused");
    assert!(matches!(error, ArchiveError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("secret"));
    assert!(!format!("{:?}", archive.migrate().await.expect_err("refused")).contains("secret"));
}

#[tokio::test]
async fn an_archive_that_never_answers_is_unavailable() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().expect("address"));
    let options = Options { acquire_timeout: Duration::from_millis(100), ..Options::default() };
    let error = PostgresArchive::new(&url, &options).expect("lazy").begin().await.err().expect("silence");
    assert!(matches!(error, ArchiveError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn an_archive_without_its_tables_is_unavailable() {
    in_a_house(async |house| {
        let bare = house.with(|options| options.schema = Some("archive_test_of_no_such_name".into()));
        let error = bare.begin().await.expect("begin").lock(&thread(), &record(1)).await.expect_err("no table");
        assert!(matches!(error, ArchiveError::Unavailable(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn waiting_too_long_for_another_closer_is_unavailable() {
    in_a_house(async |house| {
        let mut holder = house.archive.begin().await.expect("begin");
        holder.lock(&thread(), &record(1)).await.expect("lock");

        let hurried = house.with(|options| options.statement_timeout = Duration::from_millis(100));
        let mut waiter = hurried.begin().await.expect("begin");
        let error = waiter.lock(&thread(), &record(1)).await.expect_err("held");
        assert_eq!(error.to_string(), "the archive is unavailable: SQLSTATE 57014 (Error)");
        drop((holder, waiter));
        hurried.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_postgres_cannot_hold_is_refused_and_not_quoted() {
    in_a_house(async |house| {
        let nul = Message { text: "secret\0".into(), ..message(0) };
        let error = house.write(&record(1), &[nul], false, Some(&close())).await.expect_err("NUL");
        assert_eq!(error.to_string(), "the archive refused the write: SQLSTATE 22021 (Error)");

        // A message before its conversation: the constraint is named, the row is not.
        let mut transaction = house.archive.begin().await.expect("begin");
        let error = transaction.insert(&record(1), &[message(0)], false).await.expect_err("no conversation");
        let said = "the archive refused the write: SQLSTATE 23503 (Error) on message_conversation_fk";
        assert_eq!(error.to_string(), said);

        let mut person = thread();
        person.contact = Some("5511".repeat(300));
        let error = house.archive.begin().await.expect("begin").lock(&person, &record(1)).await.expect_err("long");
        assert!(!format!("{error:?}").contains("5511"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_message_that_vanishes_on_the_way_is_noticed() {
    in_a_house(async |house| {
        house
            .script(
                "create function swallow() returns trigger language plpgsql as
                 $$ begin if new.text = 'message 1' then return null; end if; return new; end $$;
                 create trigger swallow before insert on message for each row execute function swallow();",
            )
            .await;
        let error = house.write(&record(1), &messages(0..3), false, Some(&close())).await.expect_err("vanished");
        assert!(matches!(error, ArchiveError::Unverified { expected: 3, found: 2 }), "{error}");
        assert_eq!(house.number("select count(*) from conversation").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_changes_on_the_way_is_noticed() {
    in_a_house(async |house| {
        house
            .script(
                "create function tamper() returns trigger language plpgsql as
                 $$ begin new.text := upper(new.text); return new; end $$;
                 create trigger tamper before insert on message for each row execute function tamper();",
            )
            .await;
        let error = house.write(&record(1), &messages(0..3), false, Some(&close())).await.expect_err("changed");
        assert!(matches!(error, ArchiveError::Unverified { expected: 3, found: 0 }), "{error}");
        assert_eq!(house.archive.count_messages(None).await.expect("count"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_is_unavailable_and_the_next_try_succeeds() {
    in_a_house(async |house| {
        let (record, messages) = (record(1), messages(0..4));
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&thread(), &record).await.expect("lock");
        transaction.insert(&record, &messages, false).await.expect("insert");
        let cut = "select count(pg_terminate_backend(l.pid)) from pg_locks l
                   where l.relation = 'message'::regclass and l.pid <> pg_backend_pid()";
        assert!(house.number(cut).await >= 1);
        let error = transaction.finish(&record, Some(&close())).await.expect_err("cut");
        assert!(matches!(error, ArchiveError::Unavailable(_)), "{error}");

        let summary = house.write(&record, &messages, false, Some(&close())).await.expect("redo");
        assert_eq!((summary.message_count, summary.content_hash), (4, hash(&messages)));
    })
    .await;
}

#[tokio::test]
async fn two_that_wait_for_each_other_are_parted_and_the_loser_may_try_again() {
    in_a_house(async |house| {
        let mut one = house.archive.begin().await.expect("begin");
        let mut other = house.archive.begin().await.expect("begin");
        one.lock(&thread(), &record(1)).await.expect("lock");
        other.lock(&thread(), &record(2)).await.expect("lock");
        one.insert(&record(1), &[message(1)], false).await.expect("insert");
        other.insert(&record(2), &[message(2)], false).await.expect("insert");
        let crossing = async |mut transaction: Box<dyn conversationd::archive::Transaction>, number: u32| {
            let record = record(number.into());
            transaction.insert(&record, &[message(3 - number)], false).await?;
            transaction.finish(&record, Some(&close())).await
        };
        let ended = <[_; 2]>::from(tokio::join!(crossing(one, 1), crossing(other, 2)));
        assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 1);
        let lost = ended.into_iter().find_map(Result::err).expect("loser");
        assert!(matches!(lost, ArchiveError::Unavailable(_)), "{lost}");

        house.write(&record(1), &messages(1..3), false, Some(&close())).await.expect("again");
        house.write(&record(2), &messages(1..3), false, Some(&close())).await.expect("again");
        assert_eq!(house.archive.count_messages(None).await.expect("count"), 2);
    })
    .await;
}

#[tokio::test]
async fn migrating_again_or_from_an_older_release_is_harmless() {
    in_a_house(async |house| {
        let (one, other) = tokio::join!(house.archive.migrate(), house.archive.migrate());
        assert_eq!(one.expect("again"), other.expect("at once"));

        house
            .script(
                "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, 'of a newer release', true, '', 0)",
            )
            .await;
        assert_eq!(house.archive.migrate().await.expect("older release"), 9999);
    })
    .await;
}

#[tokio::test]
async fn a_name_this_release_does_not_know_is_an_error_not_a_panic() {
    in_a_house(async |house| {
        let notice = Message { direction: Direction::System, ..message(0) };
        house.write(&record(1), &[notice], false, None).await.expect("write");
        let mut connection = house.connection().await;
        sqlx::query("update message set sender_type = 'ROBOT'").execute(&mut connection).await.expect("update");
        connection.close().await.expect("close");
        let error = house.archive.messages(record(1).id, None, 10).await.expect_err("unknown");
        assert!(matches!(error, ArchiveError::Refused(_)) && !error.to_string().contains("ROBOT"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_a_connection_waits_and_no_breaker_opens() {
    in_a_house(async |house| {
        let patience = Duration::from_millis(100);
        let archive = house.with(|options| (options.max_connections, options.acquire_timeout) = (1, patience));
        let breaker = Arc::new(Breaker::default());
        let archive = Guarded::by(breaker.clone(), Arc::new(archive), 1);
        let held = archive.begin().await.expect("the only connection");
        let mut others: Vec<_> = (0..20).map(|_| archive.begin()).collect();
        let any = select_all(others.iter_mut());
        assert!(timeout(patience * 5, any).await.is_err(), "long after a connection would have been given up");
        drop(held);
        for other in others {
            drop(other.await.expect("its turn"));
        }
        assert!(breaker.admit().is_ok());
    })
    .await;
}
