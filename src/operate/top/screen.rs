//! What of it is looked at, and what keys do to that. Pure.

use clap::ValueEnum;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Tab {
    /// All of it on one page.
    #[default]
    Overview,
    /// Each replica.
    Replicas,
    /// Dead letters by reason.
    Letters,
    /// The outbox by sink.
    Outbox,
    /// The busiest projects.
    Projects,
}

impl Tab {
    /// All, in the order of their keys.
    pub(super) const ALL: [(char, &'static str, Self); 5] = [
        ('1', "overview", Self::Overview),
        ('2', "replicas", Self::Replicas),
        ('3', "dead letters", Self::Letters),
        ('4', "outbox", Self::Outbox),
        ('p', "projects", Self::Projects),
    ];
}

/// What the person has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// What is looked at.
    pub tab: Tab,
    /// Whether the keys are explained.
    pub help: bool,
    /// Lines of a long table that are above.
    pub above: usize,
}

/// What a key asks of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing but another picture.
    Picture,
    /// To read everything now, the index of dead letters too.
    Reading,
    /// To end.
    End,
}

impl Screen {
    /// What is looked at to begin with.
    pub fn on(tab: Tab) -> Self {
        Self { tab, ..Self::default() }
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Asked {
        let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd'));
        if interrupt {
            return Asked::End;
        }
        match key.code {
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Asked::End,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('r') => return Asked::Reading,
            KeyCode::Down | KeyCode::Char('j') => self.above = self.above.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.above = self.above.saturating_sub(1),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Tab::ALL.len() - 1),
            KeyCode::Char(pressed) => {
                if let Some((_, _, tab)) = Tab::ALL.iter().find(|(key, _, _)| *key == pressed) {
                    *self = Self::on(*tab);
                }
            }
            _ => {}
        }
        Asked::Picture
    }

    fn turn(&mut self, by: usize) {
        let place = Tab::ALL.iter().position(|(_, _, tab)| *tab == self.tab).unwrap_or_default();
        *self = Self::on(Tab::ALL[(place + by) % Tab::ALL.len()].2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(screen: &mut Screen, code: KeyCode) -> Asked {
        screen.press(KeyEvent::from(code))
    }

    #[test]
    fn keys_lead_to_their_pages_and_out() {
        let mut screen = Screen::default();
        for (key, _, tab) in Tab::ALL {
            assert_eq!(pressed(&mut screen, KeyCode::Char(key)), Asked::Picture);
            assert_eq!(screen.tab, tab);
        }
        pressed(&mut screen, KeyCode::Tab);
        assert_eq!(screen.tab, Tab::Overview);
        pressed(&mut screen, KeyCode::BackTab);
        assert_eq!(screen.tab, Tab::Projects);
        pressed(&mut screen, KeyCode::Char('?'));
        assert!(screen.help);
        assert_eq!(pressed(&mut screen, KeyCode::Esc), Asked::Picture);
        assert!(!screen.help);
        for end in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(pressed(&mut screen, end), Asked::End);
        }
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(interrupt), Asked::End);
        assert_eq!(pressed(&mut screen, KeyCode::Char('r')), Asked::Reading);
    }

    #[test]
    fn a_table_scrolls_and_another_page_begins_at_its_top() {
        let mut screen = Screen::default();
        pressed(&mut screen, KeyCode::Up);
        assert_eq!(screen.above, 0);
        pressed(&mut screen, KeyCode::Down);
        assert_eq!(screen.above, 1);
        pressed(&mut screen, KeyCode::Char('2'));
        assert_eq!(screen.above, 0);
    }
}
