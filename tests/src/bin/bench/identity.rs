//! What it costs to know who is at the other end: full mutual handshakes in memory, with our verifiers and configurations and
//! with rustls's own, in turns; and the verifier alone.
//!
//! - [`ours`]: an agent and a gateway, as they meet;
//! - [`stock`]: two parties with certificates for DNS names, below a chain of the same keys;
//! - [`handshake`]: a handshake without a socket, and its cost;
//! - [`verifier`]: the verifier, beside path building alone.

mod handshake;
mod ours;
mod stock;
mod verifier;

use picket_identity::verify;

use crate::process::own_cpu;
use crate::rows::{Row, median};
use handshake::{Ends, handshakes};
use ours::Ours;

const ROUNDS: usize = 9;

/// Measures both in turns, on one thread.
pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let ours = Ours::new(verify::now())?;
    let ends = ours.ends();
    let stock = stock::ends()?;
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    // The first ones pay for what is set up once.
    one_round(ends)?;
    one_round(&stock)?;
    for _ in 0..ROUNDS {
        own.push(one_round(ends)?);
        peer.push(one_round(&stock)?);
    }
    let (own, peer) = (median(own), median(peer));
    let again = verifier::both_again(&ours)?;
    let name = "rustls's verifiers";
    let mut rows = vec![
        Row {
            what: "full handshake CPU vs stock rustls",
            unit: "µs",
            ours: own,
            peer_name: name,
            peer,
        },
        Row {
            what: "full handshakes per second and core, both sides",
            unit: "1/s",
            ours: 1e6 / own,
            peer_name: name,
            peer: 1e6 / peer,
        },
        Row {
            what: "the same, with the value made at both ends",
            unit: "µs",
            ours: own + again,
            peer_name: name,
            peer,
        },
    ];
    rows.extend(verifier::measure(&ours)?);
    Ok(rows)
}

/// CPU time of one handshake, both sides together, in µs.
fn one_round(ends: &Ends) -> anyhow::Result<f64> {
    const COUNT: u32 = 500;
    cpu_us(COUNT, || handshakes(ends, COUNT))
}

/// CPU time of one of `count` things, in µs.
fn cpu_us(count: u32, all: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = own_cpu();
    all()?;
    Ok((own_cpu() - before).as_secs_f64() * 1e6 / f64::from(count))
}
