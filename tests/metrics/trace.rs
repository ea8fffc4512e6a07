//! Log lines of a turn carry the publisher's trace, and nothing else that it may have sent in its place.

use crate::{
    daemon::{CANARY_TEXT, Daemon, Thread, until_settled},
    site::on_a_site,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_joins_the_publishers_trace() {
    on_a_site(|site| async move {
        let daemon = Daemon::start(&site, &[]).await;
        let thread = Thread::new();
        let poison = ["{".to_owned()];
        let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
        for value in [traceparent.as_str(), CANARY_TEXT] {
            thread.publish(&site, &poison, Some(("traceparent", value))).await;
            until_settled(&site).await;
        }
        thread.publish(&site, &[thread.says("m1"), thread.closes()], Some(("traceparent", &traceparent))).await;
        until_settled(&site).await;

        let rejected = daemon.said("delivery dead-lettered");
        let traces: Vec<_> = rejected.iter().map(|line| line["span"]["trace_id"].as_str()).collect();
        assert_eq!(traces, [Some(TRACE), None]);
        assert_eq!(daemon.says("conversation archived").await["span"]["trace_id"], TRACE);
        assert!(!format!("{:?}", daemon.said("")).contains(CANARY_TEXT));
    })
    .await;
}
