//! The payload of `__sentinel__:hello`, by which sentinels find each other.
//!
//! Eight fields, as Redis Sentinel and Valkey Sentinel write them; those drop a payload of any other count, so the
//! group's id does not travel here but in the greeting between sentinels.

use super::names::Addr;
use crate::base::{Epoch, RunId};

/// One hello: who says it, and what they hold to be the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub addr: Addr,
    pub runid: RunId,
    pub current_epoch: Epoch,
    pub name: String,
    pub master: Addr,
    pub config_epoch: Epoch,
}

impl Hello {
    /// The text to publish.
    pub fn format(&self) -> String {
        let Hello { addr, runid, current_epoch, name, master, config_epoch } = self;
        format!(
            "{},{},{runid},{current_epoch},{name},{},{},{config_epoch}",
            addr.host, addr.port, master.host, master.port
        )
    }

    /// Reads a payload; `None` for anything that is not eight sound fields.
    pub fn parse(text: &[u8]) -> Option<Hello> {
        let text = std::str::from_utf8(text).ok()?;
        let mut fields = text.split(',');
        let mut next = || fields.next();
        let hello = Hello {
            addr: Addr::new(next()?, next()?.parse().ok()?),
            runid: RunId::parse(next()?.as_bytes())?,
            current_epoch: Epoch(next()?.parse().ok()?),
            name: next()?.to_owned(),
            master: Addr::new(next()?, next()?.parse().ok()?),
            config_epoch: Epoch(next()?.parse().ok()?),
        };
        let sound = hello.addr.is_sound() && hello.master.is_sound() && !hello.name.is_empty();
        (sound && fields.next().is_none()).then_some(hello)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let text = format!("127.0.0.1,5001,{},3,myMaster,127.0.0.1,7001,2", "ab".repeat(20));
        let hello = Hello::parse(text.as_bytes()).unwrap();
        assert_eq!(hello.format(), text);
        assert_eq!((hello.current_epoch, hello.config_epoch), (Epoch(3), Epoch(2)));
    }

    #[test]
    fn anything_else_is_dropped() {
        let good = format!("127.0.0.1,5001,{},3,m,127.0.0.1,7001,2", "ab".repeat(20));
        for bad in [
            String::new(),
            good.clone() + ",9",
            good.replace("5001", "0"),
            good.replace("ab", "xy"),
            good.replace(",m,", ",,"),
        ] {
            assert_eq!(Hello::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
