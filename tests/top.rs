//! The picture of `top`: what it shows of a snapshot, to the letter, and that the README shows the same.
//!
//! `make picture` writes the pictures anew, into tests/fixtures/top and the README, for somebody to look at the difference.
#![allow(clippy::disallowed_methods, clippy::expect_used)] // a test may panic, and read what it is told

use std::{env, fs, path::PathBuf};

use conversationd::operate::top::{Screen, Snapshot, Tab, WIDTH, paint, picture};
use ratatui::{Terminal, backend::TestBackend};

/// Around the picture in the README.
const BEGIN: &str = "<!-- made by `make picture` -->\n```text\n";
const END: &str = "\n```\n";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn snapshot(name: &str) -> Snapshot {
    let text = fs::read_to_string(file(&format!("tests/fixtures/top/{name}.json"))).expect("a fixture");
    serde_json::from_str(&text).expect("a snapshot")
}

fn writing() -> bool {
    env::var("PICTURE").is_ok_and(|value| value == "write")
}

#[test]
fn each_page_is_painted_to_the_letter() {
    for (name, tab) in [
        ("busy", Tab::Overview),
        ("busy", Tab::Replicas),
        ("busy", Tab::Letters),
        ("busy", Tab::Outbox),
        ("busy", Tab::Projects),
        ("away", Tab::Overview),
        ("away", Tab::Replicas),
        ("quiet", Tab::Overview),
        ("quiet", Tab::Letters),
    ] {
        let painted = picture(&snapshot(name), Screen::on(tab), WIDTH) + "\n";
        let golden = file(&format!("tests/fixtures/top/{name}-{tab:?}.txt").to_lowercase());
        if writing() {
            fs::write(&golden, &painted).expect("written");
        }
        let expected = fs::read_to_string(&golden).expect("a picture");
        assert_eq!(painted, expected, "{}: `make picture` writes it anew", golden.display());
    }
}

#[test]
fn the_readme_shows_what_the_program_paints() {
    let path = file("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the place of the picture in the README");
    let (shown, after) = rest.split_once(END).expect("the end of the picture in the README");
    let painted = picture(&snapshot("busy"), Screen::default(), WIDTH);
    if writing() {
        fs::write(&path, format!("{before}{BEGIN}{painted}{END}{after}")).expect("written");
    } else {
        assert_eq!(shown, painted, "`make picture` writes it anew");
    }
}

#[test]
fn a_terminal_of_any_size_is_painted_on_and_help_lies_above_everything() {
    for name in ["busy", "away", "quiet"] {
        let mut snapshot = snapshot(name);
        snapshot.trend = vec![0, 3, 250, 1_000_000];
        for (width, height) in [(1, 1), (20, 5), (80, 24), (200, 60)] {
            for tab in [Tab::Overview, Tab::Replicas, Tab::Letters, Tab::Outbox, Tab::Projects] {
                let screen = Screen { tab, help: width == 80, above: 1_000 };
                let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
                let drawn = terminal.draw(|frame| paint(&snapshot, screen, frame.area(), frame.buffer_mut()));
                let drawn = drawn.expect("drawn").buffer.content.iter().map(|cell| cell.symbol()).collect::<String>();
                assert_eq!(drawn.contains("CONVERSATIOND_BEAT_SECONDS"), width == 80, "{name} {tab:?} {width}");
            }
        }
    }
}

#[test]
fn what_comes_from_elsewhere_cannot_command_the_terminal() {
    let text = fs::read_to_string(file("tests/fixtures/top/busy.json")).expect("a fixture");
    let hostile = text.replace("conversationd-7c9f-4xk2q", "\\u001b[2Jx").replace("missing_field", "\\u001b[31m");
    let hostile = hostile.replace("\"crm\"", "\"\\u202ecrm\"").replace("6f0c63a4", "\\u001b]0;");
    let snapshot: Snapshot = serde_json::from_str(&hostile).expect("a snapshot");
    for tab in [Tab::Overview, Tab::Replicas, Tab::Letters, Tab::Outbox, Tab::Projects] {
        let painted = picture(&snapshot, Screen::on(tab), 160);
        let commands = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!painted.contains(commands), "{tab:?}");
    }
}

#[test]
fn the_cost_is_by_calls_and_messages() {
    let snapshot = snapshot("busy");
    let messages = snapshot.total(|beat| beat.totals.messages) as f64;
    // three calls to SQS and two to DynamoDB for ten messages
    let expected = messages * (0.3 * 0.50 + 0.625 + 0.2 * 0.125) / 1e6;
    assert!((snapshot.cost() - expected).abs() < 0.001, "{} {expected}", snapshot.cost());
}
