//! Whether somebody listens where a sink sends to: the name is resolved and a connection made, by the rules that sending has.
//! Nothing is sent.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use super::{
    address::Guard,
    http::{NoAnswer, is_blocked},
};
use crate::config::{EgressConfig, SinkConfig, Target};

/// How long somebody may take to take a connection, whatever a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to where `config` sends. `None` for what is no address: a queue is asked in its own way.
///
/// # Errors
/// Nobody may connect there, or nobody is there.
pub async fn reach(config: &SinkConfig, egress: &EgressConfig) -> Option<Result<(), NoAnswer>> {
    let guard = Guard::new(egress);
    let (host, port) = match &config.target {
        Target::Queue { .. } => return None,
        Target::Webhook { url, .. } | Target::Crm { url, .. } | Target::HubSpot { base: url, .. } => place(url),
        Target::Classifier(target) => place(&target.url),
        Target::Alert { url, .. } => place(&url.read()?.reveal().parse().ok()?),
        Target::Datalake { address, .. } => address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))),
    }?;
    Some(connect(Some(&guard), &host, port, config.timeout.min(PATIENCE)).await)
}

/// Connects to where `url` is, whatever its address.
///
/// # Errors
/// Nobody is there.
pub async fn reach_url(url: &Url, patience: Duration) -> Result<(), NoAnswer> {
    let (host, port) = place(url).ok_or(NoAnswer::Unfit)?;
    connect(None, &host, port, patience.min(PATIENCE)).await
}

/// Host and port of a URL.
fn place(url: &Url) -> Option<(String, u16)> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port_or_known_default()?))
}

async fn connect(guard: Option<&Guard>, host: &str, port: u16, patience: Duration) -> Result<(), NoAnswer> {
    let connected = async {
        let addresses = match guard {
            Some(guard) => guard.resolve(host, port).await,
            None => tokio::net::lookup_host((host, port)).await.map(Iterator::collect),
        };
        let addresses = addresses.map_err(|failure| match is_blocked(&failure) {
            true => NoAnswer::Blocked,
            false => NoAnswer::Unreachable,
        })?;
        TcpStream::connect(&addresses[..]).await.map(|_| ()).map_err(|_| NoAnswer::Unreachable)
    };
    timeout(patience, connected).await.unwrap_or(Err(NoAnswer::Timeout))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn whoever_listens_is_reached_unless_the_address_is_closed_to_us() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let patience = Duration::from_secs(5);
        let closed = Guard::new(&EgressConfig::default());
        let networks = vec!["127.0.0.0/8".parse().expect("a network")];
        let open = Guard::new(&EgressConfig { networks, ..EgressConfig::default() });
        assert_eq!(connect(Some(&open), "127.0.0.1", port, patience).await, Ok(()));
        assert_eq!(connect(None, "127.0.0.1", port, patience).await, Ok(()));
        assert_eq!(connect(Some(&closed), "127.0.0.1", port, patience).await, Err(NoAnswer::Blocked));
        drop(listener);
        assert_eq!(connect(Some(&open), "127.0.0.1", port, patience).await, Err(NoAnswer::Unreachable));
    }

    #[test]
    fn a_url_without_a_port_has_its_schemes() {
        for (url, host, port) in [
            ("https://crm.example/hook", "crm.example", 443),
            ("http://10.0.0.1:8080/", "10.0.0.1", 8080),
            ("https://[2001:db8::1]/", "2001:db8::1", 443),
        ] {
            assert_eq!(place(&url.parse().expect("a URL")), Some((host.to_owned(), port)), "{url}");
        }
    }
}
