//! Which addresses may be connected to. Judged when a name is resolved for a connection, so that an answer which changes
//! between a check and its use changes nothing.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use url::{Host, Url};

use crate::config::EgressConfig;

/// Where clouds keep the credentials of the machine: never connected to, whatever is allowed.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

/// Whether anybody may reach this address over the internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240 // class E, broadcast
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 198 && (18..20).contains(&b)) // benchmarks
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99)) // 6to4 relays
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // all that is given out is in 2000::/3: unique local, link local, site local, multicast, NAT64, SRv6 are not
    let global = segments[0] & 0xe000 == 0x2000;
    let special = match segments {
        [0x2001, 0..0x200, ..] => true,  // protocol assignments, Teredo, benchmarks, ORCHID
        [0x2001, 0xdb8, ..] => true,     // documentation
        [0x2002, ..] => true,            // 6to4: an IPv4 address in disguise
        [0x3fff, 0..0x1000, ..] => true, // documentation
        _ => false,
    };
    global && !special
}

/// What may be connected to, by this deployment's settings.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// None for endpoints of the daemon's own settings, which may be anywhere.
    egress: Option<EgressConfig>,
}

/// Every address of the host is one that may not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the address may not be connected to")]
pub(super) struct Blocked;

impl Guard {
    pub(super) fn new(egress: &EgressConfig) -> Self {
        Self { egress: Some(egress.clone()) }
    }

    /// For endpoints that stand in the daemon's own settings.
    pub(super) fn of_own() -> Self {
        Self { egress: None }
    }

    /// Whether a connection to this address is allowed.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let listed = |egress: &EgressConfig| egress.networks.iter().any(|network| network.contains(&address));
        !METADATA.contains(&address) && self.egress.as_ref().is_none_or(|egress| is_public(address) || listed(egress))
    }

    pub(super) fn allows_http(&self) -> bool {
        self.egress.as_ref().is_none_or(|egress| egress.http)
    }

    /// Judges a host that is an address itself: no resolver is asked for those.
    pub(super) fn check(&self, url: &Url) -> Result<(), Blocked> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(Blocked),
        };
        if self.allows(address) { Ok(()) } else { Err(Blocked) }
    }

    /// The addresses of `host` that may be connected to.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let allowed: Vec<SocketAddr> = found.iter().copied().filter(|found| self.allows(found.ip())).collect();
        if allowed.is_empty() && !found.is_empty() {
            return Err(io::Error::other(Blocked));
        }
        Ok(allowed)
    }
}

impl ResolveDns for Guard {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let addresses = self.resolve(name, 0).await.map_err(ResolveDnsError::new)?;
            Ok(addresses.into_iter().map(|address| address.ip()).collect())
        })
    }
}

/// Whether a failure goes back to an address that may not be connected to.
pub(super) fn is_blocked(failure: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        // an I/O error shows its own error neither as itself nor as its source
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<Blocked>() || inner.is_some_and(|inner| inner.is::<Blocked>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_ip_table() {
        for (text, public) in [
            ("1.1.1.1", true),
            ("93.184.216.34", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("2606:4700:4700::1111", true),
            ("2a00:1450::1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:1.1.1.1", true),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::1", false),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(text.parse().expect("an address")), public, "{text}");
        }
    }

    #[test]
    fn url_literal_table() {
        let closed = Guard::new(&EgressConfig::default());
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://0/",
        ] {
            assert!(closed.check(&url.parse().expect("a URL")).is_err(), "{url}");
        }
        assert!(closed.check(&"https://1.1.1.1/".parse().expect("a URL")).is_ok());
    }

    #[test]
    fn an_allowed_network_opens_itself_and_never_the_metadata_of_a_cloud() {
        let networks = vec!["169.254.0.0/16".parse().expect("a network"), "10.0.0.0/8".parse().expect("a network")];
        let guard = Guard::new(&EgressConfig { networks, ..EgressConfig::default() });
        for (text, allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("169.254.1.1", true),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("::ffff:169.254.169.254", false),
            ("192.168.0.1", false),
        ] {
            assert_eq!(guard.allows(text.parse().expect("an address")), allowed, "{text}");
        }
    }

    #[test]
    fn an_endpoint_of_the_settings_may_be_anywhere_but_where_clouds_keep_credentials() {
        let own = Guard::of_own();
        for (text, allowed) in [("127.0.0.1", true), ("10.0.0.1", true), ("1.1.1.1", true), ("169.254.169.254", false)]
        {
            assert_eq!(own.allows(text.parse().expect("an address")), allowed, "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_blocked_where_it_is_resolved() {
        let closed = Guard::new(&EgressConfig::default());
        let failure = closed.resolve_dns("localhost").await.expect_err("loopback");
        assert!(is_blocked(&failure), "{failure:?}");
    }
}
