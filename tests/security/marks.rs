//! The marks, and the search for them: as they are, and as somebody may have written them down.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Stands in everything that people say and are called.
pub const SAID: &str = "kanarienvogel";

/// The contact's number.
pub const NUMBER: &str = "4915550047110815";

/// Stands in every secret.
pub const SECRET: &str = "goldammerkanari";

const MARKS: [&str; 3] = [SAID, NUMBER, SECRET];

/// The marks that stand in `text`, in whatever case; in hexadecimal and base64 too.
pub fn found_in(text: &str) -> Vec<&'static str> {
    let folded = text.to_lowercase();
    let is_there = |mark: &str| {
        let hex: String = mark.bytes().map(|byte| format!("{byte:02x}")).collect();
        folded.contains(mark) || folded.contains(&hex) || in_base64(mark).iter().any(|code| text.contains(code))
    };
    MARKS.into_iter().filter(|mark| is_there(mark)).collect()
}

/// What base64 makes of `mark` wherever it stands: without the first and last characters, which depend on its neighbours.
fn in_base64(mark: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let code = STANDARD.encode([vec![0; before], mark.as_bytes().to_vec()].concat());
        let whole = (before + mark.len()) / 3 * 4;
        code[(before * 8).div_ceil(6)..whole].to_owned()
    })
}

/// One that must not be found in `text`, which `place` has: how a failure reads.
pub fn assert_none_in(place: &str, text: &str) {
    let leaking: Vec<&str> = text.lines().filter(|line| !found_in(line).is_empty()).take(5).collect();
    assert!(leaking.is_empty(), "{:?} in {place}:\n{}", found_in(text), leaking.join("\n"));
}

#[test]
fn the_search_finds_a_mark_however_it_is_written() {
    let header = |text: &str| STANDARD.encode(text);
    for (planted, mark) in [
        (format!("{{\"text\":\"ein {SAID}!\"}}"), SAID),
        (SAID.to_uppercase(), SAID),
        (format!("whatsapp:+{NUMBER}"), NUMBER),
        (format!("contact=whatsapp%3A%2B{NUMBER}"), NUMBER),
        (format!("{:?}", format!("ü{SECRET}\n")), SECRET),
        (header(&format!("user:{SECRET}")), SECRET),
        (header(&format!("usr:{SECRET}x")), SECRET),
        (header(&format!("us:{SECRET}xy")), SECRET),
        (SAID.bytes().map(|byte| format!("{byte:02X}")).collect(), SAID),
    ] {
        assert_eq!(found_in(&planted), [mark], "{planted}");
    }
    assert!(found_in("a canary 491555004711 in a gold cage").is_empty());
}
