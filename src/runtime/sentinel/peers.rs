//! Connections between sentinels, on their ordinary ports.
//!
//! Each request has a connection for itself while it lasts; idle ones are kept. A future that is dropped half-way takes
//! its connection along, and an answer that ends the connection does too, so nobody reads another one's answer.

use super::World;
use crate::base::GroupId;
use crate::consensus::wire::{self, WireError};
use crate::consensus::{PeerHandler, PeerNode, PeerRequest, PeerResponse, RaftId, Transport, TransportError};
use crate::monitor::Heard;
use crate::runtime::listener;
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
/// Questions of peers that wait for the loop.
pub const ASKS_MAX: usize = 256;

/// Asks other sentinels.
#[derive(Clone)]
pub struct Dialler {
    inner: Arc<Inner>,
}

struct Inner {
    pass: Mutex<Option<String>>,
    idle: Mutex<HashMap<String, Vec<TcpStream>>>,
    next: AtomicU64,
}

impl Dialler {
    /// `pass`: `sentinel-pass`, or `requirepass`.
    pub fn new(pass: Option<String>) -> Dialler {
        let pass = Mutex::new(pass);
        Dialler { inner: Arc::new(Inner { pass, idle: Mutex::default(), next: AtomicU64::new(1) }) }
    }

    /// Gives this pass from now on; connections that were made with another are given up.
    pub fn set_pass(&self, pass: Option<String>) {
        *self.inner.pass.lock() = pass;
        self.inner.idle.lock().clear();
    }

    /// An idle connection whose peer has not closed it.
    fn idle(&self, addr: &str) -> Option<TcpStream> {
        let mut idle = self.inner.idle.lock();
        let kept = idle.get_mut(addr)?;
        while let Some(stream) = kept.pop() {
            match stream.try_read(&mut [0; 1]) {
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => return Some(stream),
                _ => {}
            }
        }
        None
    }

    async fn dial(&self, addr: &str, ttl: Duration) -> Result<TcpStream, TransportError> {
        let unreachable = |why: String| TransportError::Unreachable(format!("{addr}: {why}"));
        let dialled = async {
            let mut stream = TcpStream::connect(addr).await.map_err(|why| unreachable(why.to_string()))?;
            listener::prepare(&stream, 60);
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
        let mut stream = match self.idle(&to.addr) {
            Some(stream) => stream,
            None => self.dial(&to.addr, ttl).await?,
        };
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let called = tokio::time::timeout(ttl, wire::call(&mut stream, id, &request)).await;
        let response = match called {
            Ok(Ok(response)) => response,
            Ok(Err(why)) => return Err(TransportError::Broken(format!("{}: {why}", to.addr))),
            Err(_) => return Err(TransportError::Broken(format!("{}: no answer in time", to.addr))),
        };
        let ends = matches!(&response, PeerResponse::Refused(why) if why.ends_connection());
        if !ends {
            let mut idle = self.inner.idle.lock();
            let kept = idle.entry(to.addr.clone()).or_default();
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
                    let agreed = world.propose(&entry).await.is_ok_and(|applied| applied.holds());
                    tracing::info!(
                        "sentinel {} asks to be taken into the group: {}",
                        peer.addr,
                        if agreed { "agreed" } else { "not now" }
                    );
                    let bytes = world.monitor.borrow().joined(agreed);
                    let _ = tell.send(bytes);
                });
            }
        }
    }
}

/// Serves a connection that began with the greeting.
pub async fn serve(world: Rc<World>, mut stream: TcpStream) {
    let pass = world.monitor.borrow().config.settings.requirepass.clone();
    let pass = (!pass.is_empty()).then(|| pass.into_bytes());
    let from = stream.peer_addr().map(|addr| addr.to_string()).unwrap_or_default();
    let group = world.group.clone();
    let admitted =
        tokio::time::timeout(Duration::from_secs(5), wire::admit(&mut stream, pass.as_deref(), group.welcome())).await;
    match admitted {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return tracing::warn!("a sentinel at {from} was not let in: {why}"),
        Err(_) => return,
    }
    if let Err(why) = wire::serve(&mut stream, &group).await {
        tracing::debug!("the connection of the sentinel at {from} ended: {why}");
    }
}
