//! The dns checker: what name servers answer, how fast, and whether they agree.
//!
//! `config` is what an operator writes, `codec` the wire format (RFC 1035, 6891), `exchange` one question to one
//! server, `verdict` the report.

mod codec;
mod config;
mod exchange;
mod verdict;

use picket_checker_sdk::net::{self, ErrorKind};
use picket_checker_sdk::prelude::*;

use codec::message;
use codec::name::Name;
use codec::query::Query;
use config::Config;
use exchange::Exchange;

#[checker(
    name = "dns",
    summary = "Asks name servers for a record and compares what they answer",
    interval = "60s",
    timeout = "10s"
)]
fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
    if config.servers.is_empty() {
        return Err(Error::invalid_config(
            "servers: expected at least one name server, found none",
        ));
    }
    let name = Name::for_question(&config.name, config.record)
        .map_err(|error| Error::invalid_config(format!("name: {error}")))?;
    message::check_rcode(&config.rcode.to_ascii_uppercase())
        .map_err(|error| Error::invalid_config(format!("rcode: {error}")))?;
    let mut outcomes = Vec::new();
    for (index, server) in config.servers.iter().enumerate() {
        // A silent server must leave time for those after it.
        let share = u32::try_from(config.servers.len() - index).unwrap_or(u32::MAX);
        let timeout = ctx.time_left() / share;
        let query = Query {
            name: &name,
            record: config.record,
            recursion: config.recursion,
        };
        let outcome = match exchange::ask(ctx, &config, server, &query, timeout) {
            Ok(exchange) => Ok(exchange),
            Err(net::Error {
                kind: ErrorKind::Denied,
                message,
            }) => return Err(Error::denied(message)),
            Err(error) => Err(error.message),
        };
        outcomes.push((server.to_string(), outcome));
    }
    Ok(verdict::report(&config, &outcomes))
}

/// What came of each server.
type Outcomes = [(String, Result<Exchange, String>)];

#[cfg(test)]
mod tests;
