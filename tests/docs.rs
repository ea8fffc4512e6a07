//! What the README and docs/ say is so: settings stand there as the code has them, pages are found, links lead somewhere, and
//! files and tests that are named exist.
#![allow(clippy::expect_used)] // a test may panic

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use conversationd::{config::SETTINGS, operate::settings};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|failure| panic!("{}: {failure}", path.display()))
}

/// Files below a folder with this extension, by their paths within the project.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(its) if its == extension => found.push(path.strip_prefix(root()).expect("inside").to_owned()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The README and every page.
fn pages() -> Vec<PathBuf> {
    let mut pages = files("docs", "md");
    pages.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    pages
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_the_configuration_is_as_the_code_has_it() {
    let kept = text("docs/configuration.md");
    assert!(kept == settings::page(), "it is not: conversationd settings --markdown > docs/configuration.md");
}

#[test]
fn the_readme_lists_what_is_needed_and_nothing_otherwise_than_it_is() {
    let readme = text("README.md");
    let rows: BTreeSet<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    for setting in SETTINGS {
        let row = setting.row();
        let named = format!("| `{}` |", setting.variable);
        assert!(setting.default != "required" || rows.contains(row.as_str()), "the README lacks this row:\n{row}");
        let otherwise = rows.iter().find(|line| line.starts_with(&named) && **line != row);
        assert_eq!(otherwise, None, "{row}");
    }
    let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.variable).collect();
    let ours = |name: &&str| name.starts_with("CONVERSATIOND_") && name.len() > "CONVERSATIOND_".len();
    for page in pages() {
        let text = text(&page);
        let listed = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let unknown: Vec<&str> = listed.filter(ours).filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", page.display());
    }
}

#[test]
fn every_page_is_in_the_contents_once() {
    let contents = text("docs/SUMMARY.md");
    for page in files("docs", "md") {
        let page = page.strip_prefix("docs").expect("in docs").display().to_string();
        let times = contents.matches(&format!("]({page})")).count();
        assert_eq!(times, usize::from(page != "SUMMARY.md"), "{page}");
    }
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut faults = Vec::new();
    for page in pages() {
        let text = text(&page);
        // a link in a fence is part of an example
        let prose: String = text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || link.contains("://") || link.contains(' ');
            let folder = root().join(&page);
            if !elsewhere && !folder.parent().expect("a folder").join(file).exists() {
                faults.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_that_a_page_names_exists_and_every_room_is_named() {
    let ours = ["src/", "tests/", "benches/", "infra/", "migrations/", "docs/"];
    for page in pages() {
        // line by line: fences do not turn inside and outside round
        let text = text(&page);
        for path in text.lines().flat_map(quoted) {
            let named = ours.iter().any(|folder| path.starts_with(folder)) && !path.contains(['*', ' ', '{', '<']);
            assert!(!named || root().join(path).exists(), "{}: {path}", page.display());
        }
    }
    let (architecture, readme) = (text("docs/architecture.md"), text("README.md"));
    for room in fs::read_dir(root().join("src")).expect("src").filter_map(|entry| entry.ok()) {
        let name = room.file_name().to_string_lossy().into_owned();
        let small = ["lib.rs", "clock.rs", "breaker.rs", "alert.rs", "requests.rs"].contains(&name.as_str());
        let (quoted, folder) = (format!("`src/{name}"), room.path().is_dir());
        assert!(small || architecture.contains(&quoted), "docs/architecture.md says nothing of src/{name}");
        assert!(!folder || readme.contains(&quoted), "README.md says nothing of src/{name}");
    }
}

#[test]
fn every_rule_of_security_stands_somewhere_and_has_a_test_that_exists() {
    let security = text("docs/security.md");
    let code: String = [files("src", "rs"), files("tests", "rs")].concat().iter().map(text).collect();
    let rows: Vec<Vec<&str>> = security
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| rule"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let [rule, places, tests] = row[..] else { panic!("not three columns: {row:?}") };
        assert!(quoted(places).count() > 0 && quoted(tests).count() > 0, "{rule}");
        for place in quoted(places) {
            assert!(root().join(place).exists(), "{rule}: {place}");
        }
        for test in quoted(tests) {
            assert!(code.contains(&format!("fn {test}(")), "{rule}: there is no test {test}");
        }
    }
}

#[test]
fn no_code_of_ours_is_unsafe_and_the_tree_has_its_rules() {
    let (manifest, rules, lock) = (text("Cargo.toml"), text("deny.toml"), text("Cargo.lock"));
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    // what is built; the lock names what features that are off would bring as well
    let mut tree = std::process::Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let tree = tree.current_dir(root()).output().expect("cargo").stdout;
    let tree: BTreeSet<&str> =
        std::str::from_utf8(&tree).expect("UTF-8").lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let versions = |name: &str| tree.iter().filter(|line| line.split(' ').next() == Some(name)).count();
    for refused in ["openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs", "reqwest", "backoff"] {
        assert!(rules.contains(&format!("crate = \"{refused}\"")), "deny.toml says nothing of {refused}");
        assert_eq!(versions(refused), 0, "{refused} is in the tree");
    }
    assert_eq!((versions("rustls"), versions("ring")), (1, 1), "one TLS");
    let sources: BTreeSet<&str> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    assert!(
        sources.len() == 1 && sources.iter().all(|source| source.contains("\"registry+")),
        "one registry: {sources:?}"
    );
}
