//! JSON → YAML as people read it: blocks, and quotes only where they are needed.

use serde_json::Value;

/// What YAML would not take for text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// A document, ended by a line's end.
pub(super) fn written(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// A value on lines of its own.
fn block(value: &Value, depth: usize, text: &mut String) {
    let blanks = "  ".repeat(depth);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                text.push_str(&format!("{blanks}{}:", scalar(key)));
                after(value, depth + 1, text);
            }
        }
        Value::Array(values) => {
            for value in values {
                if !is_block(value) {
                    text.push_str(&format!("{blanks}- {}\n", inline(value)));
                    continue;
                }
                let begin = text.len() + blanks.len();
                block(value, depth + 1, text);
                // the dash takes the place of the first line's last blanks
                text.replace_range(begin..begin + 2, "- ");
            }
        }
        plain => text.push_str(&format!("{blanks}{}\n", inline(plain))),
    }
}

/// A value behind a key.
fn after(value: &Value, depth: usize, text: &mut String) {
    if is_block(value) {
        text.push('\n');
        block(value, depth, text);
    } else {
        text.push_str(&format!(" {}\n", inline(value)));
    }
}

/// Whether it needs lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(object) => !object.is_empty(),
        Value::Array(values) => values.iter().any(|value| value.is_array() || value.is_object()),
        _ => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => scalar(string),
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A string, in JSON's quotes unless it is a word or a name.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '/')
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " $_-./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let odd =
            ["", "yes", "No", "1", "-", "a: b", "# c", "é", "a\nb", "\"q\"", "~", "{x}", "3f2b", "a, b", " a", "a."];
        let value = json!({
            "n": null, "of": {"true": true, "list": [1, 2.5, "x", odd], "deep": [{"a": [{"b": []}], "c": {}}, [[1], {}]]},
            "odd": odd, "$ref": "#/components/x", "y": "2026-03-01T09:30:45Z",
        });
        let read: Value = serde_saphyr::from_str(&written(&value)).expect("YAML");
        assert_eq!(read, value);
    }
}
