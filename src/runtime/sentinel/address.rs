//! Under which address other sentinels reach this one.

use crate::config::Config;
use crate::failover::Addr;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// As announced, or the address by which the first master is reached.
pub fn own(config: &Config) -> Addr {
    let sentinel = &config.sentinel;
    let port = if sentinel.announce_port == 0 { config.settings.port } else { sentinel.announce_port };
    if !sentinel.announce_ip.is_empty() {
        return Addr::new(sentinel.announce_ip.clone(), port);
    }
    let bound = config.settings.bind.iter().filter_map(|bind| bind.trim_start_matches('-').parse::<IpAddr>().ok());
    let bound = bound.filter(|ip| !ip.is_unspecified()).max_by_key(|ip| !ip.is_loopback());
    let towards =
        sentinel.masters.first().and_then(|master| Some(SocketAddr::new(master.ip.parse().ok()?, master.port)));
    let towards = towards.unwrap_or_else(|| SocketAddr::from(([192, 0, 2, 1], 9)));
    let local = if towards.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Connecting a datagram socket sends nothing: it asks the system for the way.
    let way = UdpSocket::bind(local).and_then(|socket| socket.connect(towards).and_then(|()| socket.local_addr()));
    let ip = bound.or(way.ok().map(|addr| addr.ip())).unwrap_or(IpAddr::from([127, 0, 0, 1]));
    Addr::new(ip.to_string(), port)
}
