//! One question to one server, by UDP, by TCP, or by one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use picket_checker_sdk::host::{Datagrams as _, Stream as _};
use picket_checker_sdk::net::{Error, ErrorKind};
use picket_checker_sdk::{Connection, Context, Timer};

use crate::codec::message::{self, Answer};
use crate::codec::query::Query;
use crate::config::{Config, Server, Transport};

/// A datagram may get lost: so often it is sent.
const TRIES: u32 = 3;

/// A question that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) answer: Answer,
    pub(crate) seconds: f64,
    pub(crate) over_tcp: bool,
}

pub(crate) fn ask(
    ctx: &Context,
    config: &Config,
    server: &Server,
    query: &Query<'_>,
    timeout: Duration,
) -> Result<Exchange, Error> {
    let addresses = ctx.resolve(&server.host)?;
    let Some(address) = addresses.first() else {
        return Err(Error::new(
            ErrorKind::NameResolution,
            format!("{} has no address", server.host),
        ));
    };
    let peer = SocketAddr::new(*address, server.port);
    let timer = ctx.timer();
    if config.transport != Transport::Tcp {
        let answer = by_udp(ctx, peer, query, timeout)?;
        if !answer.truncated || config.transport == Transport::Udp {
            return Ok(Exchange {
                answer,
                seconds: timer.seconds(ctx),
                over_tcp: false,
            });
        }
    }
    let answer = by_tcp(ctx, peer, query, timer, timeout)?;
    Ok(Exchange {
        answer,
        seconds: timer.seconds(ctx),
        over_tcp: true,
    })
}

/// A number that an attacker off the path can't guess (RFC 5452).
fn question_id(ctx: &Context) -> u16 {
    let [.., high, low] = ctx.random().to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn by_udp(ctx: &Context, peer: SocketAddr, query: &Query<'_>, timeout: Duration) -> Result<Answer, Error> {
    let mut socket = ctx.datagrams(peer)?;
    let id = question_id(ctx);
    let question = query.encode(id);
    for _ in 0..TRIES {
        let timer = ctx.timer();
        let share = timeout / TRIES;
        socket.send(&question, share)?;
        loop {
            match socket.receive(share.saturating_sub(timer.elapsed(ctx))) {
                Ok(bytes) if message::answers(&bytes, query, id) => return read(&bytes, query, peer),
                // Somebody else's: the answer may still come.
                Ok(_) => {}
                Err(error) if error.kind == ErrorKind::Timeout => break,
                Err(error) => return Err(error),
            }
        }
    }
    Err(Error::new(
        ErrorKind::Timeout,
        format!(
            "{peer} didn't answer by UDP within {:.1} s",
            timeout.as_secs_f64()
        ),
    ))
}

fn by_tcp(
    ctx: &Context,
    peer: SocketAddr,
    query: &Query<'_>,
    timer: Timer,
    timeout: Duration,
) -> Result<Answer, Error> {
    let left = || timeout.saturating_sub(timer.elapsed(ctx));
    let mut connection = ctx.connect(peer, left())?;
    let id = question_id(ctx);
    let question = query.encode(id);
    // Over TCP a length stands before each message (RFC 1035 §4.2.2).
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    let framed = [&length.to_be_bytes()[..], &question].concat();
    connection.write(&framed, left())?;
    let head = read_exactly(&mut connection, 2, peer, left)?;
    let length = head
        .iter()
        .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let bytes = read_exactly(&mut connection, length, peer, left)?;
    if !message::answers(&bytes, query, id) {
        return Err(Error::new(
            ErrorKind::Other,
            format!("{peer} answered another question by TCP"),
        ));
    }
    read(&bytes, query, peer)
}

fn read_exactly(
    connection: &mut Connection,
    count: usize,
    peer: SocketAddr,
    left: impl Fn() -> Duration,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let more = connection.read(count - bytes.len(), left())?;
        if more.is_empty() {
            return Err(Error::new(
                ErrorKind::Reset,
                format!("{peer} closed the connection within its answer"),
            ));
        }
        bytes.extend(more);
    }
    Ok(bytes)
}

fn read(bytes: &[u8], query: &Query<'_>, peer: SocketAddr) -> Result<Answer, Error> {
    message::read(bytes, query).map_err(|error| {
        Error::new(
            ErrorKind::Other,
            format!("{peer} sent a malformed answer: {error}"),
        )
    })
}
