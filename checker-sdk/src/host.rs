//! The seam between a checker and whoever runs it.
//!
//! [`Context`](crate::Context) holds a [`Current`] host, a concrete type, not a trait object: a call that no checker
//! makes leaves no import in its component, and the import section stays a proof of what a checker can't do.

pub mod wasi;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Level, SecretError, StateError, facts, http, icmp, net, tls};

/// The host of this build.
#[cfg(all(feature = "mock", not(target_arch = "wasm32")))]
pub type Current = crate::mock::MockHost;
/// The host of this build.
#[cfg(not(all(feature = "mock", not(target_arch = "wasm32"))))]
pub type Current = wasi::WasiHost;

/// Everything that a run may ask of its host.
pub trait Host {
    /// A TCP connection, or TLS over one.
    type Stream: Stream;
    /// A UDP socket with one peer.
    type Datagrams: Datagrams;

    /// The wall clock, in milliseconds since 1970.
    fn unix_ms(&self) -> u64;
    /// A clock that never goes back, from any start.
    fn monotonic(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration);
    /// Random bits that a peer can't guess.
    fn random(&self) -> u64;

    /// Writes a line for the one who looks into a check that misbehaves.
    fn log(&self, level: Level, message: &str, fields: &[(String, String)]);

    /// What an earlier run of this check stored.
    ///
    /// # Errors
    ///
    /// The store can't be read now.
    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError>;
    /// Stores a value for later runs.
    ///
    /// # Errors
    ///
    /// The store is full or can't be written now.
    fn state_set(&self, key: &str, value: &[u8]) -> Result<(), StateError>;
    /// Forgets a value.
    ///
    /// # Errors
    ///
    /// The store can't be written now.
    fn state_delete(&self, key: &str) -> Result<(), StateError>;

    /// Whether a secret is granted and there.
    ///
    /// # Errors
    ///
    /// Which of the two it isn't.
    fn secret_check(&self, name: &str) -> Result<(), SecretError>;
    /// The bytes of a secret.
    ///
    /// # Errors
    ///
    /// It isn't granted or isn't there.
    fn secret_reveal(&self, name: &str) -> Result<Vec<u8>, SecretError>;

    /// Makes one HTTP request.
    ///
    /// # Errors
    ///
    /// There was no response, or the host refused.
    fn fetch(&self, request: &http::Request) -> Result<http::Response, Box<http::Error>>;
    /// Sends a train of ICMP echo requests.
    ///
    /// # Errors
    ///
    /// None could be sent.
    fn echo(&self, request: &icmp::EchoRequest) -> Result<icmp::EchoResult, icmp::Error>;

    /// The addresses of a name.
    ///
    /// # Errors
    ///
    /// The name has none, the time is over, or the host refused.
    fn resolve(&self, name: &str, timeout: Duration) -> Result<Vec<IpAddr>, net::Error>;
    /// Opens a TCP connection.
    ///
    /// # Errors
    ///
    /// Nobody answered, or the host refused.
    fn connect(&self, peer: SocketAddr, timeout: Duration) -> Result<Self::Stream, net::Error>;
    /// Opens a UDP socket for one peer.
    ///
    /// # Errors
    ///
    /// The host refused or has no sockets left.
    fn datagrams(&self, peer: SocketAddr) -> Result<Self::Datagrams, net::Error>;

    /// Processor times, load, pressure.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn cpu(&self) -> Result<facts::CpuFacts, facts::Error>;
    /// Memory, swap, pressure.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn memory(&self) -> Result<facts::MemoryFacts, facts::Error>;
    /// Mounted file systems.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn disks(&self) -> Result<Vec<facts::FileSystem>, facts::Error>;
    /// Processes.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn processes(&self) -> Result<Vec<facts::Process>, facts::Error>;
    /// Units of the service manager whose name matches one of the glob patterns.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn services(&self, patterns: &[String]) -> Result<Vec<facts::Service>, facts::Error>;
    /// Network interfaces.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn interfaces(&self) -> Result<Vec<facts::NetworkInterface>, facts::Error>;
    /// Time since boot, kernel, users.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    fn uptime(&self) -> Result<facts::UptimeFacts, facts::Error>;
}

/// A pair of byte streams.
pub trait Stream: Sized {
    /// Up to `most` bytes, as soon as there are some; none at the end of the stream.
    ///
    /// # Errors
    ///
    /// The time is over, or the connection broke.
    fn read(&mut self, most: usize, timeout: Duration) -> Result<Vec<u8>, net::Error>;
    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// The time is over, or the connection broke.
    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), net::Error>;
    /// Does a TLS handshake.
    ///
    /// # Errors
    ///
    /// The handshake failed, or the peer isn't trusted.
    fn upgrade(self, options: &tls::Options) -> Result<(Self, tls::Session), tls::Error>;
}

/// Datagrams to and from one peer.
pub trait Datagrams {
    /// Sends one.
    ///
    /// # Errors
    ///
    /// The time is over, or the host refused.
    fn send(&mut self, payload: &[u8], timeout: Duration) -> Result<(), net::Error>;
    /// Waits for one.
    ///
    /// # Errors
    ///
    /// The time is over, or the peer's machine refused.
    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, net::Error>;
}
