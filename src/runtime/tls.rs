//! TLS, for clients, replication links and sentinels: handshakes here, what they are made with in `context`.
//!
//! A process has one [`Tls`]. CONFIG SET of a certificate puts another [`Context`] into it, for connections that come
//! from then on; one that cannot be made leaves the old one. There is no global provider of cryptography: each
//! configuration names its own.
//!
//! Redis' rules, not the web's: both sides show certificates, trust is a chain to one of our authorities, and a
//! certificate's name is not looked at, since nodes are known by address.

mod context;
mod sessions;
mod trust;

pub use context::Context;

use super::socket::{Socket, Wire};
use crate::config::Settings;
use parking_lot::RwLock;
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A handshake takes no longer.
const HANDSHAKE_TTL: Duration = Duration::from_secs(10);

/// What the process' connections are made with; none while TLS is off.
#[derive(Clone, Default)]
pub struct Tls(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    context: Option<Arc<Context>>,
    /// Links that we make use it.
    outgoing: bool,
}

impl Tls {
    /// By the configuration.
    ///
    /// # Errors
    /// The directive and the file that are wrong.
    pub fn of(settings: &Settings) -> std::result::Result<Tls, String> {
        let tls = Tls::default();
        tls.configure(settings)?;
        Ok(tls)
    }

    /// Another configuration, for connections from now on; where it is wrong, the one before stays.
    ///
    /// # Errors
    /// As [`Tls::of`].
    pub fn configure(&self, settings: &Settings) -> std::result::Result<(), String> {
        let context = match settings.tls_port != 0 || settings.tls_replication {
            true => Some(Arc::new(Context::load(settings)?)),
            false => None,
        };
        *self.0.write() = Inner { context, outgoing: settings.tls_replication };
        Ok(())
    }

    /// A client has come by the TLS port.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn accept(&self, stream: TcpStream) -> Result<Socket> {
        let context = self.0.read().context.clone().ok_or_else(|| Error::other("TLS is off"))?;
        let accepted = TlsAcceptor::from(context.server.clone()).accept(Wire::new(stream));
        match tokio::time::timeout(HANDSHAKE_TTL, accepted).await {
            Ok(stream) => Ok(Socket::Tls(Box::new(TlsStream::Server(stream?)))),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// A connection of ours was made: with TLS where links use it (`tls-replication`), as it is where not.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn wrap(&self, stream: TcpStream, host: &str) -> Result<Socket> {
        let context = {
            let inner = self.0.read();
            inner.context.clone().filter(|_| inner.outgoing)
        };
        let Some(context) = context else { return Ok(Socket::Tcp(stream)) };
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            Err(_) => ServerName::from(stream.peer_addr()?.ip()),
        };
        let connected = TlsConnector::from(context.client.clone()).connect(name, Wire::new(stream));
        match tokio::time::timeout(HANDSHAKE_TTL, connected).await {
            Ok(stream) => Ok(Socket::Tls(Box::new(TlsStream::Client(stream?)))),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }
}

/// The port that others are told to find this process at.
pub fn announced_port(settings: &Settings) -> u16 {
    if settings.tls_replication && settings.tls_port != 0 { settings.tls_port } else { settings.port }
}
