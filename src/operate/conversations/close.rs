//! `conversations close`: a command into the conversation's own group. The daemon does the rest, in its turn.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    BAD_INPUT, Stores, Whereabouts,
    find::{Found, find, not_found},
    open,
    view::View,
};
use crate::{
    config::QueueConfig,
    domain::{CloseReason, Conversation, ConversationId, DueReason, Head, Sequence, Thread},
    event::{self, ConversationClose, Raw},
    hot::HotStore,
    operate::{
        clients,
        mask::Mask,
        moment::{now, relative, shown, span},
        output::{Output, harmless},
        rows::{aligned, cell},
    },
    queue::{Command, Queue, SqsQueue, fifo_id},
};

/// What to close, or what to foresee.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The conversation's id.
    #[arg(required_unless_present = "preview", conflicts_with = "preview")]
    pub(super) id: Option<Uuid>,
    /// Why, in your words (1,000 characters at most); kept with the transcript.
    #[arg(long, conflicts_with = "preview")]
    reason: Option<String>,
    /// Send the command, instead of only saying what would be sent.
    #[arg(long, conflicts_with = "preview")]
    yes: bool,
    #[command(flatten)]
    whereabouts: Whereabouts,
    /// List what the timer will look at, and when.
    #[arg(long)]
    preview: bool,
    /// With --preview: how far ahead to look.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span, requires = "preview")]
    within: Duration,
    /// With --preview: so many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "preview")]
    limit: u32,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Show contacts and their names as they are.
    #[arg(long)]
    reveal: bool,
}

/// What is sent, and where.
#[derive(Serialize)]
struct Closing<'a> {
    sent: bool,
    queue: &'a str,
    group: String,
    body: String,
    conversation: View,
}

/// Sends the command, or says what it would be.
pub(super) async fn run(
    arguments: &Arguments,
    id: Uuid,
    stores: &Stores,
    queue: &QueueConfig,
) -> anyhow::Result<ExitCode> {
    let id = ConversationId(id);
    let head = match find(stores, id, &arguments.whereabouts).await?.ok_or_else(|| not_found(id))? {
        Found::Hot(head, _) => head,
        Found::Archived(row) => match row.closed_at {
            Some(at) => bail!("conversation {id} is closed already: {} (UTC)", shown(at)),
            None => bail!("conversation {id} is no longer in the hot store; look at it with `conversations show {id}`"),
        },
    };
    let close = ConversationClose {
        resolution: None,
        reason: arguments.reason.clone(),
        topic: None,
        subtopic: None,
        conversation_id: Some(id),
    };
    let body = event::conversation_close::to_body(&head.thread, &close);
    if let Err(rejection) = event::decode(&raw(&body, &head.group_id)) {
        eprintln!("conversationd: the daemon would not take this: {rejection}");
        return Ok(ExitCode::from(BAD_INPUT));
    }
    if arguments.yes {
        let command = Command {
            group_id: head.group_id.clone(),
            // new every time: SQS silently drops an id it saw within five minutes, and a second close changes nothing
            dedup_id: fifo_id(&format!("close:{id}:{}", now().timestamp_micros())),
            body,
            attributes: BTreeMap::new(),
        };
        let sqs = clients(queue.region.clone(), None).await.sqs;
        let sender = SqsQueue::new(sqs, queue.url.clone(), String::new(), Duration::ZERO);
        sender.send(command).await.context("nothing was sent; `conversationd doctor` says more")?;
    }
    report(arguments, &head, &close, queue)?;
    Ok(ExitCode::SUCCESS)
}

fn raw<'a>(body: &'a str, group_id: &'a str) -> Raw<'a> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    Raw { body, attributes: &NONE, sent_at: DateTime::UNIX_EPOCH, sequence: Sequence::default(), group_id }
}

fn report(arguments: &Arguments, head: &Head, close: &ConversationClose, queue: &QueueConfig) -> std::io::Result<()> {
    let mask = Mask::unless(arguments.reveal);
    let thread = Thread { contact: head.thread.contact.as_deref().map(|it| mask.contact(it)), ..head.thread.clone() };
    let closing = Closing {
        sent: arguments.yes,
        queue: queue.name(),
        // made of the contact, unless the publisher hides it
        group: mask.hidden(head.group_id.clone()).unwrap_or_else(|| masked_group(&head.group_id, &head.thread.project)),
        body: event::conversation_close::to_body(&thread, close),
        conversation: View::of_head(head, mask),
    };
    let mut output = Output::new();
    if arguments.json {
        output.json(&closing)?;
        return output.flush();
    }
    let view = &closing.conversation;
    let contact = cell(view.contact.as_deref().or(view.external_id.as_deref()));
    let lines = [
        format!("conversation {}: {} since {} (UTC), contact {contact}", view.id, view.status, shown(view.opened_at)),
        format!("  queue  {}", closing.queue),
        format!("  group  {}", closing.group),
        format!("  body   {}", closing.body),
    ];
    lines.iter().try_for_each(|line| output.line(harmless(line)))?;
    output.line(if arguments.yes {
        "sent: the daemon closes the conversation when it comes to this, after what is queued before it in the group"
    } else {
        "nothing was sent; say --yes to send this"
    })?;
    output.flush()
}

/// A group as far as it says nothing of the contact: its project, if that stands first in it.
fn masked_group(group: &str, project: &str) -> String {
    if group.starts_with(project) { format!("{project}…") } else { "…".to_owned() }
}

/// A conversation that the timer will look at.
#[derive(Serialize)]
struct Upcoming {
    due_at: DateTime<Utc>,
    why: &'static str,
    conversation: View,
}

/// Lists what the timer will look at.
pub(super) async fn preview(arguments: &Arguments, hot: &dyn HotStore) -> anyhow::Result<ExitCode> {
    let now = now();
    let until = TimeDelta::from_std(arguments.within).ok().and_then(|within| now.checked_add_signed(within));
    let due = open::due(hot, until.unwrap_or_else(open::any_time)).await?;
    let heads = open::heads(hot, &due, arguments.limit as usize, |_| true).await?;
    let mask = Mask::unless(arguments.reveal);
    let mut upcoming: Vec<Upcoming> = heads.iter().filter_map(|head| upcoming(head, mask)).collect();
    upcoming.sort_by_key(|upcoming| upcoming.due_at);
    let mut output = Output::new();
    if arguments.json {
        upcoming.iter().try_for_each(|upcoming| output.json(upcoming))?;
    } else if upcoming.is_empty() {
        output.line("nothing is due in that time; --within 2d looks further ahead")?;
    } else {
        let rows: Vec<_> = upcoming.iter().map(|upcoming| row(upcoming, now)).collect();
        aligned(["DUE (UTC)", "WHEN", "WHY", "ID", "CONTACT", "NAME"], &rows)
            .iter()
            .try_for_each(|line| output.line(line))?;
        if due.len() > heads.len() {
            output.line(format!("({} of {} at that time; --limit N shows more)", heads.len(), due.len()))?;
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn upcoming(head: &Head, mask: Mask) -> Option<Upcoming> {
    let why = why_due(&head.conversation)?;
    Some(Upcoming { due_at: head.conversation.due()?, why, conversation: View::of_head(head, mask) })
}

/// What the timer will do with a conversation when its time has come; a closed one has none.
pub(in crate::operate) fn why_due(conversation: &Conversation) -> Option<&'static str> {
    match conversation {
        Conversation::Open(open) => Some(match (open.due.reason, open.ended_by(open.due.at).map(|end| end.reason)) {
            (_, Some(CloseReason::DayEnded)) => "closes: its day ends",
            (_, Some(CloseReason::WindowEnded)) => "closes: its window ends",
            (_, Some(CloseReason::HumanTakeover)) => "closes: a person took over",
            (DueReason::SessionEnded, _) => "closes: its session ended",
            (DueReason::Look, _) => "closes if idle or too old",
        }),
        Conversation::Closing(_) => Some("close to be finished"),
        Conversation::Closed(_) => None,
    }
}

fn row(upcoming: &Upcoming, now: DateTime<Utc>) -> [String; 6] {
    let view = &upcoming.conversation;
    [
        shown(upcoming.due_at),
        relative(upcoming.due_at, now),
        upcoming.why.to_owned(),
        view.id.to_string(),
        cell(view.contact.as_deref().or(view.external_id.as_deref())),
        cell(view.contact_name.as_deref()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_group_says_nothing_of_the_contact() {
        assert_eq!(masked_group("p:ch:whatsapp:+5511999990000", "p"), "p…");
        assert_eq!(masked_group("whatsapp:+5511999990000:p", "p"), "…");
    }
}
