//! What the README says is so: every setting stands there as the code has it, and no other does.
#![allow(clippy::expect_used)] // a test may panic

use std::{collections::BTreeSet, fs, path::Path};

use conversationd::config::SETTINGS;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md")
}

#[test]
fn the_readme_lists_every_setting_as_it_is() {
    let readme = readme();
    for setting in SETTINGS {
        let row = format!("| `{}` | {} | {} | {} |", setting.variable, setting.unit, setting.default, setting.meaning);
        assert!(readme.contains(&row), "the README lacks this row:\n{row}");
    }
}

#[test]
fn the_readme_lists_no_setting_that_does_not_exist() {
    let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.variable).collect();
    let readme = readme();
    let listed = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let unknown: Vec<&str> =
        listed.filter(|name| name.starts_with("CONVERSATIOND_") && !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
