//! `get_context`: what a model should be told of a thread's conversation, and a receipt for it.
//!
//! Reads from the newest message backwards, in pages, and ends where the budget does: never a whole conversation. What no
//! longer fits goes into the summary, from the watermark on, a bounded part at a time.

use std::collections::HashSet;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{
    Asking,
    found::Found,
    history::History,
    outcome::{Outcome, Room, Unanswered},
    summariser::Told,
};
use crate::{
    context::{
        Budget, Counting, Division, LONGEST_SUMMARY, Line, Models, Role, Strategy, Tokenizer, fit, plan, window,
    },
    domain::{Conversation, Message, Open, Recap, Spot},
    event::request::GetContext,
};

/// Messages of the first page: enough for most windows of 8,000 tokens.
const FIRST_PAGE: usize = 200;

/// Messages of the following pages.
const PAGE: usize = 1_000;

/// Messages that one answer may move into the summary; what remains, the next answer moves.
const SUMMARISED_AT_ONCE: usize = 2_000;

/// The window of a model of which nothing is said.
const UNKNOWN_WINDOW: u32 = 8_000;

/// How the context is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resolved {
    strategy: Strategy,
    budget: Budget,
    tokenizer: Tokenizer,
    window: u32,
}

/// A message that is told.
struct Part {
    place: Spot,
    tokens: u32,
    view: Value,
}

/// What was read, newest first.
#[derive(Default)]
struct Read {
    parts: Vec<Part>,
    /// Messages looked at.
    seen: usize,
    /// There is nothing older before the watermark.
    complete: bool,
    /// The reply's size ended it.
    cut: bool,
}

impl Asking<'_> {
    pub(super) async fn context(&self, wanted: &GetContext) -> Result<Outcome, Unanswered> {
        let resolved = resolve(&self.answers.models, wanted)?;
        let found = self.current().await?;
        let variables = if wanted.include_state { Some(self.variables_of(&found).await?) } else { None };
        let counting = Counting::Lines(resolved.tokenizer);
        let mut recap = match resolved.strategy {
            Strategy::SummaryBuffer => found.recap().cloned(),
            Strategy::TokenBuffer => None,
        };
        let mut division = Division::of(resolved.budget, recap.is_some(), counting.fixed());
        let mut history = found.history(self);
        let mut warning = None;
        let beside = json!([variables, recap]);
        let watermark = recap.as_ref().map(|recap| recap.through);
        let mut read = self.newest(&mut history, watermark, counting, &mut division, &beside).await;
        if matches!(read, Err(Unanswered::Archive(_))) {
            // it closed a while ago; the hot store keeps its messages for as long
            history.without_archive();
            warning = Some("the archive cannot be read now: messages that it alone has are missing");
            division = Division::of(resolved.budget, recap.is_some(), counting.fixed());
            read = self.newest(&mut history, watermark, counting, &mut division, &beside).await;
        }
        let mut read = read?;
        let divided = division.settle(read.complete && !read.cut);
        let kept = divided.kept.messages.min(read.parts.len());
        read.parts.truncate(kept);
        let mut stored = None;
        let mut behind = false;
        if resolved.strategy == Strategy::SummaryBuffer && divided.overflows {
            let oldest = read.parts.last().map(|part| part.place);
            let most = resolved.budget.for_summary().unwrap_or(LONGEST_SUMMARY).min(LONGEST_SUMMARY);
            match self.summarised(&found, recap.as_ref(), oldest, most, counting).await {
                Ok((new, caught_up)) => {
                    stored = Some(self.keep(&found, &new).await);
                    behind = !caught_up;
                    recap = new.or(recap);
                }
                Err(why) => {
                    tracing::warn!(error = %why, "a context goes without a newer summary");
                    behind = true;
                    warning = Some("the summary could not be brought up to date; it is the previous one");
                }
            }
        }
        let summary = recap.as_ref().filter(|recap| !recap.text.is_empty());
        let summary_tokens = summary.map_or(0, |recap| counting.line(&Line::new(Role::System, recap.text.as_str())));
        let tokens: u64 = read.parts.iter().map(|part| u64::from(part.tokens)).sum();
        let complete = !divided.overflows;
        let first_and_last = [read.parts.last(), read.parts.first()].map(|part| part.map(|part| part.place));
        let receipt = json!({
            "strategy": resolved.strategy.name(),
            "tokenizer": resolved.tokenizer.name(),
            "window": resolved.window,
            "limit": resolved.budget.limit,
            "budget_includes_summary": resolved.budget.includes_summary,
            "tokens": tokens + u64::from(summary_tokens),
            "message_tokens": tokens,
            "summary_tokens": summary_tokens,
            "messages_kept": read.parts.len(),
            "messages_dropped": read.seen - read.parts.len(),
            "dropped_is_lower_bound": !complete,
            "cut_by_reply_size": read.cut,
            "first_message_id": first_and_last[0].map(|place| place.event_id),
            "last_message_id": first_and_last[1].map(|place| place.event_id),
            "summary": recap.as_ref().map(|recap| json!({
                "through": recap.through.event_id,
                "messages": recap.messages,
                "made_at": at(recap.made_at),
                "stored": stored,
                "behind": behind,
            })),
            "archive_read": history.archive_read,
            "in_order": matches!(&found, Found::Head(head) if self.is_turn_of(head)),
            "as_of": at(self.event.received_at),
            "last_message_at": first_and_last[1].map(|place| at(place.occurred_at)),
            "warning": warning,
        });
        let first = summary.map(|recap| json!({"role": "system", "text": recap.text, "summary": true}));
        let messages: Vec<Value> =
            first.into_iter().chain(read.parts.into_iter().rev().map(|part| part.view)).collect();
        let mut content = json!({
            "conversation_id": found.id(),
            "conversation_status": found.status(),
            "messages": messages,
            "receipt": receipt,
        });
        if let Some(variables) = variables {
            content["state"] = variables;
        }
        Ok(Outcome::ok(content))
    }

    /// Reads the newest messages, as many as the budget and the reply have room for.
    async fn newest(
        &self,
        history: &mut History<'_>,
        watermark: Option<Spot>,
        counting: Counting,
        division: &mut Division,
        beside: &Value,
    ) -> Result<Read, Unanswered> {
        // the receipt, and a summary that may still be made, are told as well
        let receipt = json!("x".repeat(2_048 + if watermark.is_none() { 8_192 } else { 0 }));
        let mut room = Room::in_reply(self.answers.limits.bytes, &json!([beside, receipt]));
        let (mut read, mut known) = (Read::default(), HashSet::new());
        let (mut before, mut most) = (None, FIRST_PAGE);
        loop {
            let leg = history.back(before, most).await?;
            before = leg.messages.last().map(Message::spot).or(before);
            for message in leg.messages {
                let place = message.spot();
                if watermark.is_some_and(|watermark| place <= watermark) {
                    read.complete = true;
                    return Ok(read);
                }
                if !known.insert(message.event_id) {
                    continue;
                }
                read.seen += 1;
                let part = part(message, counting);
                if !room.take(&part.view) {
                    read.cut = true;
                    return Ok(read);
                }
                let goes_on = division.take(part.tokens);
                read.parts.push(part);
                if !goes_on {
                    return Ok(read);
                }
            }
            if !leg.more {
                read.complete = true;
                return Ok(read);
            }
            most = PAGE;
        }
    }

    /// The summary moved on over messages that no longer fit: those after the watermark and before `until`.
    ///
    /// Returns the new one, if there was anything to tell, and whether it now reaches up to `until`.
    async fn summarised(
        &self,
        found: &Found,
        recap: Option<&Recap>,
        until: Option<Spot>,
        most: i64,
        counting: Counting,
    ) -> Result<(Option<Recap>, bool), Unanswered> {
        let mut history = found.history(self);
        let (mut dropped, mut known): (Vec<Message>, _) = (Vec::new(), HashSet::new());
        let mut after = recap.map(|recap| recap.through);
        let caught_up = 'reading: loop {
            let leg = history.forward(after, PAGE).await?;
            after = leg.messages.last().map(Message::spot).or(after);
            for message in leg.messages {
                if until.is_some_and(|until| until <= message.spot()) {
                    break 'reading true;
                }
                if dropped.len() == SUMMARISED_AT_ONCE {
                    break 'reading false;
                }
                if known.insert(message.event_id) {
                    dropped.push(message);
                }
            }
            if !leg.more {
                break true;
            }
        };
        let Some(last) = dropped.last() else { return Ok((None, caught_up)) };
        let through = last.spot();
        let lines: Vec<Line> = dropped.iter().map(line).collect();
        let told = Told {
            previous: recap.map_or("", |recap| recap.text.as_str()),
            lines: &lines,
            most,
            counting,
            until: self.until,
        };
        let text = self.answers.summariser.summarise(&told).await?;
        let messages = recap.map_or(0, |recap| recap.messages) + dropped.len() as u64;
        let text = fit(&text, most, counting).to_owned();
        Ok((Some(Recap { text, through, messages, made_at: self.event.received_at }), caught_up))
    }

    /// Stores the summary on the head: only in its group's turn, only on an open conversation, only over the version read.
    async fn keep(&self, found: &Found, recap: &Option<Recap>) -> bool {
        let (Found::Head(head), Some(recap), Some(ours)) = (found, recap, self.turn) else { return false };
        let Conversation::Open(open) = &head.conversation else { return false };
        if !self.is_turn_of(head) || !ours() {
            return false;
        }
        let mut open: Open = open.clone();
        open.record.recap = Some(recap.clone());
        let head = head.next(Conversation::Open(open));
        matches!(self.hot.write_head(&head.thread.key(), &head).await, Ok(true))
    }
}

fn resolve(models: &Models, wanted: &GetContext) -> Result<Resolved, Unanswered> {
    let model = wanted.model.as_deref().and_then(|name| models.find(name));
    let asked = wanted
        .window
        .as_deref()
        .map(|text| window(text).ok_or(Unanswered::Refused("the window is not a number of tokens")));
    let window = match (asked.transpose()?, model) {
        (Some(window), _) => window,
        (None, Some(model)) => model.window,
        (None, None) if wanted.model.is_some() && wanted.max_tokens.is_none() => {
            return Err(Unanswered::Refused("the model is not known; say its window, or max_tokens"));
        }
        (None, None) => UNKNOWN_WINDOW,
    };
    let plan = plan(window);
    let strategy = match wanted.strategy.as_deref() {
        None => plan.strategy,
        Some("token_buffer") => Strategy::TokenBuffer,
        Some("summary_buffer") => Strategy::SummaryBuffer,
        Some(_) => return Err(Unanswered::Refused("the strategy must be token_buffer or summary_buffer")),
    };
    let tokenizer = match wanted.tokenizer.as_deref() {
        None => model.map_or(Tokenizer::default(), |model| model.tokenizer),
        Some(name) => Tokenizer::named(name).ok_or(Unanswered::Refused("the tokenizer is not known"))?,
    };
    let includes_summary = wanted.budget_includes_summary && strategy == Strategy::SummaryBuffer;
    let budget = Budget { limit: wanted.max_tokens.unwrap_or(plan.limit), includes_summary };
    Ok(Resolved { strategy, budget, tokenizer, window })
}

fn line(message: &Message) -> Line {
    Line::new(Role::of(message.direction), message.text.as_str())
}

/// A message as it is told; its tokens are those counted when it was saved, if the same tokenizer counted.
fn part(message: Message, counting: Counting) -> Part {
    let counted =
        message.tokens.as_ref().filter(|tokens| counts(counting, &tokens.tokenizer)).map(|tokens| tokens.count);
    let line = line(&message);
    let tokens = counted.unwrap_or_else(|| counting.line(&line));
    let view = json!({
        "id": message.external_id,
        "event_id": message.event_id,
        "role": line.role,
        "text": line.text,
        "created_at": at(message.occurred_at),
        "tokens": tokens,
    });
    Part { place: message.spot(), tokens, view }
}

fn counts(counting: Counting, name: &str) -> bool {
    matches!(counting, Counting::Lines(tokenizer) if tokenizer.name() == name)
}

pub(super) fn at(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(wanted: &GetContext) -> Result<(Strategy, i64, &'static str), String> {
        let resolved = resolve(&Models::default(), wanted).map_err(|why| why.to_string())?;
        Ok((resolved.strategy, resolved.budget.limit, resolved.tokenizer.name()))
    }

    #[test]
    fn the_models_window_says_how_unless_the_request_does() {
        use Strategy::{SummaryBuffer, TokenBuffer};
        let text = |text: &str| Some(text.to_owned());
        let none = GetContext::default();
        for (wanted, expected) in [
            (none.clone(), (TokenBuffer, 6_000, "o200k_base")),
            (GetContext { model: text("gpt-4o"), ..none.clone() }, (SummaryBuffer, 120_000, "o200k_base")),
            (GetContext { model: text("gpt-4-32k"), ..none.clone() }, (TokenBuffer, 28_000, "cl100k_base")),
            (
                GetContext { model: text("gpt-4"), max_tokens: Some(50), ..none.clone() },
                (TokenBuffer, 50, "cl100k_base"),
            ),
            (
                GetContext { model: text("mine"), window: text("32k"), ..none.clone() },
                (TokenBuffer, 28_000, "o200k_base"),
            ),
            (GetContext { model: text("mine"), max_tokens: Some(-1), ..none.clone() }, (TokenBuffer, -1, "o200k_base")),
            (
                GetContext { strategy: text("summary_buffer"), tokenizer: text("cl100k_base"), ..none.clone() },
                (SummaryBuffer, 6_000, "cl100k_base"),
            ),
        ] {
            assert_eq!(resolved(&wanted), Ok(expected), "{wanted:?}");
        }
        for wanted in [
            GetContext { model: text("mine"), ..none.clone() },
            GetContext { window: text("wide"), ..none.clone() },
            GetContext { strategy: text("best"), ..none.clone() },
            GetContext { tokenizer: text("abacus"), ..none },
        ] {
            assert!(resolved(&wanted).is_err(), "{wanted:?}");
        }
    }
}
