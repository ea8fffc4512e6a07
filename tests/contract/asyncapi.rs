//! The AsyncAPI document, read by the public parser of its makers.

use std::fs;

use crate::tools;

#[test]
fn the_public_parser_takes_the_document_and_no_broken_one() {
    let Some(node) = tools::node("tests/contract/asyncapi") else { return };
    let document = tools::root().join("docs/asyncapi.yaml");
    let parse = |document| tools::run(node.command("node").arg("parse.mjs").arg(document), "");

    let said = tools::said(&parse(document.clone()));
    assert!(said.starts_with("AsyncAPI 3.0.0: 4 channels, 4 operations, "), "{said}");

    let text = fs::read_to_string(&document).expect("the document");
    for (what, broken) in [
        ("a message that no channel has", text.replace("/messages/session-opened\"", "/messages/no-such\"")),
        ("a schema whose limit is no number", text.replace("maxLength: 1024", "maxLength: many")),
        ("an action that is none", text.replace("action: receive", "action: listen")),
    ] {
        assert_ne!(broken, text, "{what}");
        let file = node.folder.join("broken.yaml");
        fs::write(&file, broken).expect("a file");
        assert!(!parse(file).status.success(), "taken: {what}");
    }
}
