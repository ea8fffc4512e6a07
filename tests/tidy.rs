//! House rules as a failing test: which room may know which, how long a file may be, and that every file says what it is.
#![allow(clippy::expect_used, clippy::unwrap_used)] // a test may panic

#[path = "tidy/circles.rs"]
mod circles;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Longest file, its tests included.
const LINES: usize = 500;

/// What each room may import; a room that is not here does not exist.
const MAY_IMPORT: [(&str, &[&str]); 33] = [
    ("domain", &[]),
    ("clock", &[]),
    ("breaker", &[]),
    ("tally", &[]),
    ("counters", &["tally"]),
    ("alert", &["counters"]),
    ("coalesce", &[]),
    ("postgres", &[]),
    ("queue", &["clock", "coalesce", "domain"]),
    ("context", &["domain"]),
    ("event", &["domain"]),
    ("handler", &["domain", "event"]),
    ("hot", &["coalesce", "domain", "postgres"]),
    ("archive", &["breaker", "domain", "outbox", "postgres"]),
    ("outbox", &["domain", "postgres"]),
    ("http", &["clock", "config"]),
    ("sink", &["clock", "config", "domain", "http"]),
    ("classifier", &["archive", "config", "domain", "event", "hot", "http", "queue", "sink"]),
    ("relay", &["clock", "config", "counters", "domain", "outbox", "sink"]),
    ("answer", &["archive", "breaker", "clock", "context", "counters", "domain", "event", "hot", "http", "queue"]),
    ("crm", &["domain", "event", "queue"]),
    ("journal", &["archive", "config", "counters", "crm", "domain", "http", "queue"]),
    (
        "pipeline",
        &["alert", "answer", "archive", "clock", "counters", "crm", "domain", "event", "handler", "hot", "queue"],
    ),
    ("consumer", &["alert", "breaker", "clock", "counters", "domain", "event", "hot", "pipeline", "queue"]),
    ("requests", &["pipeline", "queue"]),
    ("timer", &["clock", "counters", "domain", "event", "hot", "queue"]),
    ("fleet", &["clock", "counters", "domain", "hot"]),
    ("spool", &["alert", "counters", "domain", "hot", "postgres", "queue"]),
    ("config", &["consumer", "context", "domain", "event", "queue", "spool"]),
    ("telemetry", &["clock", "config", "counters", "http"]),
    (
        "app",
        &[
            "answer",
            "archive",
            "breaker",
            "classifier",
            "clock",
            "config",
            "consumer",
            "counters",
            "crm",
            "fleet",
            "hot",
            "http",
            "journal",
            "outbox",
            "pipeline",
            "queue",
            "relay",
            "requests",
            "sink",
            "spool",
            "telemetry",
            "timer",
        ],
    ),
    (
        "operate",
        &[
            "answer",
            "app",
            "archive",
            "clock",
            "config",
            "domain",
            "event",
            "fleet",
            "handler",
            "hot",
            "http",
            "outbox",
            "queue",
            "sink",
            "spool",
            "telemetry",
        ],
    ),
    ("main", &["app", "config", "operate", "telemetry"]),
];

/// Names that say nothing.
const BANNED: [&str; 8] = ["service", "manager", "processor", "util", "utils", "helper", "helpers", "common"];

fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The room a file of src belongs to: its folder, or its own name.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("in src");
    let first = inside.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names, in a use or in a path.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for root in ["crate::", "conversationd::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let group = rest.strip_prefix('{').map(top_level);
            let names = group.unwrap_or_else(|| vec![name(rest)]);
            rooms.extend(names.into_iter().filter(|name| !name.is_empty()));
        }
    }
    rooms
}

/// The first names of the members of `{…}`, given what follows its brace.
fn top_level(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && c.is_alphabetic() => {
                names.push(name(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn rooms_know_only_the_rooms_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut faults = Vec::new();
    for file in files("src") {
        let room = room(&file);
        if room == "lib" {
            continue;
        }
        let Some(allowed) = allowed.get(room.as_str()) else {
            faults.push(format!("{}: room {room} has no line in MAY_IMPORT", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("a first part");
        for import in imports(code) {
            if import != room && !allowed.contains(&import.as_str()) {
                faults.push(format!("{}: {room} must not know {import}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_rooms_modules_know_one_another_one_way() {
    let module = |file: &PathBuf| {
        let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("in src");
        let names = inside.with_extension("");
        let names = names.iter().map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name != "mod").collect::<circles::Module>()
    };
    let code = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("readable");
        text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
    };
    let all: BTreeMap<_, _> = files("src").iter().map(|file| (module(file), code(file))).collect();
    let found = circles::circles(&all);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_none_is_long() {
    let mut faults = Vec::new();
    for file in [files("src"), files("tests"), files("benches")].concat() {
        let text = fs::read_to_string(&file).expect("readable");
        if !text.starts_with("//!") {
            faults.push(format!("{}: does not begin with //!", file.display()));
        }
        if text.lines().count() > LINES {
            faults.push(format!("{}: {} lines, more than {LINES}", file.display(), text.lines().count()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_is_named_after_nothing() {
    let named = |file: &PathBuf| BANNED.iter().any(|banned| file.file_stem().is_some_and(|stem| stem == *banned));
    let named: Vec<_> = [files("src"), files("tests"), files("benches")].concat().into_iter().filter(named).collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn every_file_of_src_is_part_of_the_crate() {
    let all = files("src");
    let text: BTreeMap<&PathBuf, String> =
        all.iter().map(|file| (file, fs::read_to_string(file).expect("readable"))).collect();
    let dead: Vec<_> = all
        .iter()
        .filter(|file| !["lib", "main"].iter().any(|root| file.file_stem().is_some_and(|stem| stem == *root)))
        .filter(|file| {
            let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
            let (name, parent) = match stem.as_str() {
                "mod" => {
                    let folder = file.parent().expect("a folder");
                    (folder.file_name().expect("a name").to_string_lossy().into_owned(), folder.parent().expect("src"))
                }
                _ => (stem, file.parent().expect("a folder")),
            };
            let declared = format!("mod {name};");
            let may_declare =
                |other: &Path| other.parent() == Some(parent) || other.with_extension("").as_path() == parent;
            !text.iter().any(|(other, text)| may_declare(other) && text.contains(&declared))
        })
        .collect();
    assert!(dead.is_empty(), "{dead:?}");
}

#[test]
fn only_their_rooms_speak_to_the_stores() {
    let mut faults = Vec::new();
    for file in files("src") {
        let (room, text) = (room(&file), fs::read_to_string(&file).expect("readable"));
        for (word, rooms) in [
            ("aws_sdk_sqs", "queue sink app operate"),
            ("aws_sdk_dynamodb", "hot app operate"),
            ("sqlx::", "archive hot outbox postgres spool"),
        ] {
            if text.contains(word) && !rooms.contains(&room) {
                faults.push(format!("{}: {room} speaks {word}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
