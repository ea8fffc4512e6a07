//! How settings are read: what is wrong with them is gathered, and told at once.

use std::{fmt, str::FromStr, time::Duration};

use chrono_tz::Tz;

use super::Setting;

/// Where a fault is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable at fault.
    pub variable: &'static str,
    /// What is wrong and how it would be right.
    pub reason: String,
}

/// All faults of a configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "{} setting{many} cannot be used:", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {:<40} {}", fault.variable, fault.reason))
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// These and those of `other`, each once.
    pub fn and(mut self, other: Faults) -> Self {
        for fault in other.0 {
            if !self.0.contains(&fault) {
                self.0.push(fault);
            }
        }
        self
    }
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads variables and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) get: &'a dyn Fn(&str) -> Option<String>,
    pub(super) faults: Vec<Fault>,
}

impl Reader<'_> {
    pub(super) fn optional(&self, setting: Setting) -> Option<String> {
        (self.get)(setting.variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, setting: Setting) -> String {
        self.optional(setting).unwrap_or_else(|| {
            self.fault(setting, format!("is not set; it is the {}", setting.meaning));
            String::new()
        })
    }

    pub(super) fn number<N: FromStr + PartialOrd + fmt::Display>(&mut self, setting: Setting, least: N, most: N) -> N {
        let text = self.optional(setting).unwrap_or_else(|| setting.default.to_owned());
        match text.parse::<N>() {
            Ok(number) if least <= number && number <= most => number,
            _ => {
                self.fault(setting, format!("must be a whole number of {}, {least} to {most}", setting.unit));
                least
            }
        }
    }

    pub(super) fn seconds(&mut self, setting: Setting, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.number(setting, least, most))
    }

    /// `None` when it is not set.
    pub(super) fn optional_seconds(&mut self, setting: Setting, least: u64, most: u64) -> Option<Duration> {
        self.optional(setting)?;
        Some(self.seconds(setting, least, most))
    }

    pub(super) fn zone(&mut self, setting: Setting) -> Option<Tz> {
        let name = self.optional(setting)?;
        let zone = name.parse().ok();
        if zone.is_none() {
            self.fault(setting, "must be the name of an IANA time zone, such as America/Sao_Paulo or UTC".into());
        }
        zone
    }

    pub(super) fn queue_url(&mut self, setting: Setting) -> String {
        let url = self.required(setting);
        let fits = url.starts_with("http") && url.contains("://") && url.ends_with(".fifo");
        if !(url.is_empty() || fits) {
            self.fault(setting, "must be the URL of a FIFO queue: http(s)://…/name.fifo".into());
        }
        url
    }

    pub(super) fn fault(&mut self, setting: Setting, reason: String) {
        self.faults.push(Fault { variable: setting.variable, reason });
    }

    pub(super) fn end<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(Faults(self.faults)) }
    }
}
