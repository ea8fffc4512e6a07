//! All of it on one page.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Widget},
};

use super::{
    BAD, DIM, GOOD, ODD, framed,
    tables::{self, busiest},
    unknown,
    words::{a_second, bound, counted, dollars, length, short, stands, thousands},
};
use crate::{
    fleet::{Beat, quantile},
    operate::{
        output::harmless,
        plot::columns,
        top::snapshot::{Part, Snapshot},
    },
};

/// Lines of all its blocks.
pub(super) const HEIGHT: u16 = TOP + MIDDLE + BOTTOM;

const TOP: u16 = 6;
const MIDDLE: u16 = 6;
const BOTTOM: u16 = 8;

pub(super) fn paint(snapshot: &Snapshot, area: Rect, buffer: &mut Buffer) {
    let rows = [Constraint::Length(TOP), Constraint::Length(MIDDLE), Constraint::Min(BOTTOM)];
    let [top, middle, bottom] = Layout::vertical(rows).areas(area);
    let thirds = [Constraint::Ratio(1, 3); 3];
    let [queue, work, latency] = Layout::horizontal(thirds).areas(top);
    let [stores, conversations, cost] = Layout::horizontal(thirds).areas(middle);
    let [letters, outbox, projects] = Layout::horizontal(thirds).areas(bottom);
    self::queue(snapshot, queue, buffer);
    lines("breakers", self::stores(snapshot), stores, buffer);
    self::letters(snapshot, letters, buffer);
    self::outbox(snapshot, outbox, buffer);
    // what replicas say of themselves
    for (title, told, area) in [
        ("a second, last minute", self::work(snapshot), work),
        ("latency, last minute", self::latency(snapshot), latency),
        ("since they started", self::conversations(snapshot), conversations),
        ("calls and cost", self::cost(snapshot), cost),
        ("busiest projects, messages/s", self::projects(snapshot), projects),
    ] {
        match &snapshot.replicas {
            Part::Known(_) => lines(title, told, area, buffer),
            Part::Unknown(why) => unknown(title, why, area, buffer),
        }
    }
}

fn lines(title: &str, lines: Vec<Line<'static>>, area: Rect, buffer: &mut Buffer) {
    Paragraph::new(lines).block(framed(title)).render(area, buffer);
}

/// A name to the left, its value to the right.
fn pair(name: &str, value: String, style: Style) -> Line<'static> {
    Line::from(vec![Span::raw(format!("{name:<17}")), Span::styled(format!("{value:>12}"), style)])
}

fn plain(name: &str, value: String) -> Line<'static> {
    pair(name, value, Style::new())
}

/// Unusual when there is any.
fn count(name: &str, n: u64, style: Style) -> Line<'static> {
    pair(name, thousands(n), if n == 0 { Style::new() } else { style })
}

fn queue(snapshot: &Snapshot, area: Rect, buffer: &mut Buffer) {
    let depth = match &snapshot.queue {
        Part::Known(depth) => depth,
        Part::Unknown(why) => return unknown("queue", why, area, buffer),
    };
    let age = snapshot.running().map(|beat| beat.levels.age_received).max();
    let dead = match &snapshot.dead_letter_queue {
        Part::Known(depth) => count("dead letters", depth.waiting + depth.in_flight, BAD),
        Part::Unknown(_) => pair("dead letters", "not known".into(), ODD),
    };
    let shown = vec![
        plain("waiting", thousands(depth.waiting)),
        plain("in flight", thousands(depth.in_flight)),
        plain("oldest received", age.map_or("-".into(), |age| length(age as f64))),
        dead,
    ];
    lines("queue", shown, area, buffer);
}

fn work(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let rate = |name, of: fn(&Beat) -> u64| plain(name, a_second(snapshot.rate(of)));
    let mut shown = vec![rate("messages stored", |beat| beat.recent.totals.messages)];
    if snapshot.trend.len() > 1 {
        // the axis is for pictures with more room
        let mut drawn = columns(&snapshot.trend, 2);
        drawn.truncate(2);
        shown.extend(drawn.into_iter().map(|line| Line::styled(line, GOOD)));
    } else {
        shown.push(rate("deliveries", |beat| beat.recent.totals.settled));
        shown.push(rate("conversations", |beat| beat.recent.totals.archived));
    }
    let failing = snapshot.rate(|beat| beat.recent.totals.released);
    let style = if failing > 0.0 { ODD } else { Style::new() };
    shown.push(pair("given back", a_second(failing), style));
    shown
}

fn latency(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let row = |name: &str, q: f64| {
        let turns = quantile(snapshot.running().flat_map(|beat| &beat.recent.turns), q);
        let ages = quantile(snapshot.running().flat_map(|beat| &beat.recent.ages), q);
        Line::raw(format!("{name:<5}{:>11}{:>13}", bound(turns), bound(ages)))
    };
    let head = Line::styled(format!("{:<5}{:>11}{:>13}", "", "turn", "age at end"), DIM);
    vec![head, row("p50", 0.5), row("p95", 0.95), row("p99", 0.99)]
}

fn stores(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let all = snapshot.running().count();
    let away = |name: &str, of: fn(&Beat) -> bool| match snapshot.running().filter(|beat| of(beat)).count() {
        _ if all == 0 => pair(name, "not known".into(), ODD),
        0 => pair(name, "closed".into(), GOOD),
        away => pair(name, format!("open on {away}"), BAD),
    };
    let sinks = match &snapshot.sinks {
        Part::Known(sinks) => match sinks.iter().filter(|sink| sink.breaker != "closed").count() {
            0 => pair("sinks", "closed".into(), GOOD),
            open => pair("sinks", format!("{open} not closed"), BAD),
        },
        Part::Unknown(_) => pair("sinks", "not known".into(), ODD),
    };
    let parked = match &snapshot.told {
        Part::Known(told) => count("parked groups", told.parked, ODD),
        Part::Unknown(_) => pair("parked groups", "not known".into(), ODD),
    };
    vec![
        away("DynamoDB", |beat| beat.levels.hot_away),
        away("PostgreSQL", |beat| beat.levels.archive_away),
        sinks,
        parked,
    ]
}

fn conversations(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let total = |name, of: fn(&Beat) -> u64| plain(name, thousands(snapshot.total(of)));
    vec![
        total("messages", |beat| beat.totals.messages),
        total("opened", |beat| beat.totals.opened),
        total("archived", |beat| beat.totals.archived),
        total("answers", |beat| beat.totals.replies),
    ]
}

fn cost(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let (sqs, dynamodb) =
        (snapshot.total(|beat| beat.totals.sqs_calls), snapshot.total(|beat| beat.totals.dynamodb_calls));
    let stored = snapshot.total(|beat| beat.totals.messages);
    let each = if stored == 0 { "-".to_owned() } else { format!("{:.2}", (sqs + dynamodb) as f64 / stored as f64) };
    vec![
        plain("to SQS", thousands(sqs)),
        plain("to DynamoDB", thousands(dynamodb)),
        plain("calls a message", each),
        plain("cost, at least", dollars(snapshot.cost())),
    ]
}

fn letters(snapshot: &Snapshot, area: Rect, buffer: &mut Buffer) {
    let letters = match &snapshot.letters {
        Part::Known(letters) => letters,
        Part::Unknown(why) => return unknown("dead letters by reason", why, area, buffer),
    };
    let mut shown: Vec<Line<'static>> = letters
        .by_reason
        .iter()
        .take(5)
        .map(|reason| Line::raw(format!("{:>6}  {}", thousands(reason.count), short(&tables::named(reason), 22))))
        .collect();
    match letters.oldest {
        None => shown.push(Line::styled("none", GOOD)),
        Some(oldest) => shown.push(Line::styled(format!("the oldest: {}", stands(oldest, snapshot.at)), DIM)),
    }
    lines("dead letters by reason", shown, area, buffer);
}

fn outbox(snapshot: &Snapshot, area: Rect, buffer: &mut Buffer) {
    let sinks = match &snapshot.sinks {
        Part::Known(sinks) => sinks,
        Part::Unknown(why) => return unknown("outbox", why, area, buffer),
    };
    let mut shown: Vec<Line<'static>> = sinks
        .iter()
        .take(6)
        .map(|sink| {
            let (state, style) = tables::fares(sink, snapshot.at);
            let name = format!("{:<10}{:>6}  ", short(&harmless(&sink.name), 10), thousands(sink.pending));
            Line::from(vec![Span::raw(name), Span::styled(short(&state, 13), style)])
        })
        .collect();
    if shown.is_empty() {
        shown.push(Line::styled("no sinks", DIM));
    }
    lines(&format!("outbox, {}", counted(sinks.len() as u64, "sink")), shown, area, buffer);
}

fn projects(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let mut shown: Vec<Line<'static>> = busiest(snapshot)
        .into_iter()
        .take(6)
        .map(|(name, rate)| Line::raw(format!("{:>7}  {}", a_second(rate), short(&name, 21))))
        .collect();
    if shown.is_empty() {
        shown.push(Line::styled("none stored a message", DIM));
    }
    shown
}
