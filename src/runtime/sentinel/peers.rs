//! Connections between sentinels, on their ordinary ports.
//!
//! Each request has a connection for itself while it lasts; idle ones are kept. A future that is dropped half-way takes
//! its connection along, and an answer that ends the connection does too, so nobody reads another one's answer.

use super::World;
use crate::base::limits::GROUP_MEMBERS_MAX;
use crate::base::{GroupId, Millis, RunId};
use crate::consensus::wire::{self, WireError};
use crate::consensus::{PeerHandler, PeerNode, PeerRequest, PeerResponse, RaftId, Transport, TransportError};
use crate::failover::Applied;
use crate::monitor::Heard;
use crate::runtime::listener;
use crate::runtime::socket::{Begun, Socket};
use crate::runtime::tls::Tls;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// Idle connections kept to one peer.
const IDLE_MAX: usize = 8;
/// A sentinel that tries again and again with a wrong pass is told of in the log this often.
const REFUSED_PAUSE_MS: Millis = Millis(10_000);
/// Addresses for which that is remembered.
const REFUSED_MAX: usize = 1024;
/// Questions of peers that wait for the loop.
pub const ASKS_MAX: usize = 256;

/// Asks other sentinels.
#[derive(Clone)]
pub struct Dialler {
    inner: Arc<Inner>,
}

struct Inner {
    pass: Mutex<Option<String>>,
    /// Where each sentinel said that it is. Raft keeps the address with which it began to talk to a member, and what is
    /// agreed may be as old: an address is only where one dials, ids and the pass decide.
    book: Mutex<HashMap<RunId, String>>,
    idle: Mutex<HashMap<String, Vec<Socket>>>,
    tls: Tls,
    next: AtomicU64,
}

impl Dialler {
    /// `pass`: `sentinel-pass`, or `requirepass`.
    pub fn new(pass: Option<String>, tls: Tls) -> Dialler {
        let pass = Mutex::new(pass);
        let (book, idle) = Default::default();
        Dialler { inner: Arc::new(Inner { pass, book, idle, tls, next: AtomicU64::new(1) }) }
    }

    /// A sentinel said where it is.
    pub fn learn(&self, runid: RunId, addr: String) {
        let mut book = self.inner.book.lock();
        if book.len() < GROUP_MEMBERS_MAX * 2 || book.contains_key(&runid) {
            book.insert(runid, addr);
        }
    }

    /// Gives this pass from now on; connections that were made with another are given up.
    pub fn set_pass(&self, pass: Option<String>) {
        *self.inner.pass.lock() = pass;
        self.inner.idle.lock().clear();
    }

    /// An idle connection whose peer has not closed it.
    fn idle(&self, addr: &str) -> Option<Socket> {
        let mut idle = self.inner.idle.lock();
        let kept = idle.get_mut(addr)?;
        while let Some(mut stream) = kept.pop() {
            if stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    async fn dial(&self, addr: &str, ttl: Duration) -> Result<Socket, TransportError> {
        let unreachable = |why: String| TransportError::Unreachable(format!("{addr}: {why}"));
        let dialled = async {
            let stream = TcpStream::connect(addr).await.map_err(|why| unreachable(why.to_string()))?;
            listener::prepare(&stream, 60);
            let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
            let wrapped = self.inner.tls.wrap(stream, host).await;
            let mut stream = wrapped.map_err(|why| unreachable(why.to_string()))?;
            let pass = self.inner.pass.lock().clone();
            match wire::greet(&mut stream, pass.as_deref().map(str::as_bytes)).await {
                Ok(_) => Ok(stream),
                Err(WireError::Refused(why)) => Err(TransportError::Refused(why)),
                Err(why) => Err(unreachable(why.to_string())),
            }
        };
        tokio::time::timeout(ttl, dialled)
            .await
            .unwrap_or_else(|_| Err(unreachable("no connection in time".to_owned())))
    }
}

impl Transport for Dialler {
    async fn call(&self, to: &PeerNode, request: PeerRequest, ttl: Duration) -> Result<PeerResponse, TransportError> {
        let addr = self.inner.book.lock().get(&to.run_id).unwrap_or(&to.addr).clone();
        let mut stream = match self.idle(&addr) {
            Some(stream) => stream,
            None => self.dial(&addr, ttl).await?,
        };
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let called = tokio::time::timeout(ttl, wire::call(&mut stream, id, &request)).await;
        let response = match called {
            Ok(Ok(response)) => response,
            Ok(Err(why)) => return Err(TransportError::Broken(format!("{addr}: {why}"))),
            Err(_) => return Err(TransportError::Broken(format!("{addr}: no answer in time"))),
        };
        let ends = matches!(&response, PeerResponse::Refused(why) if why.ends_connection());
        if !ends {
            let mut idle = self.inner.idle.lock();
            let kept = idle.entry(addr).or_default();
            if kept.len() < IDLE_MAX {
                kept.push(stream);
            }
        }
        Ok(response)
    }
}

/// A question of a peer, for the loop.
pub struct Asked {
    body: Vec<u8>,
    tell: oneshot::Sender<Vec<u8>>,
}

/// Brings peers' questions to the loop.
pub struct Receptionist(pub mpsc::Sender<Asked>);

impl PeerHandler for Receptionist {
    fn answer(&self, _from: RaftId, _group: Option<GroupId>, body: Vec<u8>) -> BoxFuture<'static, Vec<u8>> {
        let desk = self.0.clone();
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            if desk.send(Asked { body, tell }).await.is_err() {
                return Vec::new();
            }
            told.await.unwrap_or_default()
        })
    }
}

/// Answers peers for as long as the sentinel runs.
pub async fn answer(world: Rc<World>, mut asks: mpsc::Receiver<Asked>) {
    while let Some(Asked { body, tell }) = asks.recv().await {
        let mut out = Vec::new();
        let heard = world.monitor.borrow_mut().heard(super::now(), &body, &mut out);
        world.perform(out);
        match heard {
            Heard::Now(bytes) => drop(tell.send(bytes)),
            Heard::Join(peer, entry) => {
                let world = world.clone();
                tokio::task::spawn_local(async move {
                    let applied = world.propose(&entry).await;
                    let agreed = applied.as_ref().is_ok_and(Applied::holds);
                    // One that is in already asks on until it is reached where it is now.
                    if applied != Ok(Applied::Same) {
                        let how = if agreed { "agreed" } else { "not now" };
                        tracing::info!("sentinel {} asks to be taken into the group: {how}", peer.addr);
                    }
                    let bytes = world.monitor.borrow().joined(agreed);
                    let _ = tell.send(bytes);
                });
            }
        }
    }
}

/// Serves a connection that began with the greeting.
pub async fn serve(world: Rc<World>, mut stream: Begun) {
    let pass = world.monitor.borrow().config.settings.requirepass.clone();
    let pass = (!pass.is_empty()).then(|| pass.into_bytes());
    let peer = stream.socket.tcp().and_then(|stream| stream.peer_addr().ok());
    let from = peer.map(|addr| addr.to_string()).unwrap_or_default();
    let group = world.group.clone();
    let admitted =
        tokio::time::timeout(Duration::from_secs(5), wire::admit(&mut stream, pass.as_deref(), group.welcome())).await;
    match admitted {
        Ok(Ok(())) => {}
        Ok(Err(why)) => {
            let (ip, now) = (peer.map(|addr| addr.ip()), super::now().mono);
            let Some(ip) = ip else { return };
            let mut refused = world.refused.borrow_mut();
            if refused.len() < REFUSED_MAX && refused.get(&ip).is_none_or(|at| now.since(*at) > REFUSED_PAUSE_MS) {
                refused.insert(ip, now);
                tracing::warn!("a sentinel at {from} was not let in: {why}");
            }
            return;
        }
        Err(_) => return,
    }
    if let Err(why) = wire::serve(&mut stream, &group).await {
        tracing::debug!("the connection of the sentinel at {from} ended: {why}");
    }
}
