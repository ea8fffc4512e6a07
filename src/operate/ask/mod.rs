//! `conversationd ask`: a question to the daemon over the queue, as any program asks it, and its answer.

mod errand;
mod question;
mod shown;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

use self::{errand::Errand, question::Question};
use super::{
    BAD_INPUT, INTERRUPTED,
    mask::Mask,
    moment::{now, span, written},
    output::{Output, harmless},
    stop_on_signal,
};
use crate::{
    app::{Clients, Endpoints},
    config::AskConfig,
    domain::Sequence,
    event::{self, Event, Raw, request::to_body},
    queue::fifo_id,
};

/// What a reply queue of this command's own is called, up to its id. Daemons that are to answer list it with a * behind it.
const REPLY_QUEUE: &str = "conversationd-ask-";

/// What to ask, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    question: Question,
    /// How long to wait for the answer; the daemon gives none later than that.
    #[arg(long, global = true, value_name = "SPAN", default_value = "30s", value_parser = span)]
    timeout: Duration,
    /// A standing reply queue beside the inbound one, instead of one that is made and removed again.
    #[arg(long, global = true, value_name = "NAME")]
    reply_queue: Option<String>,
    /// FIFO group to ask in, where the publisher names its groups otherwise than this program does.
    #[arg(long, global = true, value_name = "GROUP", conflicts_with = "unordered")]
    group: Option<String>,
    /// Ask by the request queue: at once, beside what is queued in the thread's group.
    #[arg(long, global = true)]
    unordered: bool,
    /// The reply as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Show what people said, and who they are.
    #[arg(long, global = true)]
    reveal: bool,
}

/// Asks, waits and shows.
///
/// # Errors
/// The question could not be sent, or no answer came in time.
pub async fn run(arguments: &Arguments, config: &AskConfig) -> anyhow::Result<ExitCode> {
    let id = id().to_string();
    let own = arguments.reply_queue.is_none();
    let reply_to = arguments.reply_queue.clone().unwrap_or_else(|| format!("{REPLY_QUEUE}{id}"));
    if config.replies.as_ref().is_some_and(|list| list.find(&reply_to).is_none()) {
        eprintln!(
            "conversationd: CONVERSATIOND_REPLY_QUEUES does not list {}; add {}",
            harmless(&reply_to),
            if own { format!("{REPLY_QUEUE}*") } else { harmless(&reply_to) }
        );
        return Ok(ExitCode::from(super::UNUSABLE_SETTINGS));
    }
    let deadline = TimeDelta::from_std(arguments.timeout).ok().and_then(|wait| now().checked_add_signed(wait));
    let mut fields = arguments.question.fields()?;
    if let Some(deadline) = deadline {
        fields.insert("deadline".to_owned(), written(deadline).into());
    }
    let body = to_body(arguments.question.name(), &reply_to, &id, &fields);
    let event = match decoded(&body) {
        Ok(event) => event,
        Err(rejection) => {
            eprintln!("conversationd: the daemon would not take this: {rejection}");
            return Ok(ExitCode::from(BAD_INPUT));
        }
    };
    let (url, group) = if arguments.unordered {
        let Some(url) = &config.request_queue else {
            bail!("--unordered needs SQS_CONVERSATION_REQUEST_QUEUE_URL");
        };
        (url, group(&event, &id))
    } else {
        let own = || group(&event, &id);
        (&config.queue.url, arguments.group.clone().unwrap_or_else(own))
    };
    let endpoints = Endpoints { queue_region: config.queue.region.clone(), table_region: None };
    let sqs = Clients::build(&endpoints, errand::WAIT, &std::sync::Arc::default()).await.sqs;
    let stop = stop_on_signal()?;
    let errand = Errand::prepare(sqs, &config.queue.url, &reply_to, own).await?;
    let asked = async {
        errand.send(url, &group, &id, &body).await?;
        errand.wait(&id, arguments.timeout).await
    };
    let answer = stop.run_until_cancelled(asked).await;
    errand.end().await;
    match answer {
        None => Ok(ExitCode::from(INTERRUPTED)),
        Some(answer) => match answer? {
            Some(reply) => tell(arguments, reply),
            None => bail!(
                "no answer within {} s. Are daemons running, and does their CONVERSATIOND_REPLY_QUEUES list {}? What they \
                 would not answer is in `conversationd dlq list`",
                arguments.timeout.as_secs(),
                if own { format!("{REPLY_QUEUE}*") } else { harmless(&reply_to) }
            ),
        },
    }
}

fn tell(arguments: &Arguments, mut reply: Value) -> anyhow::Result<ExitCode> {
    shown::mask(&mut reply, Mask::unless(arguments.reveal));
    let answered = matches!(reply["status"].as_str(), Some("ok" | "empty"));
    let mut output = Output::new();
    if arguments.json {
        output.json(&reply)?;
    } else {
        shown::lines(&reply).iter().try_for_each(|line| output.line(line))?;
    }
    output.flush().context("printing")?;
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The thread's group; a group of its own for what is about no thread, so that nothing waits for it.
fn group(event: &Event, id: &str) -> String {
    if event.thread.is_project_alone() { id.to_owned() } else { fifo_id(&event.thread.group_name()) }
}

fn decoded(body: &str) -> Result<Event, event::Rejection> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let sent_at: DateTime<Utc> = DateTime::UNIX_EPOCH;
    event::decode(&Raw { body, attributes: &NONE, sent_at, sequence: Sequence::default(), group_id: "" })
}

/// A name for this question that no other has.
#[allow(clippy::disallowed_methods)] // asked again, it is another question
fn id() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_daemons_and_operators_reach_the_queues_that_are_made_here() {
        let template = include_str!("../../../infra/conversationd.yaml");
        assert_eq!(template.matches(&format!(":{REPLY_QUEUE}*\"")).count(), 2, "ReplyToOperators, Ask");
    }
}
