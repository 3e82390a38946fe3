//! Everything that a run may ask of its host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::picket::checker::types;
use crate::host::{Current, Host};
use crate::{Error, Level, SecretError, facts, http, icmp, net};

/// Left of a run's time for its report, at most: a checker that answers "timed out" says more than a run that the
/// host has to stop.
const LONGEST_MARGIN: Duration = Duration::from_millis(250);

/// A TCP connection, or TLS over one. Its methods are those of [`host::Stream`](crate::host::Stream).
pub type Connection = <Current as Host>::Stream;
/// A UDP socket with one peer. Its methods are those of [`host::Datagrams`](crate::host::Datagrams).
pub type Datagrams = <Current as Host>::Datagrams;

/// One run, as the host asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The check's name on this agent.
    pub check: String,
    /// The wall time that the run has.
    pub timeout: Duration,
    /// When the run was due.
    pub scheduled_at_unix_ms: u64,
}

impl From<types::Request> for Run {
    fn from(request: types::Request) -> Self {
        Self {
            check: request.check,
            timeout: Duration::from_millis(request.timeout_ms),
            scheduled_at_unix_ms: request.scheduled_at_unix_ms,
        }
    }
}

/// Measures from where [`Context::timer`] was called.
#[derive(Debug, Clone, Copy)]
pub struct Timer(Duration);

impl Timer {
    /// The time since.
    #[must_use]
    pub fn elapsed(self, context: &Context) -> Duration {
        context.host.monotonic().saturating_sub(self.0)
    }

    /// The time since, in seconds.
    #[must_use]
    pub fn seconds(self, context: &Context) -> f64 {
        self.elapsed(context).as_secs_f64()
    }
}

/// One run and its host.
pub struct Context {
    run: Run,
    host: Current,
    started: Timer,
}

impl Context {
    /// A run on a host.
    #[must_use]
    pub fn new(run: Run, host: Current) -> Self {
        let started = Timer(host.monotonic());
        Self { run, host, started }
    }

    /// The run as the host asked for it.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What is left of the run's time, less a margin for the report.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let margin = (self.run.timeout / 10).min(LONGEST_MARGIN);
        self.run
            .timeout
            .saturating_sub(margin)
            .saturating_sub(self.started.elapsed(self))
    }

    /// The wall clock, in milliseconds since 1970.
    #[must_use]
    pub fn now_unix_ms(&self) -> u64 {
        self.host.unix_ms()
    }

    /// Starts measuring.
    #[must_use]
    pub fn timer(&self) -> Timer {
        Timer(self.host.monotonic())
    }

    /// Waits.
    pub fn sleep(&self, duration: Duration) {
        self.host.sleep(duration);
    }

    /// Random bits that a peer can't guess.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.host.random()
    }

    /// Writes a line for the one who looks into a check that misbehaves.
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.host.log(level, message, &fields);
    }

    /// What an earlier run of this check stored. `None` too where the store can't be read or holds something else:
    /// state is a hint.
    #[must_use]
    pub fn state<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        match self.host.state_get(key) {
            Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            Err(error) => {
                self.log(
                    Level::Warn,
                    "state can't be read",
                    &[("key", key), ("error", error.message())],
                );
                None
            }
        }
    }

    /// Stores a value for later runs, as far as the host can.
    pub fn set_state<T: Serialize>(&self, key: &str, value: &T) {
        let stored = serde_json::to_vec(value)
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                self.host
                    .state_set(key, &bytes)
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = stored {
            self.log(
                Level::Warn,
                "state can't be written",
                &[("key", key), ("error", &error)],
            );
        }
    }

    /// The bytes of a secret. Only for protocols that the checker itself speaks: `http` and `tls` take secrets by name.
    ///
    /// # Errors
    ///
    /// It isn't granted or isn't there.
    pub fn reveal_secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.host.secret_reveal(name).map_err(|error| match error {
            SecretError::Denied => Error::denied(format!(
                "the host refused the secret `{name}`; allow it with `secret-reveal:{name}` in the check's `allow` list"
            )),
            SecretError::Missing => Error::failed(format!("the host has no secret `{name}`; store it there first")),
        })
    }

    /// Whether a secret is granted and there.
    ///
    /// # Errors
    ///
    /// Which of the two it isn't.
    pub fn check_secret(&self, name: &str) -> Result<(), Error> {
        self.host.secret_check(name).map_err(|error| match error {
            SecretError::Denied => Error::denied(format!(
                "the host refused the secret `{name}`; allow it with `secret:{name}` in the check's `allow` list"
            )),
            SecretError::Missing => Error::failed(format!("the host has no secret `{name}`; store it there first")),
        })
    }

    /// Makes one HTTP request.
    ///
    /// # Errors
    ///
    /// There was no response, or the host refused.
    pub fn fetch(&self, request: &http::Request) -> Result<http::Response, Box<http::Error>> {
        self.host.fetch(request)
    }

    /// Sends a train of ICMP echo requests.
    ///
    /// # Errors
    ///
    /// None could be sent.
    pub fn echo(&self, request: &icmp::EchoRequest) -> Result<icmp::EchoResult, icmp::Error> {
        self.host.echo(request)
    }

    /// The addresses of a host name; an address is its own.
    ///
    /// # Errors
    ///
    /// The name has none, the time is over, or the host refused.
    pub fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, net::Error> {
        match net::literal(host, 0) {
            Some(address) => Ok(vec![address.ip()]),
            None => self.host.resolve(host, self.time_left()),
        }
    }

    /// Opens a TCP connection within what is left of the run's time, or `timeout` if that is shorter.
    ///
    /// # Errors
    ///
    /// Nobody answered, or the host refused.
    pub fn connect(&self, peer: SocketAddr, timeout: Duration) -> Result<Connection, net::Error> {
        self.host.connect(peer, timeout.min(self.time_left()))
    }

    /// Opens a TCP connection to the first address of a host name that answers.
    ///
    /// # Errors
    ///
    /// No address answered (the last one's failure), or the host refused.
    pub fn connect_host(&self, host: &str, port: u16) -> Result<Connection, net::Error> {
        let addresses = self.resolve(host)?;
        let mut failure = net::Error::new(net::ErrorKind::NameResolution, format!("{host} has no address"));
        for (index, address) in addresses.iter().enumerate() {
            // A silent first address must leave time for the others.
            let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match self.connect(SocketAddr::new(*address, port), self.time_left() / share) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Opens a UDP socket for one peer.
    ///
    /// # Errors
    ///
    /// The host refused or has no sockets left.
    pub fn datagrams(&self, peer: SocketAddr) -> Result<Datagrams, net::Error> {
        self.host.datagrams(peer)
    }

    /// Processor times, load, pressure.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn cpu(&self) -> Result<facts::CpuFacts, facts::Error> {
        self.host.cpu()
    }

    /// Memory, swap, pressure.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn memory(&self) -> Result<facts::MemoryFacts, facts::Error> {
        self.host.memory()
    }

    /// Mounted file systems.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn disks(&self) -> Result<Vec<facts::FileSystem>, facts::Error> {
        self.host.disks()
    }

    /// Processes.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn processes(&self) -> Result<Vec<facts::Process>, facts::Error> {
        self.host.processes()
    }

    /// Units of the service manager whose name matches one of the glob patterns.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn services(&self, patterns: &[String]) -> Result<Vec<facts::Service>, facts::Error> {
        self.host.services(patterns)
    }

    /// Network interfaces.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn interfaces(&self) -> Result<Vec<facts::NetworkInterface>, facts::Error> {
        self.host.interfaces()
    }

    /// Time since boot, kernel, users.
    ///
    /// # Errors
    ///
    /// Not granted, or this machine doesn't say.
    pub fn uptime(&self) -> Result<facts::UptimeFacts, facts::Error> {
        self.host.uptime()
    }
}
