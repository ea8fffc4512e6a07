//! `conversationd health`, as a probe runs it.

use uuid::Uuid;

use crate::{
    daemon::{Daemon, until},
    site::{Said, Site, on_a_site},
};

async fn health(site: &Site, file: &str, arguments: &[&str]) -> Said {
    site.run_with(&[&["health"], arguments].concat(), &[("CONVERSATIOND_HEALTH_FILE", file)], "").await
}

/// Waits until the command says this; returns its exit code.
async fn says(site: &Site, file: &str, arguments: &[&str], begins: &str) -> i32 {
    until(begins, || async { health(site, file, arguments).await.out.starts_with(begins) }).await;
    let said = health(site, file, arguments).await;
    assert_eq!(said.out.lines().count(), 1, "one line: {}", said.out);
    said.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_sees_a_daemon_live_silent_draining_and_gone() {
    on_a_site(|site| async move {
        let path = std::env::temp_dir().join(format!("metrics-test-{}", Uuid::now_v7().simple()));
        let file = path.to_str().expect("UTF-8");

        let said = health(&site, file, &[]).await;
        assert_eq!((said.code, said.out.starts_with("absent: ")), (1, true), "{}", said.out);

        let settings = [("CONVERSATIOND_HEALTH_FILE", file), ("CONVERSATIOND_POLL_WAIT_SECONDS", "10")];
        let daemon = Daemon::start(&site, &settings).await;
        let said = health(&site, file, &[]).await;
        assert_eq!((said.code, said.out.starts_with("live, ")), (0, true), "{}", said.out);

        daemon.signal("STOP").await;
        assert_eq!(says(&site, file, &["--max-age", "1"], "stale: ").await, 1);
        assert_eq!(health(&site, file, &["--max-age", "3600"]).await.code, 0, "not too old for who is patient");
        daemon.signal("CONT").await;
        assert_eq!(says(&site, file, &["--max-age", "10"], "live, ").await, 0);

        daemon.signal("TERM").await; // its long poll holds it up
        assert_eq!(says(&site, file, &[], "draining, ").await, 0);
        assert!(daemon.ended().await.success());
        let said = health(&site, file, &[]).await;
        assert_eq!((said.code, said.out.starts_with("absent: ")), (1, true), "{}", said.out);
        assert!(!path.with_added_extension("new").exists(), "nothing of it is left");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_written_is_told_with_what_to_do() {
    on_a_site(|site| async move {
        let path = std::env::temp_dir().join(format!("metrics-test-{}", Uuid::now_v7().simple()));
        let file = path.to_str().expect("UTF-8");
        std::fs::write(&path, "{\"at\":").expect("written");
        let said = health(&site, file, &[]).await;
        assert_eq!((said.code, said.out.starts_with("unreadable: ")), (1, true), "{}", said.out);
        std::fs::remove_file(&path).expect("removed");

        let said = site.run(&["health"]).await;
        assert_eq!(said.code, 64, "{}", said.err);
        assert!(said.err.contains("CONVERSATIOND_HEALTH_FILE"), "{}", said.err);

        let nowhere = path.join("folder/file");
        let settings = [("CONVERSATIOND_HEALTH_FILE", nowhere.to_str().expect("UTF-8"))];
        let said = site.run_with(&["run"], &settings, "").await;
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("its folder must exist"), "{}", said.err);
    })
    .await;
}
