//! Host names (`sentinel resolve-hostnames yes`): resolved at the entrance, so that inside one node has one address.
//!
//! Names come from SENTINEL MONITOR, from the file (resolved before the monitor is made) and from INFO, where nodes announce
//! themselves or name their master. A name that INFO mentions is looked up again now and then; the old answer serves
//! meanwhile. What leaves (orders, lookups, the file) are addresses: `announce-hostnames` is refused.

use super::event::{Effect, Level};
use super::instance::LONG_AGO;
use super::monitor::Monitor;
use crate::base::Millis;
use crate::failover::Addr;
use crate::failover::facts::{Facts, Role};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A name is looked up again after this long, if it is still mentioned.
const AGAIN_MS: Millis = Millis(10_000);
/// Names remembered.
const HOSTS_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
struct Host {
    ip: Option<String>,
    asked: Millis,
    /// That it does not resolve, or may not be used, was said.
    told: bool,
}

/// The names that were met.
#[derive(Clone, Debug, Default)]
pub struct Hosts(BTreeMap<String, Host>);

impl Monitor {
    /// The address behind a host that may be a name; `None` while it is not known, or where names are not allowed.
    pub(super) fn resolved(&mut self, addr: &Addr, out: &mut Vec<Effect>) -> Option<Addr> {
        if addr.host.parse::<IpAddr>().is_ok() {
            return Some(addr.clone());
        }
        let now = self.clock.mono;
        let allowed = self.config.sentinel.resolve_hostnames;
        let new = !self.hosts.0.contains_key(&addr.host);
        if new && self.hosts.0.len() >= HOSTS_MAX {
            return None;
        }
        let host = self.hosts.0.entry(addr.host.clone()).or_default();
        if !allowed {
            if !std::mem::replace(&mut host.told, true) {
                let text = format!("the host name {} is not followed: sentinel resolve-hostnames is no", addr.host);
                self.log(Level::Warning, text, out);
            }
            return None;
        }
        if new || now.since(host.asked) > AGAIN_MS {
            host.asked = now;
            out.push(Effect::Resolve { host: addr.host.clone() });
        }
        Some(Addr::new(host.ip.clone()?, addr.port))
    }

    /// A name was looked up.
    pub(super) fn looked_up(&mut self, name: &str, ip: Option<String>, out: &mut Vec<Effect>) {
        let host = self.hosts.0.entry(name.to_owned()).or_default();
        let told = std::mem::replace(&mut host.told, ip.is_none());
        match ip {
            None if !told => self.log(Level::Warning, format!("the host name {name} does not resolve"), out),
            None => {}
            Some(ip) if host.ip.as_ref() != Some(&ip) => {
                host.ip = Some(ip);
                let nodes = self.masters.values_mut().flat_map(|watched| watched.nodes.values_mut());
                nodes.for_each(|node| node.info_sent = LONG_AGO);
            }
            Some(_) => {}
        }
    }

    /// Facts with addresses for names. `None`: a name in them is being looked up, and INFO is asked for again then.
    pub(super) fn with_addresses(&mut self, mut facts: Facts, out: &mut Vec<Effect>) -> Option<Facts> {
        if let Role::Replica { master, .. } = &mut facts.role {
            match self.resolved(master, out) {
                Some(addr) => *master = addr,
                None if self.config.sentinel.resolve_hostnames => return None,
                None => {}
            }
        }
        let named = std::mem::take(&mut facts.replicas);
        facts.replicas = named.iter().filter_map(|addr| self.resolved(addr, out)).collect();
        Some(facts)
    }
}
