//! `check_port -H HOST -p PORT [-w SECONDS] [-c SECONDS] [-t SECONDS]`: whether a TCP port answers, and how fast.
//!
//! An ordinary program, as it would be written for Nagios: nothing in it knows of Picket. Compiled for `wasm32-wasip2`, it is
//! a checker that reaches what its check grants. That target's exit code says only ok or failed, so the status word that
//! the line begins with is what tells a warning from something critical.

use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The checker's version, where agent-host looks for it.
#[cfg(target_family = "wasm")]
#[used]
#[unsafe(link_section = "version")]
static VERSION: [u8; 5] = *b"1.0.0";

const USAGE: &str = "usage: check_port -H HOST -p PORT [-w SECONDS] [-c SECONDS] [-t SECONDS]";

/// Word and exit code.
#[derive(Clone, Copy)]
enum State {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

struct Options {
    host: String,
    port: u16,
    warning: f64,
    critical: f64,
    timeout: Duration,
}

fn main() -> ExitCode {
    let (state, text) = match options(std::env::args().skip(1)) {
        Ok(options) => check(&options),
        Err(problem) => (State::Unknown, format!("{problem}; {USAGE}")),
    };
    println!("PORT {}: {text}", state.word());
    ExitCode::from(state as u8)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut host, mut port) = (None, None);
    let (mut warning, mut critical, mut timeout) = (1.0, 5.0, 8.0);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(format!("{option} takes a value"))?;
        let seconds = || {
            value
                .parse::<f64>()
                .ok()
                .filter(|seconds| (0.0..=3600.0).contains(seconds))
        };
        let wrong = || format!("{option} doesn't take {value:?}");
        match option.as_str() {
            "-H" => host = Some(value),
            "-p" => port = Some(value.parse().map_err(|_| wrong())?),
            "-w" => warning = seconds().ok_or_else(wrong)?,
            "-c" => critical = seconds().ok_or_else(wrong)?,
            "-t" => timeout = seconds().ok_or_else(wrong)?,
            _ => return Err(format!("{option} is no option")),
        }
    }
    Ok(Options {
        host: host.ok_or("-H is missing")?,
        port: port.ok_or("-p is missing")?,
        warning,
        critical,
        timeout: Duration::from_secs_f64(timeout),
    })
}

fn check(options: &Options) -> (State, String) {
    let Options { host, port, .. } = options;
    let began = Instant::now();
    if let Err(error) = connect(options) {
        return (State::Critical, format!("{host} port {port}: {error}"));
    }
    let took = began.elapsed().as_secs_f64();
    let state = if took > options.critical {
        State::Critical
    } else if took > options.warning {
        State::Warning
    } else {
        State::Ok
    };
    let text = format!(
        "{host} port {port} answered in {took:.3} s | time={took:.6}s;{};{};0",
        options.warning, options.critical
    );
    (state, text)
}

/// Tries the host's addresses in turn; the last one's error is as good as any.
fn connect(options: &Options) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the name has no address");
    for address in (options.host.as_str(), options.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, options.timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
