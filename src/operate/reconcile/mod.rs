//! `conversationd reconcile`: whether both stores tell the same, and what nobody took up.
//!
//! A closed conversation's messages must all stand in the archive; an open one must be looked at when its time has come.
//! What is missing is appended as a late arrival is. Where the head must change, a command goes into the thread's group,
//! and the daemon does it in its turn: nobody writes a thread from the side.

mod thread;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    INTERRUPTED,
    bar::Bar,
    clients,
    conversations::{Stores, close::why_due},
    mask::Mask,
    moment::{now, shown, span},
    output::Output,
    rows::aligned,
    stop_on_signal,
};
use crate::{
    config::QueueConfig,
    domain::Head,
    event::{self, Due},
    hot::{Sought, Swept},
    queue::{Command, Queue, SqsQueue, fifo_id},
};
use thread::{Bounds, Compared};

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// Closed conversations that closed on this day only (UTC), such as 2026-03-01.
    #[arg(long, value_name = "DATE")]
    day: Option<NaiveDate>,
    /// Only one thread of so many, another choice each time: for a large table.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    one_in: u64,
    /// What happened so lately is left alone: it may be on its way.
    #[arg(long, value_name = "SPAN", default_value = "15m", value_parser = span)]
    settled: Duration,
    /// Append to the archive what it lacks, and send the daemon what is overdue.
    #[arg(long)]
    repair: bool,
    /// JSON Lines: one object for each difference, then one for each project and day, then the totals.
    #[arg(long)]
    json: bool,
    /// Show contacts as they are.
    #[arg(long)]
    reveal: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Difference {
    conversation: Uuid,
    project: String,
    contact: String,
    /// `messages_missing`, `not_closed_in_archive` or `overdue`.
    what: &'static str,
    /// For people.
    said: String,
    /// Messages that the archive lacks.
    missing: u64,
    /// Whether it was mended, or a command that mends it was sent.
    repaired: bool,
}

/// A project's day, by the close.
#[derive(Debug, Default, Serialize)]
struct Day {
    conversations: u64,
    messages: u64,
    missing: u64,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
struct Totals {
    threads: u64,
    conversations: u64,
    messages: u64,
    differences: u64,
    repaired: u64,
    interrupted: bool,
}

struct Found {
    differences: Vec<Difference>,
    days: BTreeMap<(String, NaiveDate), Day>,
    totals: Totals,
}

/// Compares, and repairs if asked. Exit code 1 when something differs and was not repaired.
///
/// # Errors
/// A setting cannot be used, or a store or the queue does not do its part: what was repaired stays repaired.
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let stores = Stores::build(get).await?;
    let sender = if arguments.repair { Some(sender(&QueueConfig::read(get)?).await) } else { None };
    let stop = stop_on_signal()?;
    let settled = TimeDelta::from_std(arguments.settled).unwrap_or(TimeDelta::MAX);
    let bounds = Bounds { now: now(), settled };
    let mut found = Found { differences: Vec::new(), days: BTreeMap::new(), totals: Totals::default() };
    let (bar, mut after, chosen) =
        (Bar::begin("comparing", None), None, u64::from(bounds.now.timestamp_subsec_nanos()) % arguments.one_in);
    'table: loop {
        let page = stores.hot.sweep(&Sought::Heads(arguments.project.as_deref()), after).await;
        let page = page.context("the table cannot be scanned; the role needs dynamodb:Scan")?;
        for swept in page.found {
            let Swept::Head(head) = swept else { continue };
            if head.thread.key().spread() % arguments.one_in != chosen {
                continue;
            }
            one(arguments, &stores, sender.as_ref(), &head, bounds, &mut found).await?;
            bar.at(
                found.totals.threads,
                format!("{} threads, {} differences", found.totals.threads, found.totals.differences),
            );
            if stop.is_cancelled() {
                found.totals.interrupted = true;
                break 'table;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    drop(bar);
    print(arguments, &found)?;
    Ok(match &found.totals {
        totals if totals.differences > totals.repaired => ExitCode::FAILURE,
        totals if totals.interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

async fn sender(queue: &QueueConfig) -> SqsQueue {
    let sqs = clients(queue.region.clone(), None).await.sqs;
    SqsQueue::new(sqs, queue.url.clone(), String::new(), Duration::ZERO)
}

async fn one(
    arguments: &Arguments,
    stores: &Stores,
    sender: Option<&SqsQueue>,
    head: &Head,
    bounds: Bounds,
    found: &mut Found,
) -> anyhow::Result<()> {
    found.totals.threads += 1;
    let mask = Mask::unless(arguments.reveal);
    let difference = |conversation: Uuid, what, said, missing, repaired| Difference {
        conversation,
        project: head.thread.project.clone(),
        contact: thread::named(&head.thread, mask),
        what,
        said,
        missing,
        repaired,
    };
    if let Some(since) = thread::overdue(head, bounds) {
        let repaired = match sender {
            Some(sender) => remind(sender, head, since).await.map(|()| true)?,
            None => false,
        };
        let why = why_due(&head.conversation).unwrap_or_default();
        let said = format!("due since {} ({why}), and no daemon has looked", shown(since));
        found.tell(difference(head.conversation.record().id.0, "overdue", said, 0, repaired));
    }
    for compared in thread::compare(stores, head, arguments.day, bounds).await? {
        found.count(head, &compared);
        let missing = compared.missing.len() as u64;
        let (what, said) = match missing {
            0 if compared.should_be_closed(bounds) => {
                ("not_closed_in_archive", "the archive does not know that it closed".to_owned())
            }
            0 => continue,
            missing => {
                let said = format!("{missing} of {} messages stand in the hot store only", compared.messages);
                ("messages_missing", said)
            }
        };
        if arguments.repair {
            thread::append(stores, head, &compared).await.context("the archive cannot be repaired")?;
        }
        found.tell(difference(compared.id.0, what, said, missing, arguments.repair));
    }
    Ok(())
}

/// Sends what the timer would have sent. The group decides from the head as it then is.
async fn remind(sender: &SqsQueue, head: &Head, due_at: DateTime<Utc>) -> anyhow::Result<()> {
    let conversation_id = head.conversation.record().id;
    let command = Command {
        group_id: head.group_id.clone(),
        // new every time: SQS silently drops an id it saw within five minutes, and looking twice changes nothing
        dedup_id: fifo_id(&format!("reconcile:{conversation_id}:{}", now().timestamp_micros())),
        body: event::due::to_body(&head.thread, &Due { conversation_id, due_at }),
        attributes: BTreeMap::new(),
    };
    sender.send(command).await.context("an overdue conversation cannot be brought up; `conversationd doctor` says more")
}

impl Found {
    fn tell(&mut self, difference: Difference) {
        self.totals.differences += 1;
        self.totals.repaired += u64::from(difference.repaired);
        self.differences.push(difference);
    }

    fn count(&mut self, head: &Head, compared: &Compared) {
        let day = self.days.entry((head.thread.project.clone(), compared.day)).or_default();
        day.conversations += 1;
        day.messages += compared.messages;
        day.missing += compared.missing.len() as u64;
        self.totals.conversations += 1;
        self.totals.messages += compared.messages;
    }
}

fn print(arguments: &Arguments, found: &Found) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        found.differences.iter().try_for_each(|difference| output.json(difference))?;
        for ((project, day), count) in &found.days {
            output.json(&serde_json::json!({ "project": project, "day": day, "closed": count }))?;
        }
        output.json(&found.totals)?;
        return output.flush();
    }
    if !found.days.is_empty() {
        let row = |((project, day), count): (&(String, NaiveDate), &Day)| {
            let Day { conversations, messages, missing } = count;
            [project.clone(), day.to_string(), conversations.to_string(), messages.to_string(), missing.to_string()]
        };
        let rows: Vec<_> = found.days.iter().map(row).collect();
        let header = ["PROJECT", "CLOSED ON", "CONVERSATIONS", "MESSAGES", "NOT IN THE ARCHIVE"];
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
        output.line("")?;
    }
    if !found.differences.is_empty() {
        let row = |difference: &Difference| {
            let repaired = match (difference.repaired, difference.what) {
                (true, "overdue") => "command sent",
                (true, _) => "appended",
                (false, _) => "-",
            };
            [
                difference.conversation.to_string(),
                difference.project.clone(),
                difference.contact.clone(),
                difference.said.clone(),
                repaired.to_owned(),
            ]
        };
        let rows: Vec<_> = found.differences.iter().map(row).collect();
        aligned(["ID", "PROJECT", "CONTACT", "WHAT DIFFERS", "REPAIRED"], &rows)
            .iter()
            .try_for_each(|line| output.line(line))?;
        output.line("")?;
    }
    let Totals { threads, conversations, messages, differences, repaired, interrupted } = &found.totals;
    let stopped = if *interrupted { ", stopped before the end" } else { "" };
    output.line(format!(
        "threads={threads} closed={conversations} messages={messages} differences={differences} repaired={repaired}{stopped}"
    ))?;
    if differences > repaired && !arguments.repair {
        output.line("nothing was changed; `conversationd explain ID` tells one's life, --repair mends what can be")?;
    }
    output.flush()
}
