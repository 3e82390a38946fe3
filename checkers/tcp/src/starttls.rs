//! What is said in the clear before TLS, for protocols that begin without it.

use std::net::SocketAddr;
use std::time::Duration;

use picket_checker_sdk::host::Stream;
use picket_checker_sdk::net::{Error, ErrorKind};
use picket_checker_sdk::{Connection, Context, Timer};

use crate::config::Starttls;
use crate::dialogue::{MOST_BYTES, left, shown};

/// The conversation so far.
pub(crate) struct Plain<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) connection: &'a mut Connection,
    pub(crate) peer: SocketAddr,
    pub(crate) timer: Timer,
    pub(crate) timeout: Duration,
    /// Received, and not read as a line yet.
    pub(crate) ahead: Vec<u8>,
}

impl Plain<'_> {
    /// Asks for TLS; when this returns, the peer waits for a handshake.
    pub(crate) fn negotiate(&mut self, protocol: Starttls) -> Result<(), Error> {
        match protocol {
            // RFC 3207, after the greeting of RFC 5321, 4.3.1.
            Starttls::Smtp => {
                self.smtp_reply("220")?;
                self.say("EHLO picket.invalid\r\n")?;
                let offers = self.smtp_reply("250")?;
                if !offers.iter().any(|line| {
                    line.get(4..)
                        .is_some_and(|offer| offer.eq_ignore_ascii_case("STARTTLS"))
                }) {
                    return Err(self.error("the server doesn't offer STARTTLS"));
                }
                self.say("STARTTLS\r\n")?;
                self.smtp_reply("220")?;
            }
            // RFC 9051, 6.2.1.
            Starttls::Imap => {
                self.expect_line("* OK")?;
                self.say("a STARTTLS\r\n")?;
                self.expect_line("a OK")?;
            }
            // RFC 2595, 4.
            Starttls::Pop3 => {
                self.expect_line("+OK")?;
                self.say("STLS\r\n")?;
                self.expect_line("+OK")?;
            }
        }
        if self.ahead.is_empty() {
            return Ok(());
        }
        // Whoever is in between could have put it there, to be taken for something that came through TLS (RFC 3207, 6).
        Err(self.error("the server said more than that it is ready for TLS"))
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        let left = left(self.ctx, self.timer, self.timeout);
        self.connection.write(text.as_bytes(), left)
    }

    /// All lines of a reply; the last one has a space after its code (RFC 5321, 4.2.1).
    fn smtp_reply(&mut self, code: &str) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        loop {
            let line = self.expect_line(code)?;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if is_last {
                return Ok(lines);
            }
        }
    }

    fn expect_line(&mut self, start: &str) -> Result<String, Error> {
        let line = self.line()?;
        if line.starts_with(start) {
            return Ok(line);
        }
        Err(self.error(&format!(
            "expected `{start}`, received `{}`",
            shown(line.as_bytes())
        )))
    }

    fn line(&mut self) -> Result<String, Error> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.ahead.len() >= MOST_BYTES {
                return Err(self.error("the server's line has more than 64 KiB"));
            }
            let bytes = self
                .connection
                .read(4096, left(self.ctx, self.timer, self.timeout))?;
            if bytes.is_empty() {
                let so_far = format!("received `{}`, then the peer closed", shown(&self.ahead));
                return Err(self.error(&so_far));
            }
            self.ahead.extend(bytes);
        }
    }

    fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Other, format!("{}: before TLS: {what}", self.peer))
    }
}
