//! `picket:checker/tls`: TLS over streams that the checker already has.

use std::time::{Duration, Instant};

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::pipe::{AsyncReadStream, AsyncWriteStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use crate::engine::Services;
use crate::host::secret::{Refusal, SecretView};
use crate::net::stream::GuestStream;
use crate::net::tls::{Identity, Options, Session, TlsError, Trust, handshake};

/// Bytes that wait to be sent.
const WRITE_BUFFER: usize = 64 << 10;

/// A client's certificate, and the name of the secret that holds its key.
pub(crate) struct ClientIdentity {
    pub(crate) chain: Vec<u8>,
    pub(crate) key_secret: String,
}

pub(crate) struct UpgradeOptions {
    pub(crate) server_name: String,
    pub(crate) trust: Trust,
    pub(crate) require_trusted: bool,
    pub(crate) alpn: Vec<String>,
    pub(crate) identity: Option<ClientIdentity>,
    pub(crate) timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("{0}")]
    Secret(#[from] Refusal),
    #[error("the TLS handshake took longer than {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Handles(String),
}

pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) input: Resource<DynInputStream>,
    pub(crate) output: Resource<DynOutputStream>,
}

/// The key of a client's identity, taken from the secrets.
pub(crate) async fn identity(
    wanted: Option<ClientIdentity>,
    secrets: &SecretView,
) -> Result<Option<Identity>, Refusal> {
    match wanted {
        None => Ok(None),
        Some(ClientIdentity { chain, key_secret }) => Ok(Some(Identity {
            chain,
            key: secrets.using(&key_secret).await?,
        })),
    }
}

/// Takes both streams and gives back the ones inside the session.
pub(crate) async fn upgrade(
    table: &mut ResourceTable,
    services: &Services,
    secrets: &SecretView,
    deadline: Instant,
    streams: (Resource<DynInputStream>, Resource<DynOutputStream>),
    options: UpgradeOptions,
) -> Result<Connection, UpgradeError> {
    let handles = |error: wasmtime::component::ResourceTableError| UpgradeError::Handles(error.to_string());
    // Taken first: they are the host's from here on, whatever happens.
    let input = table.delete(streams.0);
    let output = table.delete(streams.1);
    let (input, output) = (input.map_err(handles)?, output.map_err(handles)?);
    let options_of_tls = Options {
        server_name: options.server_name,
        trust: options.trust,
        require_trusted: options.require_trusted,
        alpn: options.alpn,
        identity: identity(options.identity, secrets).await?,
    };
    let patience = options
        .timeout
        .min(deadline.saturating_duration_since(Instant::now()));
    let shake = handshake(GuestStream::new(input, output), options_of_tls, &services.roots);
    let (stream, session) = tokio::time::timeout(patience, shake)
        .await
        .map_err(|_| UpgradeError::Timeout(patience))??;
    let (reader, writer) = tokio::io::split(stream);
    let input: DynInputStream = Box::new(AsyncReadStream::new(reader));
    let output: DynOutputStream = Box::new(AsyncWriteStream::new(WRITE_BUFFER, writer));
    Ok(Connection {
        session,
        input: table.push(input).map_err(handles)?,
        output: table.push(output).map_err(handles)?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::engine::{EngineConfig, SandboxEngine};
    use crate::grant::GrantSet;
    use crate::host::secret::NoSecrets;
    use crate::net::guard::Guard;

    fn options(server_name: &str, trust: Trust) -> UpgradeOptions {
        UpgradeOptions {
            server_name: server_name.to_owned(),
            trust,
            require_trusted: true,
            alpn: vec!["echo".to_owned()],
            identity: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// Upgrades streams whose other end is `peer`'s.
    async fn upgraded(
        table: &mut ResourceTable,
        stream: DuplexStream,
        options: UpgradeOptions,
    ) -> Result<Connection, UpgradeError> {
        let config = EngineConfig {
            concurrent_runs: 1,
            ..EngineConfig::default()
        };
        let engine = SandboxEngine::new(config).unwrap();
        let guard = Arc::new(Guard::new(
            Arc::new(GrantSet::default()),
            engine.services().resolver_for("test"),
        ));
        let secrets = SecretView::new(guard, Arc::new(NoSecrets));
        let (reader, writer) = tokio::io::split(stream);
        let input: DynInputStream = Box::new(AsyncReadStream::new(reader));
        let output: DynOutputStream = Box::new(AsyncWriteStream::new(WRITE_BUFFER, writer));
        let streams = (table.push(input).unwrap(), table.push(output).unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        upgrade(table, engine.services(), &secrets, deadline, streams, options).await
    }

    fn acceptor(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certified.cert.der().to_vec())], key)
            .unwrap();
        config.alpn_protocols = vec![b"echo".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    #[tokio::test]
    async fn bytes_go_both_ways_inside_the_session() {
        let certified = rcgen::generate_simple_self_signed(vec!["web.example".to_owned()]).unwrap();
        let (ours, theirs) = tokio::io::duplex(1024);
        let acceptor = acceptor(&certified);
        let server = tokio::spawn(async move {
            let mut stream = acceptor.accept(theirs).await.unwrap();
            let mut bytes = vec![0; 100_000];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut table = ResourceTable::new();
        let trust = Trust::Roots(vec![certified.cert.pem().into_bytes()]);
        let connection = upgraded(&mut table, ours, options("web.example", trust))
            .await
            .unwrap();
        assert_eq!(connection.session.trusted, Ok(()));
        assert_eq!(connection.session.alpn.as_deref(), Some("echo"));
        let mut output = table.delete(connection.output).unwrap();
        let mut input = table.delete(connection.input).unwrap();
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        output
            .blocking_write_and_flush(Bytes::from(sent.clone()))
            .await
            .unwrap();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.extend(input.blocking_read(16 << 10).await.unwrap());
        }
        assert_eq!(received, sent);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_is_not_trusted_is_refused_with_the_reason() {
        let certified = rcgen::generate_simple_self_signed(vec!["web.example".to_owned()]).unwrap();
        let (ours, theirs) = tokio::io::duplex(1024);
        let acceptor = acceptor(&certified);
        tokio::spawn(async move { acceptor.accept(theirs).await.map(|_| ()) });
        let mut table = ResourceTable::new();
        let trust = Trust::Roots(vec![certified.cert.pem().into_bytes()]);
        let refused = upgraded(&mut table, ours, options("other.example", trust)).await;
        assert!(matches!(
            refused,
            Err(UpgradeError::Tls(TlsError::Untrusted { .. }))
        ));
    }

    #[tokio::test]
    async fn a_peer_that_breaks_off_fails_the_handshake() {
        let (ours, theirs) = tokio::io::duplex(1024);
        drop(theirs);
        let refused = upgraded(
            &mut ResourceTable::new(),
            ours,
            options("a.example", Trust::Platform),
        )
        .await;
        assert!(matches!(refused, Err(UpgradeError::Tls(TlsError::Handshake(_)))));
    }

    #[tokio::test]
    async fn a_silent_peer_times_out() {
        let (ours, _theirs) = tokio::io::duplex(1024);
        let mut patience = options("a.example", Trust::Platform);
        patience.timeout = Duration::from_millis(50);
        let refused = upgraded(&mut ResourceTable::new(), ours, patience).await;
        assert!(matches!(refused, Err(UpgradeError::Timeout(_))));
    }
}
