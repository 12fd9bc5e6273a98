//! Sessions that clients may resume: so many, for so long.

use crate::base::Millis;
use crate::runtime::clock;
use std::sync::Arc;
use tokio_rustls::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// `tls-session-cache-size` and `tls-session-cache-timeout` over rustls' own cache: each value begins with its end.
#[derive(Debug)]
pub struct Sessions {
    inner: Arc<ServerSessionMemoryCache>,
    ttl: Millis,
}

impl Sessions {
    pub fn new(size: usize, ttl: Millis) -> Arc<Self> {
        Arc::new(Sessions { inner: ServerSessionMemoryCache::new(size), ttl })
    }

    fn fresh(mut value: Vec<u8>) -> Option<Vec<u8>> {
        let session = value.split_off(size_of::<i64>().min(value.len()));
        let end = i64::from_le_bytes(value.try_into().ok()?);
        (Millis(end) > clock::mono()).then_some(session)
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let end = clock::mono() + self.ttl;
        self.inner.put(key, [&end.0.to_le_bytes()[..], &value].concat())
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        Sessions::fresh(self.inner.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        Sessions::fresh(self.inner.take(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
