//! The one place where a run's network access is decided, counted and remembered.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::grant::{Denied, Grant, GrantSet, HostPattern, PortRange, Protocol, Target};

use super::learn::Learning;
use super::resolve::{ResolveError, Resolver};

/// Sentences kept for the operator.
const MAX_DENIALS: usize = 16;
/// Addresses that look-ups of one run may pin; a name server that answers with more is not an ordinary one.
const MAX_PINS: usize = 1024;

/// Why a target can't be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("{0}")]
    Unresolved(#[from] ResolveError),
    #[error("{0}")]
    Invalid(String),
}

/// The run has moved more bytes than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it moved more than {} MiB over the network, which is its limit", self.limit >> 20)]
pub(crate) struct BytesSpent {
    limit: u64,
}

/// One run's grants, the addresses that its look-ups returned, and what was refused and counted.
pub(crate) struct Guard {
    grants: Arc<GrantSet>,
    resolver: Arc<dyn Resolver>,
    pins: Mutex<HashMap<IpAddr, BTreeSet<String>>>,
    denials: Mutex<Vec<String>>,
    calls: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// In and out together.
    byte_limit: u64,
    learning: Option<Learning>,
}

fn network(protocol: Protocol, name: &str, port: u16) -> Grant {
    Grant::Network {
        protocol,
        host: HostPattern::Name(name.to_owned()),
        ports: PortRange::single(port),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    pub(crate) fn new(grants: Arc<GrantSet>, resolver: Arc<dyn Resolver>) -> Self {
        let learning = grants.is_learning().then(Learning::default);
        Self {
            grants,
            resolver,
            pins: Mutex::default(),
            denials: Mutex::default(),
            calls: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            learning,
            byte_limit: u64::MAX,
        }
    }

    /// The same, with a limit on the bytes that the run may move, in and out together.
    pub(crate) fn moving_at_most(mut self, bytes: u64) -> Self {
        self.byte_limit = bytes;
        self
    }

    /// What a run that learns has used beyond its grants; nothing of any other run.
    pub(crate) fn learned(&self) -> Vec<Grant> {
        self.learning.as_ref().map(Learning::uses).unwrap_or_default()
    }

    pub(crate) fn grants(&self) -> &GrantSet {
        &self.grants
    }

    /// What was refused may be what a run that learns is to find out.
    fn lift(&self, answer: Result<(), Denied>) -> Result<(), Denied> {
        match (&self.learning, answer) {
            (Some(learning), Err(denied)) if learning.permits(&denied.missing) => Ok(()),
            (_, answer) => answer,
        }
    }

    /// Remembers a refusal for the operator and hands it on.
    pub(crate) fn note(&self, answer: Result<(), Denied>) -> Result<(), Denied> {
        let answer = self.lift(answer);
        if let Err(denied) = &answer {
            let mut denials = locked(&self.denials);
            let sentence = denied.to_string();
            if denials.len() < MAX_DENIALS && !denials.contains(&sentence) {
                denials.push(sentence);
            }
        }
        answer
    }

    pub(crate) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was moved already. An error is final: every later count gives it too.
    pub(crate) fn count_bytes(&self, received: usize, sent: usize) -> Result<(), BytesSpent> {
        self.bytes_in.fetch_add(received as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(sent as u64, Ordering::Relaxed);
        self.within_bytes()
    }

    pub(crate) fn within_bytes(&self) -> Result<(), BytesSpent> {
        let (_, received, sent) = self.counted();
        if received.saturating_add(sent) > self.byte_limit {
            return Err(BytesSpent {
                limit: self.byte_limit,
            });
        }
        Ok(())
    }

    /// Calls, bytes in, bytes out.
    pub(crate) fn counted(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.calls), read(&self.bytes_in), read(&self.bytes_out))
    }

    pub(crate) fn denials(&self) -> Vec<String> {
        locked(&self.denials).clone()
    }

    /// The addresses at which a target may be reached: name first, then each address. Refused where none is left.
    pub(crate) async fn reach(
        &self,
        protocol: Protocol,
        target: &Target,
        port: u16,
    ) -> Result<Vec<IpAddr>, Refusal> {
        self.note(self.grants.allows_target(protocol, target, port))?;
        match target {
            Target::Address(address) => Ok(vec![*address]),
            Target::Name(name) => {
                let found = self.resolver.resolve(name).await?;
                let grants = self.grants_with(|| network(protocol, name, port));
                self.filter(found, |address| {
                    grants.allows_resolved(protocol, name, address, port)
                })
            }
        }
    }

    /// As [`reach`](Self::reach), for ICMP.
    pub(crate) async fn reach_icmp(&self, target: &Target) -> Result<Vec<IpAddr>, Refusal> {
        self.note(self.grants.allows_icmp(target))?;
        match target {
            Target::Address(address) => Ok(vec![*address]),
            Target::Name(name) => {
                let found = self.resolver.resolve(name).await?;
                let grants = self.grants_with(|| Grant::Icmp(HostPattern::Name(name.clone())));
                self.filter(found, |address| grants.allows_icmp_resolved(name, address))
            }
        }
    }

    fn filter(
        &self,
        found: Vec<IpAddr>,
        allowed: impl Fn(IpAddr) -> Result<(), Denied>,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let mut reachable = Vec::new();
        let mut refusal = None;
        for address in found {
            match self.lift(allowed(address)) {
                Ok(()) => reachable.push(address),
                Err(denied) => refusal = refusal.or(Some(denied)),
            }
        }
        match refusal {
            Some(denied) if reachable.is_empty() => {
                self.note(Err(denied))?;
                Ok(reachable)
            }
            _ => Ok(reachable),
        }
    }

    /// Looks up a name for sockets and pins the answers: only these addresses may be connected to under the name.
    pub(crate) async fn lookup(&self, text: &str) -> Result<Vec<IpAddr>, Refusal> {
        self.count_call();
        match Target::parse(text).map_err(Refusal::Invalid)? {
            Target::Address(address) => Ok(vec![address]),
            Target::Name(name) => {
                self.note(self.grants.allows_lookup(&name))?;
                let found = self.resolver.resolve(&name).await?;
                let mut pins = locked(&self.pins);
                for address in &found {
                    if pins.len() < MAX_PINS || pins.contains_key(address) {
                        pins.entry(*address).or_default().insert(name.clone());
                    }
                }
                Ok(found)
            }
        }
    }

    /// Whether a socket may send to a peer: its address is granted, or was pinned under a name that is.
    pub(crate) fn allows_peer(&self, protocol: Protocol, peer: SocketAddr) -> bool {
        let (address, port) = (peer.ip().to_canonical(), peer.port());
        let direct = self.grants.allows_address(protocol, address, port);
        if direct.is_ok() {
            return true;
        }
        let names = locked(&self.pins).get(&address).cloned().unwrap_or_default();
        let mut answer = direct;
        for name in &names {
            answer = self.grants.allows_resolved(protocol, name, address, port);
            if answer.is_ok() {
                return true;
            }
        }
        let Some(name) = names.last().filter(|_| self.learning.is_some()) else {
            return self.note(answer).is_ok();
        };
        let grants = self.grants_with(|| network(protocol, name, port));
        self.note(answer).is_ok()
            && self
                .note(grants.allows_resolved(protocol, name, address, port))
                .is_ok()
    }

    /// The grants; for a run that learns with the one for a name that it was just let reach, so that the rules for the name's
    /// addresses are asked as for every other run.
    fn grants_with(&self, name: impl FnOnce() -> Grant) -> Cow<'_, GrantSet> {
        if self.learning.is_none() {
            return Cow::Borrowed(&self.grants);
        }
        let own = self.grants.grants().iter().cloned();
        Cow::Owned(own.chain([name()]).collect())
    }

    /// Whether a datagram from this address may reach the checker: as for sending, but nothing is noted.
    pub(crate) fn expects_from(&self, peer: SocketAddr) -> bool {
        let (address, port) = (peer.ip().to_canonical(), peer.port());
        let names = locked(&self.pins).get(&address).cloned().unwrap_or_default();
        // Nobody is surprised by an answer while a run learns whom it asks.
        self.learning.is_some()
            || self.grants.allows_address(Protocol::Udp, address, port).is_ok()
            || names.iter().any(|name| {
                self.grants
                    .allows_resolved(Protocol::Udp, name, address, port)
                    .is_ok()
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Answers with one address the first time and with another one ever after.
    struct Rebinding(Mutex<Vec<IpAddr>>);

    #[async_trait::async_trait]
    impl Resolver for Rebinding {
        async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
            let within = Duration::ZERO;
            let answer = self.0.lock().unwrap().pop();
            answer.map(|address| vec![address]).ok_or(ResolveError::Timeout {
                name: name.to_owned(),
                within,
            })
        }
    }

    fn learning(answers: &[&str]) -> Guard {
        with_answers(GrantSet::default().learning(), answers)
    }

    fn guard(lines: &[&str], answers: &[&str]) -> Guard {
        with_answers(GrantSet::parse(lines).unwrap(), answers)
    }

    fn with_answers(grants: GrantSet, answers: &[&str]) -> Guard {
        let answers = answers.iter().rev().map(|text| text.parse().unwrap()).collect();
        Guard::new(Arc::new(grants), Arc::new(Rebinding(Mutex::new(answers))))
    }

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn only_pinned_addresses_may_be_connected_to_under_a_name() {
        let guard = guard(&["tcp:db.example:80"], &["10.0.0.1"]);
        assert!(!guard.allows_peer(Protocol::Tcp, peer("10.0.0.1:80")));
        guard.lookup("db.example").await.unwrap();
        assert!(guard.allows_peer(Protocol::Tcp, peer("10.0.0.1:80")));
        assert!(guard.allows_peer(Protocol::Tcp, peer("[::ffff:10.0.0.1]:80")));
        assert!(!guard.allows_peer(Protocol::Tcp, peer("10.0.0.1:81")));
        assert!(!guard.allows_peer(Protocol::Udp, peer("10.0.0.1:80")));
        assert!(!guard.allows_peer(Protocol::Tcp, peer("10.0.0.2:80")));
    }

    #[tokio::test]
    async fn a_name_that_is_rebound_to_loopback_stays_refused() {
        let guard = guard(
            &["tcp:db.example:80", "http:db.example:80"],
            &["10.0.0.1", "127.0.0.1", "127.0.0.1"],
        );
        guard.lookup("db.example").await.unwrap();
        guard.lookup("db.example").await.unwrap();
        assert!(!guard.allows_peer(Protocol::Tcp, peer("127.0.0.1:80")));
        assert!(
            guard
                .denials()
                .iter()
                .any(|line| line.contains("tcp:127.0.0.1:80")),
            "{:?}",
            guard.denials()
        );
        let name = Target::Name("db.example".to_owned());
        assert!(matches!(
            guard.reach(Protocol::Http, &name, 80).await,
            Err(Refusal::Denied(_))
        ));
    }

    #[tokio::test]
    async fn a_name_that_is_not_granted_is_not_even_looked_up() {
        let guard = guard(&["tcp:db.example:80"], &[]);
        assert!(matches!(
            guard.lookup("secrets.evil.example").await,
            Err(Refusal::Denied(_))
        ));
    }

    #[test]
    fn bytes_beyond_the_limit_are_counted_and_refused_for_good() {
        let guard = guard(&[], &[]).moving_at_most(3 << 20);
        guard.count_bytes(1 << 20, 2 << 20).unwrap();
        let spent = guard.count_bytes(1, 0).unwrap_err().to_string();
        assert!(spent.contains("more than 3 MiB"), "{spent}");
        assert!(guard.within_bytes().is_err());
        assert_eq!(guard.counted(), (0, (1 << 20) + 1, 2 << 20));
    }

    #[tokio::test]
    async fn a_run_that_learns_reaches_by_name_and_remembers_the_port() {
        let guard = learning(&["10.0.0.1"]);
        guard.lookup("db.example").await.unwrap();
        assert!(guard.allows_peer(Protocol::Tcp, peer("10.0.0.1:5432")));
        let learned: Vec<_> = guard.learned().iter().map(ToString::to_string).collect();
        assert_eq!(learned, ["tcp:db.example:5432"]);
        assert!(guard.denials().is_empty());
    }

    #[tokio::test]
    async fn a_run_that_learns_is_not_led_to_a_metadata_service() {
        let guard = learning(&["169.254.169.254", "169.254.169.254"]);
        guard.lookup("innocent.example").await.unwrap();
        assert!(!guard.allows_peer(Protocol::Tcp, peer("169.254.169.254:80")));
        let name = Target::Name("innocent.example".to_owned());
        assert!(guard.reach(Protocol::Http, &name, 80).await.is_err());
    }

    #[tokio::test]
    async fn a_name_at_loopback_is_learned_with_its_address() {
        let guard = learning(&["127.0.0.1"]);
        guard.lookup("db.example").await.unwrap();
        assert!(guard.allows_peer(Protocol::Tcp, peer("127.0.0.1:80")));
        let learned: Vec<_> = guard.learned().iter().map(ToString::to_string).collect();
        assert_eq!(learned, ["tcp:127.0.0.1:80", "tcp:db.example:80"]);
    }

    #[tokio::test]
    async fn refusals_are_kept_once_and_bounded() {
        let guard = guard(&[], &[]);
        for port in 1..100 {
            guard.allows_peer(Protocol::Tcp, SocketAddr::from(([10, 0, 0, 1], port)));
            guard.allows_peer(Protocol::Tcp, SocketAddr::from(([10, 0, 0, 1], port)));
        }
        assert_eq!(guard.denials().len(), MAX_DENIALS);
    }
}
