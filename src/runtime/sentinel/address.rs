//! Under which address other sentinels reach this one, and the addresses behind host names.

use crate::config::Config;
use crate::failover::Addr;
use crate::runtime::tls::announced_port;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// As announced, or the address by which the first master is reached.
pub fn own(config: &Config) -> Addr {
    let sentinel = &config.sentinel;
    let port = match sentinel.announce_port {
        0 => announced_port(&config.settings),
        port => port,
    };
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

/// How long a lookup may take.
const LOOKUP_TTL: Duration = Duration::from_secs(2);

/// The address behind a host name: the first of version 4, if there is one. On a thread of its own: no name server stops
/// the loop.
pub async fn resolve(host: &str) -> Option<String> {
    let found = tokio::time::timeout(LOOKUP_TTL, tokio::net::lookup_host((host, 0))).await;
    let ips: Vec<IpAddr> = found.ok()?.ok()?.map(|addr| addr.ip()).collect();
    ips.iter().find(|ip| ip.is_ipv4()).or(ips.first()).map(IpAddr::to_string)
}

/// The masters and replicas of the file with addresses for names; an error names the master whose name does not resolve.
pub async fn resolve_file(config: &mut Config) -> Result<(), String> {
    for master in &mut config.sentinel.masters {
        if master.ip.parse::<IpAddr>().is_err() {
            let ip = resolve(&master.ip).await;
            master.ip = ip.ok_or_else(|| {
                format!("sentinel monitor {} {}: Can't resolve instance hostname.", master.name, master.ip)
            })?;
        }
        for replica in &mut master.known_replicas {
            if replica.ip.parse::<IpAddr>().is_err()
                && let Some(ip) = resolve(&replica.ip).await
            {
                replica.ip = ip;
            }
        }
        // INFO names those that did not resolve again.
        master.known_replicas.retain(|replica| replica.ip.parse::<IpAddr>().is_ok());
    }
    Ok(())
}
