//! `conversations show`: a transcript as a person would read it, or as JSON Lines.

use std::{io, process::ExitCode};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Stores, Whereabouts,
    find::{Found, find, not_found},
    transcript::{Said, Transcript},
    view::View,
};
use crate::{
    domain::{ConversationId, Direction, Message},
    operate::{
        mask::{Mask, masked},
        moment::shown,
        output::{Output, harmless},
    },
};

/// Which conversation to show, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The conversation's id.
    id: Uuid,
    #[command(flatten)]
    whereabouts: Whereabouts,
    /// JSON Lines: the conversation, then its messages.
    #[arg(long)]
    json: bool,
    /// Show what was said, and by whom, as it is.
    #[arg(long)]
    reveal: bool,
}

/// Width of the column that says who speaks.
const WHO: usize = 16;

pub(super) async fn run(arguments: &Arguments, stores: &Stores) -> anyhow::Result<ExitCode> {
    let id = ConversationId(arguments.id);
    let mask = Mask::unless(arguments.reveal);
    let found = find(stores, id, &arguments.whereabouts).await?.ok_or_else(|| not_found(id))?;
    let (view, mut transcript) = match &found {
        Found::Archived(row) => (View::of_row(row, mask), Transcript::of(id).and_archive(&stores.archive)),
        Found::Hot(head, row) => {
            let transcript = Transcript::of(id).and_hot(&*stores.hot, head.thread.key());
            let copied = row.is_some();
            (View::of_head(head, mask), if copied { transcript.and_archive(&stores.archive) } else { transcript })
        }
    };
    let mut output = Output::new();
    if arguments.json {
        output.json(&Line::Conversation(&view))?;
        while let Some(said) = transcript.next().await? {
            output.json(&Line::Message(said_in_json(&said, mask)?))?;
        }
    } else {
        title(&view).into_iter().try_for_each(|line| output.line(line))?;
        let (mut day, mut count) = (None, 0_u64);
        while let Some(said) = transcript.next().await? {
            count += 1;
            turn(&mut output, &said, mask, &mut day)?;
        }
        output.line(end(count, mask))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Conversation(&'a View),
    Message(Value),
}

fn title(view: &View) -> Vec<String> {
    let mut lines = vec![match &view.reason {
        Some(reason) => format!("conversation {}: {} ({reason})", view.id, view.status),
        None => format!("conversation {}: {}", view.id, view.status),
    }];
    let closed = view.closed_at.map(|at| format!(", closed {}", shown(at))).unwrap_or_default();
    let due = view.due_at.map(|at| format!(", due {}", shown(at))).unwrap_or_default();
    lines.push(format!("opened {}{closed}{due} (UTC)", shown(view.opened_at)));
    lines.push(format!("project {}", view.project));
    for (what, value) in [
        ("channel", &view.channel),
        ("contact", &view.contact),
        ("name", &view.contact_name),
        ("external id", &view.external_id),
        ("agent", &view.agent_id),
        ("detail", &view.detail),
    ] {
        lines.extend(value.as_ref().map(|value| format!("{what} {value}")));
    }
    lines.iter().map(|line| harmless(line)).collect()
}

/// One message; before the first of a day, the day.
fn turn(output: &mut Output, said: &Said, mask: Mask, day: &mut Option<NaiveDate>) -> io::Result<()> {
    let message = &said.message;
    let date = message.occurred_at.date_naive();
    if day.replace(date) != Some(date) {
        output.line(format!("\n{date}"))?;
    }
    spoken(said, mask).into_iter().try_for_each(|line| output.line(line))
}

/// `12:30:45  María José        Olá!`, further lines of the text under the first.
fn spoken(said: &Said, mask: Mask) -> Vec<String> {
    let message = &said.message;
    let mut who: Vec<char> = harmless(&speaker(message, mask)).chars().collect();
    if who.len() > WHO {
        who.truncate(WHO - 1);
        who.push('…');
    }
    let who: String = who.into_iter().collect();
    let mut text = mask.text(&message.text);
    for (present, note) in [
        (!message.attachments.is_empty(), format!("[{} attached]", message.attachments.len())),
        (said.late, "(came after the close)".to_owned()),
    ] {
        if present {
            text = if text.is_empty() { note } else { format!("{text} {note}") };
        }
    }
    let mut lines = text.lines().map(harmless);
    let first = lines.next().unwrap_or_default();
    let first = format!("{}  {who:<WHO$}  {first}", message.occurred_at.format("%H:%M:%S"));
    let rest = lines.map(|line| format!("{:width$}{line}", "", width = "12:30:45  ".len() + WHO + 2));
    std::iter::once(first).chain(rest).map(|line| line.trim_end().to_owned()).collect()
}

fn speaker(message: &Message, mask: Mask) -> String {
    match message.direction {
        Direction::Incoming => match message.contact_name.as_deref() {
            Some(name) => mask.name(name),
            None => "contact".to_owned(),
        },
        Direction::Outgoing => message.agent_id.clone().unwrap_or_else(|| "agent".to_owned()),
        Direction::System => "system".to_owned(),
    }
}

fn end(count: u64, mask: Mask) -> String {
    match (count, mask) {
        (0, _) => "\nno messages".to_owned(),
        (count, Mask::Off) => format!("\n{count} messages"),
        (count, Mask::On) => format!("\n{count} messages; --reveal shows what was said"),
    }
}

/// The message as stored, or masked.
fn said_in_json(said: &Said, mask: Mask) -> serde_json::Result<Value> {
    let message = &said.message;
    let mut json = match mask.hidden(message) {
        Some(message) => serde_json::to_value(message)?,
        None => masked(message),
    };
    json["arrived_after_close"] = said.late.into();
    Ok(json)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{EventId, Sequence};

    fn said(direction: Direction, text: &str) -> Said {
        let message = Message {
            event_id: EventId(Uuid::nil()),
            occurred_at: "2026-03-01T12:30:45.5Z".parse().expect("a time"),
            received_at: "2026-03-01T12:30:46Z".parse().expect("a time"),
            sequence: Sequence(1),
            direction,
            text: text.into(),
            external_id: Some("wamid.5511999990000".into()),
            contact_name: Some("María José".into()),
            content_type: None,
            sender_type: None,
            sender_id: Some("5511999990000".into()),
            agent_id: Some("agent-7-of-the-night-shift".into()),
            model_used: None,
            tokens_used: None,
            tokens: None,
            sentiment: None,
            intent: None,
            entities: vec!["5511999990000".into()],
            attachments: vec!["https://media.example/5511999990000.jpg".into()],
            metadata: serde_json::Map::new(),
        };
        Said { message, late: false }
    }

    #[test]
    fn a_transcript_reads_as_time_who_and_text() {
        assert_eq!(
            spoken(&said(Direction::Incoming, "Olá!\nTudo bem?\u{7}"), Mask::Off),
            ["12:30:45  María José        Olá!", "                            Tudo bem?\\u{7} [1 attached]"]
        );
        assert_eq!(spoken(&said(Direction::Outgoing, ""), Mask::Off), ["12:30:45  agent-7-of-the-…  [1 attached]"]);
    }

    #[test]
    fn a_masked_transcript_shows_neither_text_nor_person() {
        let incoming = said(Direction::Incoming, "my number is 5511999990000");
        let shown = spoken(&incoming, Mask::On).concat();
        assert_eq!(shown, "12:30:45  M… J…             [26 characters] [1 attached]");
        let json = said_in_json(&incoming, Mask::On).expect("json").to_string();
        assert!(!json.contains("5511999990000") && !json.contains("María"), "{json}");
        let json = said_in_json(&incoming, Mask::Off).expect("json").to_string();
        assert!(json.contains("my number is 5511999990000") && json.contains("wamid"), "{json}");
    }
}
