//! `dlq replay`: decodes a letter and decides on it against what is stored now. Writes nothing.

use std::process::ExitCode;

use super::{
    Site,
    peek::{Peek, not_reachable},
    wanted::raw,
};
use crate::{
    config::Config,
    domain::{Conversation, ThreadKey},
    event::{self, Event, Kind},
    handler::{self, Decision, Rated, Seen},
    hot::HotStore,
    operate::{letters, output::say},
};

/// Which letter.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The id that `dlq list` shows.
    id: String,
}

pub(super) async fn run(
    arguments: &Arguments,
    site: &Site,
    get: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<ExitCode> {
    let config = Config::read(get)?;
    let row = letters::row(&*site.index, &arguments.id).await?;
    let mut peek = Peek::begin(site);
    let looked = peek.find(&arguments.id).await;
    match &looked {
        Ok(Some(found)) => peek.end_with(&found.letter).await,
        _ => peek.end().await,
    }
    let found = looked?.ok_or_else(|| not_reachable(&arguments.id, row.is_some()))?;
    let event = match event::decode(&raw(&found.letter)) {
        Ok(event) => event,
        Err(rejection) => {
            say(format!("rejected again, {}: {rejection}", rejection.code.as_str()))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let seen = look(&*site.index, &event.thread.key(), &event).await?;
    let told = match handler::decide(&seen, &event, &config.policy) {
        Decision::Nothing(why) => format!("nothing would change: {why}"),
        Decision::Finish(closing) => {
            format!("the close of {} would be finished, then decided again", closing.record.id)
        }
        Decision::Write(_) => "the conversation's head would be written".to_owned(),
        Decision::Append { head: None, conversation } => format!("appended to the open conversation {conversation}"),
        Decision::Append { head: Some(_), conversation } => {
            format!("appended to {conversation}, which it opens or resumes")
        }
        Decision::Late(stretch) => format!("appended to the archived conversation {}", stretch.id),
        Decision::Checkpoint(_) => "the conversation would be copied into the archive, and go on".to_owned(),
        Decision::Rate(Rated::Open) => "stored as a rating of the open conversation".to_owned(),
        Decision::Rate(Rated::Closed(stretch)) => {
            format!("stored as a rating of the closed conversation {}", stretch.id)
        }
        Decision::Rate(Rated::Nothing) => "stored as a rating of no conversation".to_owned(),
        Decision::Amend(stretch, _) => format!("the archive of conversation {} would say so", stretch.id),
        Decision::Classify(said) => {
            format!("the archive of conversation {} would say how it ended, unless it does", said.conversation)
        }
        Decision::SetVariable(_) => "the variable would be written".to_owned(),
        Decision::SetProject(_) => "the project's settings would be stored".to_owned(),
        Decision::Erase => "the contact's erasure would be asked for".to_owned(),
        Decision::Link(_) => "it would link its conversation to a customer record".to_owned(),
        Decision::Forward(_) => "sent into the group of its session's thread".to_owned(),
        Decision::Wait(why) => format!("it would wait: {why}"),
        Decision::Reject(rejection) => format!("rejected again, {}: {rejection}", rejection.code.as_str()),
    };
    say(told)?;
    Ok(ExitCode::SUCCESS)
}

/// What the pipeline would read for the decision.
async fn look(hot: &dyn HotStore, thread: &ThreadKey, event: &Event) -> anyhow::Result<Seen> {
    let head = hot.heads(vec![thread.clone()]).await.pop().transpose()?.flatten();
    let mut seen = Seen { head, ..Seen::default() };
    match (&event.kind, seen.head.as_ref().map(|head| &head.conversation)) {
        (Kind::Due(due), Some(Conversation::Open(open))) if due.conversation_id == open.record.id => {
            seen.last_received = hot.last_received(thread, open.record.id).await?;
        }
        (Kind::Message(message), Some(Conversation::Closed(closed))) => {
            seen.overtaken = hot.overtook(thread, closed.record.id, message).await?;
        }
        _ => {}
    }
    Ok(seen)
}
