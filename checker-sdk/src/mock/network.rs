//! Scripted peers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::MockHost;
use crate::host::{Datagrams, Stream};
use crate::net::{Error, ErrorKind};
use crate::tls;

type Handler = Rc<RefCell<dyn FnMut(&[u8]) -> Vec<u8>>>;
pub(super) type Responder = Rc<RefCell<dyn FnMut(&[u8]) -> Vec<Vec<u8>>>>;

/// What listens at an address.
#[derive(Clone)]
pub(super) struct Listener {
    greeting: Vec<u8>,
    handler: Handler,
    closes: bool,
    latency: Duration,
    failure: Option<Error>,
}

impl MockHost {
    /// Something listens at `peer` and answers what is written to it.
    pub fn listen(&self, peer: &str, handler: impl FnMut(&[u8]) -> Vec<u8> + 'static) {
        self.add_listener(peer, |listener| {
            listener.handler = Rc::new(RefCell::new(handler));
        });
    }

    /// Something listens at `peer`, says `greeting` at once, and closes if `closes`.
    pub fn greet(&self, peer: &str, greeting: &[u8], closes: bool) {
        self.add_listener(peer, |listener| {
            listener.greeting = greeting.to_vec();
            listener.closes = closes;
        });
    }

    /// Something listens at `peer`, says `greeting` at once, and answers what is written to it.
    pub fn converse(&self, peer: &str, greeting: &[u8], handler: impl FnMut(&[u8]) -> Vec<u8> + 'static) {
        self.add_listener(peer, |listener| {
            listener.greeting = greeting.to_vec();
            listener.handler = Rc::new(RefCell::new(handler));
        });
    }

    /// A connection to `peer` fails.
    pub fn refuse(&self, peer: &str, kind: ErrorKind, message: &str) {
        self.add_listener(peer, |listener| {
            listener.failure = Some(Error::new(kind, message));
        });
    }

    /// A connection to `peer`, which must listen already, takes so long.
    pub fn delay(&self, peer: &str, latency: Duration) {
        if let Some(listener) = peer
            .parse()
            .ok()
            .and_then(|peer| self.0.tcp.borrow().get(&peer).cloned())
        {
            self.add_listener(peer, |slot| *slot = Listener { latency, ..listener });
        }
    }

    /// Something answers each datagram sent to `peer` with any number of datagrams.
    pub fn answer_datagrams(&self, peer: &str, responder: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) {
        if let Ok(peer) = peer.parse() {
            self.0
                .udp
                .borrow_mut()
                .insert(peer, Rc::new(RefCell::new(responder)));
        }
    }

    fn add_listener(&self, peer: &str, set: impl FnOnce(&mut Listener)) {
        let Ok(peer) = peer.parse::<SocketAddr>() else {
            return;
        };
        let mut listener = Listener {
            greeting: Vec::new(),
            handler: Rc::new(RefCell::new(|_: &[u8]| Vec::new())),
            closes: false,
            latency: Duration::ZERO,
            failure: None,
        };
        set(&mut listener);
        self.0.tcp.borrow_mut().insert(peer, listener);
    }

    /// Writes down a peer as every grant that would have allowed it: its address, and each name that has it.
    pub(super) fn note_peer(&self, protocol: &str, peer: SocketAddr) {
        let names: Vec<String> = self
            .0
            .names
            .borrow()
            .iter()
            .filter(|(_, list)| list.contains(&peer.ip()))
            .map(|(name, _)| name.clone())
            .collect();
        match names.as_slice() {
            [] => self.note(format!("{protocol}:{peer}")),
            names => names
                .iter()
                .for_each(|name| self.note(format!("{protocol}:{name}:{}", peer.port()))),
        }
    }
}

pub(super) fn connect(host: &MockHost, peer: SocketAddr, timeout: Duration) -> Result<MockStream, Error> {
    let Some(listener) = host.0.tcp.borrow().get(&peer).cloned() else {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("{peer}: connection refused"),
        ));
    };
    if listener.latency > timeout {
        host.advance(timeout);
        return Err(Error::new(ErrorKind::Timeout, format!("{peer}: timed out")));
    }
    host.advance(listener.latency);
    match listener.failure {
        Some(failure) => Err(failure),
        None => Ok(MockStream {
            host: host.clone(),
            peer,
            ready: listener.greeting.into(),
            handler: listener.handler,
            closes: listener.closes,
        }),
    }
}

pub(super) fn datagrams(host: &MockHost, peer: SocketAddr) -> MockDatagrams {
    let responder = host.0.udp.borrow().get(&peer).cloned();
    MockDatagrams {
        host: host.clone(),
        peer,
        ready: VecDeque::new(),
        responder,
    }
}

/// A connection to a scripted peer.
pub struct MockStream {
    host: MockHost,
    peer: SocketAddr,
    ready: VecDeque<u8>,
    handler: Handler,
    closes: bool,
}

impl Stream for MockStream {
    fn read(&mut self, most: usize, timeout: Duration) -> Result<Vec<u8>, Error> {
        if self.ready.is_empty() && !self.closes {
            self.host.advance(timeout);
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("{}: timed out", self.peer),
            ));
        }
        let count = most.min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    fn write(&mut self, bytes: &[u8], _timeout: Duration) -> Result<(), Error> {
        let answer = (self.handler.borrow_mut())(bytes);
        self.ready.extend(answer);
        Ok(())
    }

    fn upgrade(self, options: &tls::Options) -> Result<(Self, tls::Session), tls::Error> {
        self.host.0.tls_options.borrow_mut().push(options.clone());
        let answer = self.host.0.tls.borrow_mut().pop_front().unwrap_or_else(|| {
            let message = format!("{}: this test answers no handshake", self.peer);
            Err(tls::Error {
                kind: tls::ErrorKind::Handshake,
                message,
            })
        });
        answer.map(|session| (self, session))
    }
}

/// A UDP socket with a scripted peer.
pub struct MockDatagrams {
    host: MockHost,
    peer: SocketAddr,
    ready: VecDeque<Vec<u8>>,
    responder: Option<Responder>,
}

impl Datagrams for MockDatagrams {
    fn send(&mut self, payload: &[u8], _timeout: Duration) -> Result<(), Error> {
        if let Some(responder) = &self.responder {
            let answers = (responder.borrow_mut())(payload);
            self.ready.extend(answers);
        }
        Ok(())
    }

    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, Error> {
        self.ready.pop_front().ok_or_else(|| {
            self.host.advance(timeout);
            Error::new(ErrorKind::Timeout, format!("{}: timed out", self.peer))
        })
    }
}
