//! What docs/ holds is what the program prints.

use std::{collections::BTreeSet, fs};

use conversationd::operate::schema::documents;

use crate::tools;

#[test]
fn the_documents_in_docs_are_what_the_program_prints() {
    let docs = tools::root().join("docs");
    for (path, text) in documents() {
        let kept = fs::read_to_string(docs.join(&path)).unwrap_or_default();
        assert!(kept == text, "docs/{path} is not what the program prints: `cargo run -- schema --out docs`");
    }
}

#[test]
fn no_schema_in_docs_is_left_of_an_event_that_is_no_more() {
    let made: BTreeSet<String> = documents().into_keys().collect();
    let entries = fs::read_dir(tools::root().join("docs/schemas")).expect("docs/schemas");
    for entry in entries {
        let path = format!("schemas/{}", entry.expect("an entry").file_name().to_string_lossy());
        assert!(made.contains(&path), "docs/{path} belongs to no event");
    }
}
