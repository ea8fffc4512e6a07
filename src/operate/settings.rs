//! `conversationd settings`: every setting with what it is set to, secrets hidden; and the page that documents them.

use url::Url;

use super::output::{Output, harmless};
use crate::config::{SETTINGS, Setting, unknown_settings};

/// What stands for a secret.
const HIDDEN: &str = "[secret]";

/// The page's first words.
const BEFORE: &str = "\
# Configuration

Everything is set by environment variables. `conversationd settings` shows what each is set to, secrets hidden; settings that \
cannot be used are told all at once, with exit code 64, and no value is repeated. AWS credentials, regions and endpoints are read \
as every AWS tool reads them. This page is made by `conversationd settings --markdown`.

| variable | unit | default | meaning |
|---|---|---|---|
";

/// Before the example of the sinks file.
const SINKS: &str = "
## The sinks file

`CONVERSATIOND_SINKS_FILE` names a TOML file of the outside systems that are told what happens. This one, infra/sinks.example.toml, \
shows all of it. What each system is sent: [outbound.md](outbound.md).

```toml
";

/// How to show them.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Print the page that documents them instead: docs/configuration.md.
    #[arg(long)]
    markdown: bool,
}

/// Prints them.
///
/// # Errors
/// Standard output cannot be written to.
pub fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let mut output = Output::new();
    if arguments.markdown {
        output.line(page().trim_end())?;
    } else {
        let widest = SETTINGS.iter().map(|setting| setting.variable.len()).max().unwrap_or_default();
        for setting in SETTINGS {
            output.line(format!("{:widest$}  {}", setting.variable, shown(setting, get(setting.variable))))?;
        }
        for variable in unknown_settings() {
            output.line(format!("{variable:widest$}  (no setting is called so)"))?;
        }
    }
    output.flush()?;
    Ok(())
}

/// The page, docs/configuration.md.
pub fn page() -> String {
    let rows: String = SETTINGS.iter().map(|setting| setting.row() + "\n").collect();
    let example = include_str!("../../infra/sinks.example.toml");
    format!("{BEFORE}{rows}{SINKS}{}\n```\n", example.trim_end())
}

/// What a setting is set to, as anybody may see it.
fn shown(setting: &Setting, value: Option<String>) -> String {
    let Some(value) = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()) else {
        return match setting.default {
            "required" => "(required, and not set)".to_owned(),
            default => format!("{default} (default)"),
        };
    };
    let bears_password = value.parse::<Url>().is_ok_and(|url| url.password().is_some() || !url.username().is_empty());
    if setting.is_secret() || bears_password { HIDDEN.to_owned() } else { harmless(&value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_and_nothing_else_is_hidden() {
        let secret = |value: &str| Some(value.to_owned());
        for setting in SETTINGS {
            let set = shown(setting, secret("hunter2"));
            assert_eq!(set, if setting.is_secret() { HIDDEN } else { "hunter2" }, "{}", setting.variable);
            let url = shown(setting, secret("https://me:hunter2@host/"));
            assert!(!url.contains("hunter2"), "{}", setting.variable);
            assert!(shown(setting, None).contains(setting.default));
        }
        let names = ["DATABASE_URL", "SENTRY_DSN", "OTEL_EXPORTER_OTLP_HEADERS", "CONVERSATIOND_SUMMARY_KEY"];
        for name in names {
            assert!(SETTINGS.iter().any(|setting| setting.variable == name && setting.is_secret()), "{name}");
        }
    }
}
