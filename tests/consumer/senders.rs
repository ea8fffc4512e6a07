//! Senders that are bound to projects.

use std::{collections::BTreeMap, time::Duration};

use conversationd::queue::{SENDER, Senders};
use tokio::time::sleep;

use super::{HOUR, Story};
use crate::model::{
    replica::{POLICY, Replica},
    scenario::{message, message_id, thread},
};

#[tokio::test(start_paused = true)]
async fn what_was_sent_by_whoever_may_not_is_a_dead_letter_that_names_nobody_and_the_timer_goes_on() {
    let mut story = Story::begin(1);
    let bound = Senders::parse("AROABOT=project,AROAFORWARDS=*,AROAOTHER=another");
    story.world.state().sqs.senders = bound.expect("senders");
    let senders = [Some("AROABOT:i-1"), Some("AROAOTHER:i-2"), Some("AROANOBODY:i-3"), None, Some("AROAFORWARDS:sns")];
    for (n, sender) in (1..).zip(senders) {
        let (at, now) = (story.world.server_time(), story.world.elapsed());
        let (body, group) = (message(&story.world, &thread(0), n), "group 0");
        let attributes: BTreeMap<_, _> = sender.map(|it| (SENDER.to_owned(), it.to_owned())).into_iter().collect();
        story.world.state().sqs.send_with(group, &n.to_string(), body.as_str().into(), attributes, at, now);
    }
    story.world.sent.notify_waiters();
    let allowed = [1, 5].map(|n| message_id(&thread(0), n));
    story.published.threads[0].extend(allowed);
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    // its silence, and the command that the timer sends under the daemon's own name, which stands on no list here
    sleep(POLICY.idle + Duration::from_secs(60)).await;
    story.rests_within_but_for_the_dead(HOUR).await;
    assert_eq!(story.archived(), allowed, "closed by the timer");
    let dead = story.world.state().sqs.dead.clone();
    assert_eq!(dead.len(), 3);
    for letter in dead {
        let reason = letter.reason.expect("a reason");
        assert_eq!((reason.code.as_str(), &reason.field), ("sender_not_allowed", &None));
        assert!(
            ["AROA", "project'", "another"].iter().all(|value| !reason.reason.contains(value)),
            "{}",
            reason.reason
        );
    }
}
