//! What the `tls-*` directives come to: certificates, keys and authorities from their files, the versions and ciphers
//! that are allowed. What rustls cannot do is refused by its name, not passed over.

use super::sessions::Sessions;
use super::trust::Trust;
use crate::base::Millis;
use crate::config::{Settings, TlsAuthClients};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The two sides of a connection.
pub struct Context {
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
}

impl Context {
    /// Reads the files and puts all together.
    ///
    /// # Errors
    /// The directive that is wrong, with its file and the reason.
    pub fn load(settings: &Settings) -> Result<Context, String> {
        let ours = identity(("tls-cert-file", &settings.tls_cert_file), ("tls-key-file", &settings.tls_key_file))?;
        let outgoing = match settings.tls_client_cert_file.is_empty() {
            true => (ours.0.clone(), ours.1.clone_key()),
            false => identity(
                ("tls-client-cert-file", &settings.tls_client_cert_file),
                ("tls-client-key-file", &settings.tls_client_key_file),
            )?,
        };
        let asks = settings.tls_auth_clients != TlsAuthClients::No;
        let (roots, authorities) = authorities(settings)?;
        if roots.is_empty() && (asks || settings.tls_replication) {
            return Err("Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-replication or \
                        tls-auth-clients are enabled!"
                .into());
        }
        if !settings.tls_dh_params_file.is_empty() {
            tracing::warn!("tls-dh-params-file is not used: no cipher suite here agrees on keys in that way.");
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(provider(settings)?);
        let versions = versions(&settings.tls_protocols)?;
        let failed = |what: &str, why: &dyn std::fmt::Display| format!("{what}: {why}");

        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|why| failed("tls-protocols", &why))?;
        let builder = match settings.tls_auth_clients {
            TlsAuthClients::No => builder.with_no_client_auth(),
            wanted => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
                let verifier = match wanted {
                    TlsAuthClients::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let verifier = verifier.build().map_err(|why| failed("tls-ca-cert-file", &why))?;
                builder.with_client_cert_verifier(Trust::new(authorities.clone(), verifier))
            }
        };
        let (chain, key) = ours;
        let mut server = builder.with_single_cert(chain, key).map_err(|why| failed("tls-key-file", &why))?;
        server.ignore_client_order = settings.tls_prefer_server_ciphers;
        server.session_storage = match settings.tls_session_caching {
            true => {
                let size = usize::try_from(settings.tls_session_cache_size).unwrap_or(0).max(1);
                Sessions::new(size, Millis(settings.tls_session_cache_timeout.saturating_mul(1000)))
            }
            false => Arc::new(NoServerSessionStorage {}),
        };

        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|why| failed("tls-protocols", &why))?;
        let verifier = match roots.is_empty() {
            // Nothing is to be connected to with it: `tls-replication` is off.
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|why| failed("tls-ca-cert-file", &why))?,
            ),
        };
        let builder = match verifier {
            Some(inner) => builder.dangerous().with_custom_certificate_verifier(Trust::new(authorities, inner)),
            None => builder.with_root_certificates(RootCertStore::empty()),
        };
        let (chain, key) = outgoing;
        let client = builder.with_client_auth_cert(chain, key).map_err(|why| failed("tls-client-key-file", &why))?;
        Ok(Context { server: Arc::new(server), client: Arc::new(client) })
    }
}

type Authorities = Arc<[CertificateDer<'static>]>;
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A chain of certificates and the key of its first.
fn identity(cert: (&str, &str), key: (&str, &str)) -> Result<Identity, String> {
    for (name, path) in [cert, key] {
        if path.is_empty() {
            return Err(format!("No {name} configured!"));
        }
    }
    let chain = certificates(cert.0, Path::new(cert.1))?;
    let text = std::fs::read(key.1).map_err(|why| format!("Failed to load private key: {}: {why}", key.1))?;
    let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
    if encrypted.iter().any(|mark| memchr::memmem::find(&text, mark).is_some()) {
        return Err(format!(
            "Failed to load private key: {}: it is encrypted; {}-pass is not supported, decrypt the file",
            key.1, key.0
        ));
    }
    let read = PrivateKeyDer::from_pem_slice(&text);
    Ok((chain, read.map_err(|why| format!("Failed to load private key: {}: {why}", key.1))?))
}

fn certificates(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: String| format!("Failed to load certificate ({name}): {}: {why}", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(|why| failed(why.to_string()))?;
    let chain = read.collect::<Result<Vec<_>, _>>().map_err(|why| failed(why.to_string()))?;
    if chain.is_empty() {
        return Err(failed("there is no certificate in it".into()));
    }
    Ok(chain)
}

/// All that `tls-ca-cert-file` and the files of `tls-ca-cert-dir` hold.
fn authorities(settings: &Settings) -> Result<(RootCertStore, Authorities), String> {
    let mut roots = RootCertStore::empty();
    let mut found = Vec::new();
    if !settings.tls_ca_cert_file.is_empty() {
        found.extend(certificates("tls-ca-cert-file", Path::new(&settings.tls_ca_cert_file))?);
    }
    if !settings.tls_ca_cert_dir.is_empty() {
        let dir = &settings.tls_ca_cert_dir;
        let failed = |why: std::io::Error| format!("Failed to read tls-ca-cert-dir: {dir}: {why}");
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                // Other files may stand there, as with OpenSSL.
                found.extend(certificates("tls-ca-cert-dir", &path).unwrap_or_default());
            }
        }
    }
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|why| format!("An authority's certificate cannot be used: {why}"))?;
    }
    Ok((roots, found.into()))
}

/// `tls-protocols`: blanks between them; empty is what is safe.
fn versions(words: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut versions = Vec::new();
    for word in words.split_ascii_whitespace() {
        match &*word.to_ascii_lowercase() {
            "tlsv1.3" => versions.push(&TLS13),
            "tlsv1.2" => versions.push(&TLS12),
            "tlsv1" | "tlsv1.1" => {
                return Err(format!("tls-protocols: {word} is broken and not supported; TLSv1.2 and TLSv1.3 are."));
            }
            _ => {
                return Err("Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and \
                            'TLSv1.3'."
                    .into());
            }
        }
    }
    Ok(if versions.is_empty() { vec![&TLS13, &TLS12] } else { versions })
}

/// OpenSSL's names of the suites of TLS 1.2 that there are.
const SUITES_12: &[(&str, CipherSuite)] = &[
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The suites of TLS 1.3.
const SUITES_13: &[(&str, CipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// The ciphers that are allowed, in the order in which they are named.
fn provider(settings: &Settings) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    let older = named("tls-ciphers", &settings.tls_ciphers, SUITES_12)?;
    let newer = named("tls-ciphersuites", &settings.tls_ciphersuites, SUITES_13)?;
    let wanted: Vec<CipherSuite> = newer.into_iter().chain(older).collect();
    provider.cipher_suites.retain(|suite| wanted.contains(&suite.suite()));
    provider.cipher_suites.sort_by_key(|suite| wanted.iter().position(|other| *other == suite.suite()));
    Ok(provider)
}

/// A list as OpenSSL reads it, as far as it has a meaning here: names, `DEFAULT`, `HIGH` and `ALL`, and what is
/// excluded by `!` (of the weak groups there is nothing anyway).
fn named(name: &str, list: &str, known: &[(&str, CipherSuite)]) -> Result<Vec<CipherSuite>, String> {
    let mut wanted: Vec<CipherSuite> = Vec::new();
    let mut excluded: Vec<CipherSuite> = Vec::new();
    let of = |word: &str| known.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, suite)| *suite);
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        match (word.strip_prefix('!'), of(word)) {
            (Some(word), _) => excluded.extend(of(word)),
            (None, Some(suite)) => wanted.push(suite),
            (None, None) if matches!(word, "DEFAULT" | "HIGH" | "ALL") => {
                wanted.extend(known.iter().map(|(_, suite)| *suite));
            }
            (None, None) => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(format!("{name}: '{word}' is not supported; there are {}.", names.join(", ")));
            }
        }
    }
    if wanted.is_empty() {
        wanted.extend(known.iter().map(|(_, suite)| *suite));
    }
    wanted.retain(|suite| !excluded.contains(suite));
    Ok(wanted)
}
