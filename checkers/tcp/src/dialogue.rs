//! What is said over one connection.

use std::net::SocketAddr;
use std::time::Duration;

use picket_checker_sdk::host::Stream;
use picket_checker_sdk::net::{Error, ErrorKind};
use picket_checker_sdk::tls::{self, Session};
use picket_checker_sdk::{Connection, Context, Timer};

use crate::config::Config;
use crate::starttls::Plain;

/// The expected text must come within so many bytes.
pub(crate) const MOST_BYTES: usize = 64 * 1024;
/// Of what was received, so much is shown.
const SHOWN_BYTES: usize = 256;

/// A conversation that went as expected.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) connect_s: f64,
    pub(crate) response_s: Option<f64>,
    pub(crate) session: Option<Session>,
    /// The start of what was received.
    pub(crate) received: String,
}

pub(crate) fn hold(
    ctx: &Context,
    config: &Config,
    peer: SocketAddr,
    timeout: Duration,
) -> Result<Conversation, Error> {
    let timer = ctx.timer();
    let mut connection = ctx.connect(peer, timeout)?;
    let connect_s = timer.seconds(ctx);
    let mut session = None;
    if let Some(protocol) = config.tls.starttls {
        let mut plain = Plain {
            ctx,
            connection: &mut connection,
            peer,
            timer,
            timeout,
            ahead: Vec::new(),
        };
        plain.negotiate(protocol)?;
    }
    if config.tls.enabled || config.tls.starttls.is_some() {
        let (secured, agreed) = secure(config, peer, connection, left(ctx, timer, timeout))?;
        if agreed.trusted.is_err() && !config.tls.insecure {
            // Its chain is evidence enough; what is to be sent may not be for a stranger.
            return Ok(Conversation {
                connect_s,
                response_s: None,
                session: Some(agreed),
                received: String::new(),
            });
        }
        connection = secured;
        session = Some(agreed);
    }
    let talking = ctx.timer();
    if let Some(text) = &config.send {
        connection.write(&unescape(text), left(ctx, timer, timeout))?;
    }
    let mut received = Vec::new();
    let mut response_s = None;
    if let Some(text) = &config.expect {
        let wanted = unescape(text);
        received = wait_for(ctx, &mut connection, &wanted, peer, timer, timeout)?;
        response_s = Some(talking.seconds(ctx));
    }
    Ok(Conversation {
        connect_s,
        response_s,
        session,
        received: shown(&received),
    })
}

pub(crate) fn left(ctx: &Context, timer: Timer, timeout: Duration) -> Duration {
    timeout.saturating_sub(timer.elapsed(ctx))
}

fn secure(
    config: &Config,
    peer: SocketAddr,
    connection: Connection,
    timeout: Duration,
) -> Result<(Connection, Session), Error> {
    let server_name = config.tls.server_name.as_deref().unwrap_or(&config.host);
    let mut options = tls::Options::new(server_name, timeout);
    options.trust = tls::trust(config.tls.ca.as_deref());
    // Go on in any case: a peer that isn't trusted still shows its chain, and the verdict is drawn from it.
    options.require_trusted = false;
    connection.upgrade(&options).map_err(|error| {
        let kind = match error.kind {
            tls::ErrorKind::Denied => ErrorKind::Denied,
            tls::ErrorKind::Timeout => ErrorKind::Timeout,
            _ => ErrorKind::Other,
        };
        Error::new(kind, format!("{peer}: TLS: {}", error.message))
    })
}

fn wait_for(
    ctx: &Context,
    connection: &mut Connection,
    wanted: &[u8],
    peer: SocketAddr,
    timer: Timer,
    timeout: Duration,
) -> Result<Vec<u8>, Error> {
    let mut received: Vec<u8> = Vec::new();
    let missing = |received: &[u8], why: &str| {
        let message = format!(
            "{peer}: expected `{}`, received `{}`{why}",
            shown(wanted),
            shown(received)
        );
        Error::new(ErrorKind::Other, message)
    };
    while !contains(&received, wanted) {
        if received.len() >= MOST_BYTES {
            return Err(missing(&received, " and more than 64 KiB"));
        }
        match connection.read(4096, left(ctx, timer, timeout)) {
            Ok(bytes) if bytes.is_empty() => return Err(missing(&received, ", then the peer closed")),
            Ok(bytes) => received.extend(bytes),
            Err(error) if error.kind == ErrorKind::Timeout => {
                return Err(missing(&received, ", then nothing more"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(received)
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

/// The start of what may be any bytes, on one line.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)])
        .escape_debug()
        .to_string()
}

/// `\r`, `\n`, `\t`, `\\`, `\xHH`; any other backslash stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        bytes.extend(&rest.as_bytes()[..position]);
        let after = &rest[position + 1..];
        let hex = after.strip_prefix('x').and_then(|hex| hex.get(..2));
        let (byte, length) = match (
            after.bytes().next(),
            hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        ) {
            (_, Some(byte)) => (byte, 3),
            (Some(b'r'), _) => (b'\r', 1),
            (Some(b'n'), _) => (b'\n', 1),
            (Some(b't'), _) => (b'\t', 1),
            (Some(b'\\'), _) => (b'\\', 1),
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_escapes_and_leaves_the_rest() {
        assert_eq!(
            unescape(r"EHLO x\r\n\x00\\ ä\q\"),
            "EHLO x\r\n\0\\ ä\\q\\".as_bytes()
        );
        assert_eq!(unescape(r"\xzz\x1"), br"\xzz\x1");
        assert_eq!(unescape(r"\xä"), r"\xä".as_bytes());
    }

    #[test]
    fn shows_any_bytes_on_one_line() {
        assert_eq!(shown(b"a\r\nb"), r"a\r\nb");
    }
}
