//! The host of a component: the contract's interfaces and WASI 0.2.
//!
//! It compiles on native targets too, so that one build checks all of it, but only a component may call it.

mod sockets;
mod wait;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Host;
use crate::bindings::picket::checker as contract;
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::random::random;
use crate::{Level, SecretError, StateError, facts, http, icmp, net};

pub use sockets::{WasiDatagrams, WasiStream};

/// The host of a component.
#[derive(Debug, Clone, Copy, Default)]
pub struct WasiHost;

impl Host for WasiHost {
    type Stream = WasiStream;
    type Datagrams = WasiDatagrams;

    fn unix_ms(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds
            .saturating_mul(1_000)
            .saturating_add(u64::from(now.nanoseconds / 1_000_000))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn sleep(&self, duration: Duration) {
        wait::sleep(duration);
    }

    fn random(&self) -> u64 {
        random::get_random_u64()
    }

    fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        contract::log::log(level, message, fields);
    }

    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        contract::state::get(key)
    }

    fn state_set(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        contract::state::set(key, value)
    }

    fn state_delete(&self, key: &str) -> Result<(), StateError> {
        contract::state::delete(key)
    }

    fn secret_check(&self, name: &str) -> Result<(), SecretError> {
        contract::secret::check(name)
    }

    fn secret_reveal(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        contract::secret::reveal(name)
    }

    fn fetch(&self, request: &http::Request) -> Result<http::Response, Box<http::Error>> {
        contract::http::fetch(request).map_err(Box::new)
    }

    fn echo(&self, request: &icmp::EchoRequest) -> Result<icmp::EchoResult, icmp::Error> {
        contract::icmp::echo(request)
    }

    fn resolve(&self, name: &str, timeout: Duration) -> Result<Vec<IpAddr>, net::Error> {
        sockets::resolve(name, timeout)
    }

    fn connect(&self, peer: SocketAddr, timeout: Duration) -> Result<WasiStream, net::Error> {
        sockets::connect(peer, timeout)
    }

    fn datagrams(&self, peer: SocketAddr) -> Result<WasiDatagrams, net::Error> {
        sockets::datagrams(peer)
    }

    fn cpu(&self) -> Result<facts::CpuFacts, facts::Error> {
        contract::host_facts::cpu()
    }

    fn memory(&self) -> Result<facts::MemoryFacts, facts::Error> {
        contract::host_facts::memory()
    }

    fn disks(&self) -> Result<Vec<facts::FileSystem>, facts::Error> {
        contract::host_facts::disks()
    }

    fn processes(&self) -> Result<Vec<facts::Process>, facts::Error> {
        contract::host_facts::processes()
    }

    fn services(&self, patterns: &[String]) -> Result<Vec<facts::Service>, facts::Error> {
        contract::host_facts::services(patterns)
    }

    fn interfaces(&self) -> Result<Vec<facts::NetworkInterface>, facts::Error> {
        contract::host_facts::interfaces()
    }

    fn uptime(&self) -> Result<facts::UptimeFacts, facts::Error> {
        contract::host_facts::uptime()
    }
}
