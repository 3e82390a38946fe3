//! Dialling: one verified connection, and a gRPC channel that lives on it and on nothing else.
//!
//! A lost connection is an error of the channel, never a silent second dial: what was verified is exactly what is used.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, ClientConfig};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::channel_binding::ChannelBinding;
use crate::tls::{self, ClientTls, EnrollmentTls};
use crate::verify::{self, Refusal, Verified, peer_alert};

mod guarded;
mod once;

use guarded::Guarded;
use once::Once;

/// Deadlines of a dial, and how the connection is kept alive.
#[derive(Clone, Debug)]
pub struct DialLimits {
    /// Finding the address.
    pub name: Duration,
    /// The TCP connection, over all addresses of the name.
    pub tcp: Duration,
    /// The TLS handshake, until the server's first word after it.
    pub tls: Duration,
    /// How often an idle connection is pinged.
    pub ping_every: Duration,
    /// How long a ping may stay unanswered before the connection counts as lost.
    pub ping_timeout: Duration,
    /// Bytes of one answer's headers.
    pub header_list: u32,
}

impl Default for DialLimits {
    fn default() -> Self {
        Self {
            name: Duration::from_secs(5),
            tcp: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            ping_every: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            header_list: 16 * 1024,
        }
    }
}

/// A part of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Finding the address.
    Name,
    /// The TCP connection.
    Tcp,
    /// The TLS handshake, both verifications included.
    Tls,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name resolution",
            Self::Tcp => "TCP connection",
            Self::Tls => "TLS handshake",
        })
    }
}

/// How long each part of a dial took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Finding the address.
    pub name: Duration,
    /// The TCP connection.
    pub tcp: Duration,
    /// The TLS handshake, until the server's first word after it.
    pub tls: Duration,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address.
    #[error("can't resolve `{target}`: {source}")]
    NameResolution {
        /// What was to be dialled.
        target: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("{address} refused the connection: nothing listens there")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The network failed in another way.
    #[error("can't reach {address}: {source}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A part took too long.
    #[error("no answer within {after:?} ({phase})")]
    Timeout {
        /// Which part.
        phase: Phase,
        /// Its deadline.
        after: Duration,
    },
    /// We don't accept the peer.
    #[error("{0}")]
    Tls(#[from] Refusal),
    /// The peer doesn't accept us, or shares no protocol with us.
    #[error(
        "the peer ended the TLS handshake with the alert {alert:?}: it doesn't accept our certificate, or it doesn't \
         speak our protocol; its log has the reason"
    )]
    RefusedByPeer {
        /// The alert that it sent.
        alert: AlertDescription,
    },
    /// The peer broke off without saying why, or doesn't speak TLS or HTTP/2.
    #[error("the connection broke off ({phase}): {source}")]
    Protocol {
        /// In which part.
        phase: Phase,
        /// What happened.
        source: io::Error,
    },
}

/// A verified connection.
#[derive(Debug)]
pub struct Connection {
    /// The gRPC channel. It lives on this one connection: when that ends, every call fails.
    pub channel: Channel,
    /// Who is at the other end.
    pub verified: Verified,
    /// The peer's address.
    pub address: SocketAddr,
    /// How long the parts of the dial took.
    pub timings: Timings,
    certificates: Vec<CertificateDer<'static>>,
    cut: CancellationToken,
    closed: CancellationToken,
}

impl Connection {
    /// Verifies the peer again, against new trust or later on, and cuts the connection if it isn't accepted any more.
    ///
    /// # Errors
    /// Why it isn't; the connection is then gone.
    pub fn verify_again(&self, tls: &ClientTls, now: UnixTime) -> Result<Verified, Refusal> {
        tls.verify(&self.certificates, now)
            .inspect_err(|_| self.cut.cancel())
    }

    /// Ends the connection at once: all calls on it fail.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Waits until the connection has ended, for whatever reason.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled() || self.cut.is_cancelled()
    }
}

/// Dials `target` (`host:port`; an IPv6 address in brackets) and verifies who answers.
///
/// Returns only when the server has spoken after the handshake: with TLS 1.3 a client learns no earlier that the server
/// refused it. The connection is cut when the peer's certificate expires.
///
/// # Errors
/// Why there is no connection. [`Refusal::from_error`] finds our own refusal in it.
pub async fn connect(target: &str, tls: &ClientTls, limits: &DialLimits) -> Result<Connection, DialError> {
    let dialled = Dialled::dial(target, &tls.config, limits).await?;
    let (_, session) = dialled.stream.get_ref();
    let certificates: Vec<_> = session
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|der| der.clone().into_owned())
        .collect();
    // The handshake ran the same verification; here it yields the value that says so.
    let verified = tls.verify(&certificates, verify::now())?;
    let (address, timings) = (dialled.address, dialled.timings);
    let (channel, cut, closed) = dialled.open(limits).await?;
    tokio::spawn(cut_at_expiry(
        verified.chain_not_after(),
        cut.clone(),
        closed.clone(),
    ));
    Ok(Connection {
        channel,
        verified,
        address,
        timings,
        certificates,
        cut,
        closed,
    })
}

/// A connection to somebody who may be an agent that awaits enrolment. Nobody is verified yet.
#[derive(Debug)]
pub struct EnrollmentConnection {
    /// For the enrolment call, and no other.
    pub channel: Channel,
    /// What the agent's proof has to be tied to.
    pub binding: ChannelBinding,
    /// The peer's address.
    pub address: SocketAddr,
    cut: CancellationToken,
}

impl Drop for EnrollmentConnection {
    /// Whoever was at the other end has nothing more to say.
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

/// Dials `target` to enrol whoever proves to be the agent. The connection ends when the value is dropped.
///
/// # Errors
/// Why there is no connection.
pub async fn connect_for_enrollment(
    target: &str,
    tls: &EnrollmentTls,
    limits: &DialLimits,
) -> Result<EnrollmentConnection, DialError> {
    let dialled = Dialled::dial(target, &tls.config, limits).await?;
    let (_, session) = dialled.stream.get_ref();
    let binding = ChannelBinding::of(session).map_err(|error| DialError::Protocol {
        phase: Phase::Tls,
        source: io::Error::other(error),
    })?;
    let address = dialled.address;
    let (channel, cut, _closed) = dialled.open(limits).await?;
    Ok(EnrollmentConnection {
        channel,
        binding,
        address,
        cut,
    })
}

/// A finished handshake, and the server's first word after it.
struct Dialled {
    stream: TlsStream<TcpStream>,
    first: u8,
    address: SocketAddr,
    timings: Timings,
}

impl Dialled {
    async fn dial(target: &str, config: &Arc<ClientConfig>, limits: &DialLimits) -> Result<Self, DialError> {
        let started = Instant::now();
        let addresses = resolve(target, limits).await?;
        let resolved = Instant::now();
        let (tcp, address) = dial(target, &addresses, limits).await?;
        let connected = Instant::now();
        // Small messages both ways: waiting to fill a segment only costs time. A socket that can't is used all the same.
        let _ = tcp.set_nodelay(true);
        let handshake = handshake(tcp, address, config);
        let (stream, first) = timeout_at(connected + limits.tls, handshake)
            .await
            .map_err(|_| DialError::Timeout {
                phase: Phase::Tls,
                after: limits.tls,
            })??;
        tls::check_protocol(stream.get_ref().1)?;
        let timings = Timings {
            name: resolved - started,
            tcp: connected - resolved,
            tls: connected.elapsed(),
        };
        Ok(Self {
            stream,
            first,
            address,
            timings,
        })
    }

    /// The gRPC channel; what cuts the connection; what says that it has ended.
    async fn open(
        self,
        limits: &DialLimits,
    ) -> Result<(Channel, CancellationToken, CancellationToken), DialError> {
        let cut = CancellationToken::new();
        let closed = CancellationToken::new();
        let stream = Guarded::new(self.stream, self.first, cut.clone(), closed.clone());
        let channel = open(stream, limits).await?;
        Ok((channel, cut, closed))
    }
}

async fn resolve(target: &str, limits: &DialLimits) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::NameResolution {
        target: target.to_owned(),
        source,
    };
    let lookup = tokio::time::timeout(limits.name, tokio::net::lookup_host(target)).await;
    let addresses: Vec<_> = lookup
        .map_err(|_| DialError::Timeout {
            phase: Phase::Name,
            after: limits.name,
        })?
        .map_err(failed)?
        .collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )));
    }
    Ok(addresses)
}

async fn dial(
    target: &str,
    addresses: &[SocketAddr],
    limits: &DialLimits,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let deadline = Instant::now() + limits.tcp;
    let mut last = None;
    for &address in addresses {
        match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(source)) if source.kind() == io::ErrorKind::ConnectionRefused => {
                last = Some(DialError::Refused { address, source });
            }
            Ok(Err(source)) => last = Some(DialError::Unreachable { address, source }),
            Err(_) => {
                return Err(last.unwrap_or(DialError::Timeout {
                    phase: Phase::Tcp,
                    after: limits.tcp,
                }));
            }
        }
    }
    let nothing = || DialError::NameResolution {
        target: target.to_owned(),
        source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    };
    Err(last.unwrap_or_else(nothing))
}

/// The handshake, and the server's first byte after it.
async fn handshake(
    tcp: TcpStream,
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<(TlsStream<TcpStream>, u8), DialError> {
    // Never sent (SNI is off) and never compared: identities are SPIFFE IDs. rustls wants one all the same.
    let name = ServerName::IpAddress(address.ip().into());
    let connector = TlsConnector::from(Arc::clone(config));
    let mut stream = connector.connect(name, tcp).await.map_err(into_dial_error)?;
    // An HTTP/2 server begins with its SETTINGS, unasked (RFC 9113 §3.4). One that refuses our certificate sends an alert.
    let first = stream.read_u8().await.map_err(into_dial_error)?;
    Ok((stream, first))
}

fn into_dial_error(source: io::Error) -> DialError {
    if let Some(alert) = peer_alert(&source) {
        return DialError::RefusedByPeer { alert };
    }
    match Refusal::from_handshake(&source, verify::now()) {
        Some(refusal) => DialError::Tls(refusal),
        None => DialError::Protocol {
            phase: Phase::Tls,
            source,
        },
    }
}

async fn open(stream: Guarded, limits: &DialLimits) -> Result<Channel, DialError> {
    // The address is never resolved or dialled: the connector hands out the connection that is already there, once.
    let endpoint = Endpoint::from_static("http://peer.invalid")
        .origin(http::Uri::from_static("https://peer.invalid"))
        .http2_keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_timeout)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(limits.header_list);
    endpoint
        .connect_with_connector(Once::new(TokioIo::new(stream)))
        .await
        .map_err(|error| DialError::Protocol {
            phase: Phase::Tls,
            source: io::Error::other(error),
        })
}

/// Ends with the connection.
async fn cut_at_expiry(expires: UnixTime, cut: CancellationToken, closed: CancellationToken) {
    loop {
        let now = verify::now();
        if now > expires {
            cut.cancel();
            return;
        }
        tokio::select! {
            () = closed.cancelled() => return,
            () = tokio::time::sleep(crate::serve::until_check(now, expires)) => {}
        }
    }
}
