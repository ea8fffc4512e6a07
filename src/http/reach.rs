//! Whether somebody listens at a place: its name is resolved and a connection made, by the rules that sending has. Nothing
//! is sent.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use super::{
    NoAnswer,
    address::{Guard, is_blocked},
};
use crate::config::EgressConfig;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Place {
    /// Where `url` is, with its scheme's port if it names none.
    pub fn of(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Some(Self { host, port: url.port_or_known_default()? })
    }

    /// What `host:port` means.
    pub fn parse(address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        Some(Self { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
    }
}

/// How long somebody may take to take a connection, whatever a request may take.
const LONGEST: Duration = Duration::from_secs(10);

/// Connects to `place`, within `patience` and ten seconds; without `egress`, as to an endpoint of the daemon's own settings.
///
/// # Errors
/// Nobody may connect there, or nobody is there.
pub async fn reach(place: &Place, egress: Option<&EgressConfig>, patience: Duration) -> Result<(), NoAnswer> {
    let guard = egress.map_or_else(Guard::of_own, Guard::new);
    let connected = async {
        let addresses = guard.resolve(&place.host, place.port).await.map_err(|failure| match is_blocked(&failure) {
            true => NoAnswer::Blocked,
            false => NoAnswer::Unreachable,
        })?;
        TcpStream::connect(&addresses[..]).await.map(|_| ()).map_err(|_| NoAnswer::Unreachable)
    };
    timeout(patience.min(LONGEST), connected).await.unwrap_or(Err(NoAnswer::Timeout))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn whoever_listens_is_reached_unless_the_address_is_closed_to_us() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = Place { host: "127.0.0.1".into(), port: listener.local_addr().expect("an address").port() };
        let patience = Duration::from_secs(5);
        let closed = EgressConfig::default();
        let networks = vec!["127.0.0.0/8".parse().expect("a network")];
        let open = EgressConfig { networks, ..EgressConfig::default() };
        assert_eq!(reach(&place, Some(&open), patience).await, Ok(()));
        assert_eq!(reach(&place, None, patience).await, Ok(()));
        assert_eq!(reach(&place, Some(&closed), patience).await, Err(NoAnswer::Blocked));
        drop(listener);
        assert_eq!(reach(&place, Some(&open), patience).await, Err(NoAnswer::Unreachable));
    }

    #[test]
    fn a_place_is_what_a_url_or_an_address_says() {
        let place = |host: &str, port| Some(Place { host: host.to_owned(), port });
        for (url, expected) in [
            ("https://crm.example/hook", place("crm.example", 443)),
            ("http://10.0.0.1:8080/", place("10.0.0.1", 8080)),
            ("https://[2001:db8::1]/", place("2001:db8::1", 443)),
        ] {
            assert_eq!(Place::of(&url.parse().expect("a URL")), expected, "{url}");
        }
        for (address, expected) in
            [("lake:50051", place("lake", 50051)), ("[::1]:1", place("::1", 1)), ("lake", None), ("lake:x", None)]
        {
            assert_eq!(Place::parse(address), expected, "{address}");
        }
    }
}
