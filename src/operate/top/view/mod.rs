//! The picture: a function of a snapshot, of what is looked at, and of the room there is. No I/O, no clock.

mod overview;
mod tables;
mod words;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Widget},
};

use super::{
    screen::{Screen, Tab},
    snapshot::{Part, Snapshot},
};
use words::{counted, stands};

const GOOD: Style = Style::new().fg(Color::Green);
const ODD: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().fg(Color::DarkGray);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// Paints the picture.
pub fn paint(snapshot: &Snapshot, screen: Screen, area: Rect, buffer: &mut Buffer) {
    let [head, tabs, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    header(snapshot).render(head, buffer);
    self::tabs(screen).render(tabs, buffer);
    match screen.tab {
        Tab::Overview => overview::paint(snapshot, body, buffer),
        Tab::Replicas => tables::replicas(snapshot, screen.above, body, buffer),
        Tab::Letters => tables::letters(snapshot, screen.above, body, buffer),
        Tab::Outbox => tables::outbox(snapshot, screen.above, body, buffer),
        Tab::Projects => tables::projects(snapshot, screen.above, body, buffer),
    }
    Line::styled("q quit  ? help  r read now  ←/→ pages  ↑/↓ scroll", DIM).render(foot, buffer);
    if screen.help {
        help(body, buffer);
    }
}

/// The picture as text, without colours, `width` characters wide.
pub fn picture(snapshot: &Snapshot, screen: Screen, width: u16) -> String {
    let rows = match screen.tab {
        Tab::Overview => overview::HEIGHT,
        Tab::Replicas => tables::height(snapshot.replicas.known().map(Vec::len)),
        Tab::Letters => tables::height(snapshot.letters.known().map(|letters| letters.by_reason.len())),
        Tab::Outbox => tables::height(snapshot.sinks.known().map(Vec::len)),
        Tab::Projects => tables::height(Some(tables::busiest(snapshot).len())),
    };
    let area = Rect::new(0, 0, width, rows + 2);
    let mut buffer = Buffer::empty(Rect { height: area.height + 1, ..area });
    paint(snapshot, screen, buffer.area, &mut buffer);
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..area.height).map(line).collect::<Vec<String>>().join("\n")
}

fn header(snapshot: &Snapshot) -> Line<'static> {
    let at = snapshot.at.format("%Y-%m-%d %H:%M:%SZ").to_string();
    let running = snapshot.running().count();
    let replicas = match &snapshot.replicas {
        Part::Known(_) if running > 0 => Span::styled(format!("{} run", counted(running as u64, "replica")), GOOD),
        Part::Known(_) => Span::styled("no replica says that it runs", BAD),
        Part::Unknown(_) => Span::styled("replicas not known", ODD),
    };
    let consuming = match &snapshot.told {
        Part::Known(told) => match told.paused_since {
            None => Span::styled("consuming", GOOD),
            Some(since) => Span::styled(format!("paused for {}", stands(since, snapshot.at)), ODD),
        },
        Part::Unknown(_) => Span::styled("pause not known", ODD),
    };
    Line::from(vec![
        Span::styled("conversationd top", STRONG),
        Span::raw(format!("  {at}  ")),
        replicas,
        Span::raw(", "),
        consuming,
    ])
}

fn tabs(screen: Screen) -> Line<'static> {
    let tab = |(key, name, tab): &(char, &'static str, Tab)| {
        let style = if *tab == screen.tab { STRONG.add_modifier(Modifier::REVERSED) } else { Style::new() };
        [Span::styled(format!(" {key} {name} "), style), Span::raw(" ")]
    };
    Line::from(Tab::ALL.iter().flat_map(tab).collect::<Vec<_>>())
}

/// A frame with a title.
fn framed(title: impl Into<String>) -> Block<'static> {
    Block::bordered().border_style(DIM).title(Span::styled(format!(" {} ", title.into()), STRONG))
}

/// Why something is not shown.
fn unknown(title: &str, why: &str, area: Rect, buffer: &mut Buffer) {
    let lines = vec![Line::styled("not known:", ODD), Line::raw(why.to_owned())];
    Paragraph::new(lines).wrap(ratatui::widgets::Wrap { trim: true }).block(framed(title)).render(area, buffer);
}

fn help(area: Rect, buffer: &mut Buffer) {
    let mut lines = vec![Line::raw("")];
    for (key, name, _) in Tab::ALL {
        lines.push(Line::raw(format!("  {key}          {name}")));
    }
    lines.extend(
        [
            "  ←/→        the page before, the next",
            "  ↑/↓, k/j   scroll a long table",
            "  r          read everything now; dead letters are read twice a minute only",
            "  q, Esc     quit",
            "",
            "Replicas say how they are every few seconds (CONVERSATIOND_BEAT_SECONDS), by a row in the table.",
            "Rates and latencies are of the last minute, the rest since each replica's start.",
            "A latency is the bound under which it fell.",
        ]
        .map(Line::raw),
    );
    Clear.render(area, buffer);
    Paragraph::new(lines).wrap(ratatui::widgets::Wrap { trim: false }).block(framed("help")).render(area, buffer);
}
