//! A host whose answers a test scripts, for native unit tests of checkers.
//!
//! ```
//! use picket_checker_sdk::mock::MockHost;
//!
//! let host = MockHost::new();
//! host.set_unix_ms(1_700_000_000_000);
//! host.name("db.example", &["192.0.2.7"]);
//! host.listen("192.0.2.7:5432", |_request| b"hello\n".to_vec());
//! ```
//!
//! A handle is cheap to clone: a test keeps one to look at what happened. The clock moves only when something sleeps
//! or waits, so no test waits for real. What was used is written down as grants: [`Outcome::undeclared`] names those
//! that the checker's `needs` left out.

mod network;
mod run;
mod sample;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::host::Host;
use crate::{Level, SecretError, StateError, facts, http, icmp, net, tls};

pub use network::{MockDatagrams, MockStream};
pub use run::{Outcome, run, run_with_timeout};
pub use sample::{certificate, response, session};

type Fetch = Box<dyn FnMut(&http::Request) -> Result<http::Response, Box<http::Error>>>;

/// A host whose answers a test scripts.
#[derive(Clone, Default)]
pub struct MockHost(Rc<Script>);

/// What a test scripted, and what happened.
#[derive(Default)]
struct Script {
    unix_ms: Cell<u64>,
    monotonic: Cell<Duration>,
    random: Cell<u64>,
    log: RefCell<Vec<(Level, String)>>,
    state: RefCell<BTreeMap<String, Vec<u8>>>,
    secrets: RefCell<BTreeMap<String, Vec<u8>>>,
    fetch: RefCell<Option<Fetch>>,
    requests: RefCell<Vec<http::Request>>,
    echoes: RefCell<VecDeque<Result<icmp::EchoResult, icmp::Error>>>,
    names: RefCell<BTreeMap<String, Vec<IpAddr>>>,
    tcp: RefCell<BTreeMap<SocketAddr, network::Listener>>,
    udp: RefCell<BTreeMap<SocketAddr, network::Responder>>,
    tls: RefCell<VecDeque<Result<tls::Session, tls::Error>>>,
    tls_options: RefCell<Vec<tls::Options>>,
    cpu: RefCell<VecDeque<facts::CpuFacts>>,
    memory: RefCell<Option<facts::MemoryFacts>>,
    disks: RefCell<Option<Vec<facts::FileSystem>>>,
    processes: RefCell<Option<Vec<facts::Process>>>,
    services: RefCell<Option<Vec<facts::Service>>>,
    interfaces: RefCell<Option<Vec<facts::NetworkInterface>>>,
    uptime: RefCell<Option<facts::UptimeFacts>>,
    used: RefCell<BTreeSet<String>>,
}

impl MockHost {
    /// A host that knows nothing: each question ends in an error until a test scripts its answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the wall clock.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        self.0.unix_ms.set(unix_ms);
    }

    /// Moves both clocks on.
    pub fn advance(&self, duration: Duration) {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.0
            .unix_ms
            .set(self.0.unix_ms.get().saturating_add(milliseconds));
        self.0
            .monotonic
            .set(self.0.monotonic.get().saturating_add(duration));
    }

    /// Stores a secret and grants it.
    pub fn secret(&self, name: &str, value: &[u8]) {
        self.0
            .secrets
            .borrow_mut()
            .insert(name.to_owned(), value.to_vec());
    }

    /// Answers HTTP requests.
    pub fn serve(
        &self,
        handler: impl FnMut(&http::Request) -> Result<http::Response, Box<http::Error>> + 'static,
    ) {
        *self.0.fetch.borrow_mut() = Some(Box::new(handler));
    }

    /// The HTTP requests that were made.
    #[must_use]
    pub fn requests(&self) -> Vec<http::Request> {
        self.0.requests.borrow().clone()
    }

    /// Answers the next train of echo requests.
    pub fn echo_answer(&self, answer: Result<icmp::EchoResult, icmp::Error>) {
        self.0.echoes.borrow_mut().push_back(answer);
    }

    /// Gives a name its addresses; what isn't an address in text is left out.
    pub fn name(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect();
        self.0.names.borrow_mut().insert(name.to_owned(), addresses);
    }

    /// Answers the next TLS handshake.
    pub fn tls_answer(&self, answer: Result<tls::Session, tls::Error>) {
        self.0.tls.borrow_mut().push_back(answer);
    }

    /// The options of the handshakes that were made.
    #[must_use]
    pub fn tls_options(&self) -> Vec<tls::Options> {
        self.0.tls_options.borrow().clone()
    }

    /// Sets the next readings of the processors; the last one stays.
    pub fn set_cpu(&self, readings: Vec<facts::CpuFacts>) {
        *self.0.cpu.borrow_mut() = readings.into();
    }

    /// Sets the reading of the memory.
    pub fn set_memory(&self, reading: facts::MemoryFacts) {
        *self.0.memory.borrow_mut() = Some(reading);
    }

    /// Sets the mounted file systems.
    pub fn set_disks(&self, reading: Vec<facts::FileSystem>) {
        *self.0.disks.borrow_mut() = Some(reading);
    }

    /// Sets the processes.
    pub fn set_processes(&self, reading: Vec<facts::Process>) {
        *self.0.processes.borrow_mut() = Some(reading);
    }

    /// Sets the services; patterns are not applied.
    pub fn set_services(&self, reading: Vec<facts::Service>) {
        *self.0.services.borrow_mut() = Some(reading);
    }

    /// Sets the network interfaces.
    pub fn set_interfaces(&self, reading: Vec<facts::NetworkInterface>) {
        *self.0.interfaces.borrow_mut() = Some(reading);
    }

    /// Sets the uptime.
    pub fn set_uptime(&self, reading: facts::UptimeFacts) {
        *self.0.uptime.borrow_mut() = Some(reading);
    }

    /// The lines that were logged.
    #[must_use]
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.0.log.borrow().clone()
    }

    /// The grants that were used.
    #[must_use]
    pub fn used(&self) -> BTreeSet<String> {
        self.0.used.borrow().clone()
    }

    fn note(&self, grant: String) {
        self.0.used.borrow_mut().insert(grant);
    }

    /// A fact that a test set, or the host's sentence.
    fn fact<T: Clone>(&self, kind: &str, value: &RefCell<Option<T>>) -> Result<T, facts::Error> {
        self.note(format!("host-facts:{kind}"));
        value.borrow().clone().ok_or_else(|| not_scripted(kind))
    }
}

fn not_scripted(kind: &str) -> facts::Error {
    facts::Error {
        kind: facts::ErrorKind::Unsupported,
        message: format!("this test sets no {kind} facts"),
    }
}

/// The grant of an HTTP request, from its URL.
fn http_grant(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let default_port = if scheme == "https" { 443 } else { 80 };
    match authority.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("http:{authority}"),
        _ => format!("http:{authority}:{default_port}"),
    }
}

impl Host for MockHost {
    type Stream = MockStream;
    type Datagrams = MockDatagrams;

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms.get()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic.get()
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }

    fn random(&self) -> u64 {
        // Knuth's constants: never the same twice, always the same in each test.
        let next = self
            .0
            .random
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0.random.set(next);
        next
    }

    fn log(&self, level: Level, message: &str, _fields: &[(String, String)]) {
        self.0.log.borrow_mut().push((level, message.to_owned()));
    }

    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.state.borrow().get(key).cloned())
    }

    fn state_set(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        // The contract's limits on one entry.
        if key.len() > 128 || value.len() > 16 * 1024 {
            return Err(StateError::TooLarge);
        }
        self.0.state.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn state_delete(&self, key: &str) -> Result<(), StateError> {
        self.0.state.borrow_mut().remove(key);
        Ok(())
    }

    fn secret_check(&self, name: &str) -> Result<(), SecretError> {
        self.note(format!("secret:{name}"));
        self.0
            .secrets
            .borrow()
            .get(name)
            .map(|_| ())
            .ok_or(SecretError::Missing)
    }

    fn secret_reveal(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        self.note(format!("secret-reveal:{name}"));
        self.0
            .secrets
            .borrow()
            .get(name)
            .cloned()
            .ok_or(SecretError::Missing)
    }

    fn fetch(&self, request: &http::Request) -> Result<http::Response, Box<http::Error>> {
        self.note(http_grant(&request.url));
        for (_, value) in &request.headers {
            if let http::HeaderValue::Secret(value) = value {
                self.note(format!("secret:{}", value.secret));
            }
        }
        if let Some(basic) = &request.basic_auth {
            self.note(format!("secret:{}", basic.password_secret));
        }
        if let Some(identity) = &request.tls.identity {
            self.note(format!("secret:{}", identity.key_secret));
        }
        self.0.requests.borrow_mut().push(request.clone());
        match self.0.fetch.borrow_mut().as_mut() {
            Some(handler) => handler(request),
            None => Err(Box::new(http::Error {
                kind: http::ErrorKind::Connect,
                message: format!("{}: this test serves nothing", request.url),
                peer: None,
                tls: None,
                elapsed_us: 0,
            })),
        }
    }

    fn echo(&self, request: &icmp::EchoRequest) -> Result<icmp::EchoResult, icmp::Error> {
        self.note(format!("icmp:{}", crate::need::bracketed(&request.host)));
        self.0.echoes.borrow_mut().pop_front().unwrap_or_else(|| {
            let message = format!("{}: this test answers no echo", request.host);
            Err(icmp::Error {
                kind: icmp::ErrorKind::Other,
                message,
            })
        })
    }

    fn resolve(&self, name: &str, _timeout: Duration) -> Result<Vec<IpAddr>, net::Error> {
        let missing = || net::Error::new(net::ErrorKind::NameResolution, format!("{name} has no address"));
        self.0.names.borrow().get(name).cloned().ok_or_else(missing)
    }

    fn connect(&self, peer: SocketAddr, timeout: Duration) -> Result<MockStream, net::Error> {
        self.note_peer("tcp", peer);
        network::connect(self, peer, timeout)
    }

    fn datagrams(&self, peer: SocketAddr) -> Result<MockDatagrams, net::Error> {
        self.note_peer("udp", peer);
        Ok(network::datagrams(self, peer))
    }

    fn cpu(&self) -> Result<facts::CpuFacts, facts::Error> {
        self.note("host-facts:cpu".to_owned());
        let mut readings = self.0.cpu.borrow_mut();
        let reading = if readings.len() > 1 {
            readings.pop_front()
        } else {
            readings.front().cloned()
        };
        reading.ok_or_else(|| not_scripted("cpu"))
    }

    fn memory(&self) -> Result<facts::MemoryFacts, facts::Error> {
        self.fact("memory", &self.0.memory)
    }

    fn disks(&self) -> Result<Vec<facts::FileSystem>, facts::Error> {
        self.fact("disk", &self.0.disks)
    }

    fn processes(&self) -> Result<Vec<facts::Process>, facts::Error> {
        self.fact("process", &self.0.processes)
    }

    fn services(&self, _patterns: &[String]) -> Result<Vec<facts::Service>, facts::Error> {
        self.fact("service", &self.0.services)
    }

    fn interfaces(&self) -> Result<Vec<facts::NetworkInterface>, facts::Error> {
        self.fact("interface", &self.0.interfaces)
    }

    fn uptime(&self) -> Result<facts::UptimeFacts, facts::Error> {
        self.fact("uptime", &self.0.uptime)
    }
}
