//! Where metrics go, and where the daemon's health is written. The push is set by OpenTelemetry's own variables.

use std::{path::PathBuf, time::Duration};

use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    Faults, HEALTH_FILE, METRICS_ADDRESS, OTLP_ENDPOINT, OTLP_HEADERS, OTLP_INTERVAL, OTLP_PROTOCOL, OTLP_TIMEOUT,
    RESOURCE, SERVICE_NAME, Secret, Setting, reader::Reader,
};

/// What wins over a variable of all signals: the one of metrics alone.
const METRICS_ENDPOINT: Setting = Setting { variable: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ..OTLP_ENDPOINT };
const METRICS_PROTOCOL: Setting = Setting { variable: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", ..OTLP_PROTOCOL };
const METRICS_HEADERS: Setting = Setting { variable: "OTEL_EXPORTER_OTLP_METRICS_HEADERS", ..OTLP_HEADERS };
const METRICS_TIMEOUT: Setting = Setting { variable: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", ..OTLP_TIMEOUT };

/// Where metrics go; nowhere unless told.
#[derive(Clone, Debug, Default)]
pub struct MetricsConfig {
    /// host:port of the Prometheus page.
    pub address: Option<String>,
    /// The push.
    pub push: Option<PushConfig>,
}

/// A push by OTLP.
#[derive(Clone, Debug)]
pub struct PushConfig {
    /// Where it goes; may carry a password.
    pub url: Secret,
    /// What goes with it.
    pub headers: Vec<(String, Secret)>,
    /// How long it may take.
    pub timeout: Duration,
    /// How often.
    pub every: Duration,
    /// Who pushes: OpenTelemetry's resource attributes, `service.name` first.
    pub resource: Vec<(String, String)>,
}

/// Where the daemon writes how it is, for the command that reads it.
#[derive(Clone, Debug)]
pub struct HealthConfig {
    /// The file.
    pub file: PathBuf,
}

impl HealthConfig {
    /// Reads where the file is.
    ///
    /// # Errors
    /// There is none.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let file = reader.required(HEALTH_FILE).into();
        reader.end(Self { file })
    }
}

impl MetricsConfig {
    pub(super) fn read_with(reader: &mut Reader<'_>) -> Self {
        let address = reader.optional(METRICS_ADDRESS);
        let fits = |address: &String| {
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if address.as_ref().is_some_and(|address| !fits(address)) {
            reader.fault(METRICS_ADDRESS, "must be host:port, such as 127.0.0.1:9464 or [::1]:9464".into());
        }
        Self { address, push: push(reader) }
    }
}

/// The first of two settings, if it is set; else the second.
fn either(reader: &Reader<'_>, first: Setting, second: Setting) -> Setting {
    if reader.optional(first).is_some() { first } else { second }
}

fn push(reader: &mut Reader<'_>) -> Option<PushConfig> {
    let setting = either(reader, METRICS_ENDPOINT, OTLP_ENDPOINT);
    let mut url = reader.optional(setting)?;
    if setting.variable == OTLP_ENDPOINT.variable {
        url = format!("{}/v1/metrics", url.trim_end_matches('/'));
    }
    let fits = |url: Url| url.has_host() && matches!(url.scheme(), "http" | "https");
    if !url.parse().is_ok_and(fits) {
        reader.fault(setting, "must be a URL: http(s)://host:4318".into());
    }
    let setting = either(reader, METRICS_PROTOCOL, OTLP_PROTOCOL);
    if reader.optional(setting).is_some_and(|protocol| protocol != OTLP_PROTOCOL.default) {
        let reason = format!(
            "must be {}: a collector takes that where it takes http/protobuf, at port 4318; {} sets it for metrics alone",
            OTLP_PROTOCOL.default, METRICS_PROTOCOL.variable
        );
        reader.fault(setting, reason);
    }
    let setting = either(reader, METRICS_HEADERS, OTLP_HEADERS);
    let headers = pairs(reader, setting);
    let fits = |(name, value): &(String, String)| {
        name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok() // as the request will have them
    };
    if !headers.iter().all(fits) {
        reader.fault(setting, "must be headers as HTTP has them: name=value,name=value".into());
    }
    let timeout = either(reader, METRICS_TIMEOUT, OTLP_TIMEOUT);
    Some(PushConfig {
        url: Secret(url),
        headers: headers.into_iter().map(|(name, value)| (name, Secret(value))).collect(),
        timeout: Duration::from_millis(reader.number(timeout, 1, 60_000)),
        every: Duration::from_millis(reader.number(OTLP_INTERVAL, 100, 3_600_000)),
        resource: resource(reader),
    })
}

/// `service.name` first: as its own variable says, else among the attributes, else the daemon's.
fn resource(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    const NAME: &str = "service.name";
    let mut attributes = pairs(reader, RESOURCE);
    let among = attributes.iter().find(|(name, _)| name == NAME).map(|(_, value)| value.clone());
    attributes.retain(|(name, _)| name != NAME);
    let name = reader.optional(SERVICE_NAME).or(among).unwrap_or_else(|| SERVICE_NAME.default.to_owned());
    attributes.insert(0, (NAME.to_owned(), name));
    attributes
}

/// `name=value,name=value`, values percent-encoded, as OpenTelemetry writes lists.
fn pairs(reader: &mut Reader<'_>, setting: Setting) -> Vec<(String, String)> {
    let text = reader.optional(setting).unwrap_or_default();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((name.trim().to_owned(), value.into_owned())).filter(|(name, _)| !name.is_empty())
    };
    let pairs: Option<Vec<_>> = text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect();
    pairs.unwrap_or_else(|| {
        reader.fault(setting, "must be a list: name=value,name=value, values percent-encoded".into());
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<MetricsConfig, Faults> {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader { get: &get, faults: Vec::new() };
        let config = MetricsConfig::read_with(&mut reader);
        reader.end(config)
    }

    fn pushed(variables: &[(&str, &str)]) -> PushConfig {
        read(variables).expect("valid").push.expect("a push")
    }

    #[test]
    fn nothing_is_served_or_pushed_unless_told() {
        let config = read(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_SERVICE_NAME", "x")]).expect("valid");
        assert!(config.address.is_none() && config.push.is_none());
    }

    #[test]
    fn the_variable_of_metrics_alone_wins_and_its_url_is_taken_as_it_is() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(pushed(&[base]).url.reveal(), "http://collector:4318/v1/metrics");
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://host/otlp");
        let ways = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "250"),
        ];
        let push = pushed(&[&[base, own], &ways[..]].concat());
        assert_eq!((push.url.reveal(), push.timeout), ("https://host/otlp", Duration::from_millis(250)));
    }

    #[test]
    fn lists_are_read_as_opentelemetry_writes_them() {
        let push = pushed(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%3Db, x-scope = 1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
        ]);
        let headers: Vec<_> = push.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(headers, [("authorization", "Bearer a=b"), ("x-scope", "1")]);
        let resource: Vec<_> = push.resource.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(resource, [("service.name", "other"), ("deployment.environment.name", "test")]);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_repeated() {
        let faults = read(&[
            ("CONVERSATIOND_METRICS_ADDRESS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "hunter2"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "hunter2"),
            ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ]);
        let faults = faults.expect_err("faulty");
        assert_eq!(faults.0.len(), 6, "{faults}");
        assert!(!faults.to_string().contains("hunter2"), "{faults}");
    }

    #[test]
    fn a_header_that_http_does_not_have_is_a_fault() {
        for header in ["a b=c", "x=a%0Ab"] {
            let set = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_EXPORTER_OTLP_HEADERS", header)];
            assert!(read(&set).is_err(), "{header}");
        }
    }
}
