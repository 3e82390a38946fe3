//! An honest guest whose version a test can change in the component's bytes: [`VERSION`] is in them once.
//!
//! With `{"peer": "ADDRESS:PORT"}` as its configuration it needs that peer, and a run lasts until the peer hangs up: what a
//! test does between is done while the run is under way.

#![cfg(target_family = "wasm")]

use std::io::Read;
use std::net::TcpStream;

use guest_kit::{Descriptor, Error, Guest, Need, Report, Request, failed, ok};

/// Tests write another one of the same length over it.
const VERSION: &str = "10.20.30";

/// The compiler would make an immediate operand of so short a text, where no test finds it.
fn version() -> &'static str {
    std::hint::black_box(VERSION)
}

struct Versioned;

impl Guest for Versioned {
    fn describe() -> Descriptor {
        Descriptor {
            name: "versioned".to_owned(),
            version: version().to_owned(),
            ..guest_kit::descriptor()
        }
    }

    fn needs(config: String) -> Result<Vec<Need>, Error> {
        let need = |peer: String| Need {
            grant: format!("tcp:{peer}"),
            reason: "the peer to wait for".to_owned(),
        };
        Ok(peer(&config).map(need).into_iter().collect())
    }

    fn run(request: Request) -> Result<Report, Error> {
        if let Some(peer) = peer(&request.config) {
            let mut stream = TcpStream::connect(peer).map_err(|error| failed(&error))?;
            stream
                .read_to_end(&mut Vec::new())
                .map_err(|error| failed(&error))?;
        }
        Ok(ok(&format!("this is version {}", version())))
    }
}

/// The text after `"peer":`. Tests write no escapes into it.
fn peer(config: &str) -> Option<String> {
    let (_, rest) = config.split_once("\"peer\":")?;
    rest.split('"').nth(1).map(str::to_owned)
}

guest_kit::export!(Versioned with_types_in guest_kit);
