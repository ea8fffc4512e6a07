//! `trim_messages` of LangChain: what is left of a dialogue within a limit, from its end or from its beginning.

use super::{Counting, Line, Role};

/// Which end of the dialogue stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The newest messages.
    Last,
    /// The oldest.
    First,
}

/// How to trim. A list of roles that is empty asks for nothing.
#[derive(Clone, Debug)]
pub struct Trim {
    /// Which end stays.
    pub end: End,
    /// Tokens, at most.
    pub max_tokens: i64,
    /// How they are counted.
    pub counting: Counting,
    /// Whether the first message that does not fit may stay in part, cut between its lines of text.
    pub allow_partial: bool,
    /// Whether a system message at the beginning stays in any case. For the last end only.
    pub include_system: bool,
    /// The first message that stays is of one of these roles; the system message at the beginning apart. For the last end only.
    pub start_on: Vec<Role>,
    /// The last message that stays is of one of these roles.
    pub end_on: Vec<Role>,
}

/// Trims a dialogue.
pub fn trim(lines: &[Line], how: &Trim) -> Vec<Line> {
    match how.end {
        End::First => first(lines.to_vec(), how.max_tokens, how, &how.end_on),
        End::Last => last(lines, how),
    }
}

fn last(lines: &[Line], how: &Trim) -> Vec<Line> {
    let mut lines = lines;
    while let Some((line, before)) = lines.split_last()
        && !is_one_of(line, &how.end_on)
    {
        lines = before;
    }
    let (system, rest) = match lines.split_first() {
        Some((first, rest)) if how.include_system && first.role == Role::System => (Some(first), rest),
        _ => (None, lines),
    };
    let left = system.map_or(how.max_tokens, |system| {
        let cost = i64::try_from(how.counting.lines([system])).unwrap_or(i64::MAX);
        (how.max_tokens - cost).max(0)
    });
    let backwards = first(rest.iter().rev().cloned().collect(), left, how, &how.start_on);
    system.into_iter().cloned().chain(backwards.into_iter().rev()).collect()
}

/// The longest run from the beginning of `lines` within the limit, ending on a role of `end_on`.
fn first(mut lines: Vec<Line>, max_tokens: i64, how: &Trim, end_on: &[Role]) -> Vec<Line> {
    let cost = |lines: &[Line]| i64::try_from(how.counting.lines(lines)).unwrap_or(i64::MAX);
    if cost(&lines) > max_tokens {
        let mut fitting = fitting(&lines, max_tokens, how.counting);
        if how.allow_partial
            && let Some(part) = lines.get(fitting).and_then(|line| {
                let left = max_tokens.saturating_sub(cost(&lines[..fitting]));
                partly(line, left, how)
            })
        {
            lines[fitting] = part;
            fitting += 1;
        }
        lines.truncate(fitting);
    }
    while lines.last().is_some_and(|line| !is_one_of(line, end_on)) {
        lines.pop();
    }
    lines
}

/// How many lines from the beginning fit.
fn fitting(lines: &[Line], max_tokens: i64, counting: Counting) -> usize {
    let mut tokens = i64::from(counting.fixed());
    let fits = |line: &&Line| {
        tokens = tokens.saturating_add(counting.line(line).into());
        tokens <= max_tokens
    };
    lines.iter().take_while(fits).count()
}

/// As many of the message's lines of text as fit, from the end that stays; `None` when none does.
///
/// From its end, they are measured in reverse order, as LangChain does: with a tokenizer the part may be a little over.
fn partly(line: &Line, left: i64, how: &Trim) -> Option<Line> {
    let texts: Vec<&str> = line.text.split_inclusive('\n').collect();
    // a text that ends with a line break has an empty last line
    let ended = line.text.ends_with('\n').then_some("");
    let mut texts: Vec<&str> = texts.into_iter().chain(ended).collect();
    if how.end == End::Last {
        texts.reverse();
    }
    let put = |texts: &[&str]| Line::new(line.role, texts.concat());
    let cost = |count: &usize| i64::try_from(how.counting.lines([&put(&texts[..*count])])).unwrap_or(i64::MAX);
    let counts: Vec<usize> = (1..=texts.len()).collect();
    let most = counts.partition_point(|count| cost(count) <= left);
    let stays = texts.get(..most).filter(|_| most > 0 && !line.text.is_empty())?;
    let mut stays = stays.to_vec();
    if how.end == End::Last {
        stays.reverse();
    }
    Some(put(&stays))
}

fn is_one_of(line: &Line, roles: &[Role]) -> bool {
    roles.is_empty() || roles.contains(&line.role)
}
