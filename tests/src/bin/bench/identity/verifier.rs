//! The verifier without a handshake around it.

use anyhow::Context as _;
use picket_identity::profile::Leaf;
use picket_identity::verify::{verify_agent, verify_gateway};
use rustls_pki_types::CertificateDer;
use webpki::{EndEntityCert, KeyUsage};

use super::ours::Ours;
use super::{ROUNDS, cpu_us};
use crate::rows::{Row, median};

const COUNT: u32 = 1_000;

/// After the handshake each end verifies once more, which gives the value that says who the other is: what both take.
pub(super) fn both_again(ours: &Ours) -> anyhow::Result<f64> {
    round(|| {
        verify_agent(ours.agent.chain(), &ours.expects_agent, ours.now)?;
        verify_gateway(ours.gateway.chain(), &ours.expects_gateway, ours.now)?;
        Ok(())
    })
}

pub(super) fn measure(ours: &Ours) -> anyhow::Result<Vec<Row>> {
    let anchors = [webpki::anchor_from_trusted_cert(&ours.root)?];
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    let (mut parsed, mut parsed_by_webpki) = (Vec::new(), Vec::new());
    let (leaf, beside) = ours.agent.chain().split_first().context("no chain")?;
    for _ in 0..ROUNDS {
        own.push(round(|| {
            verify_agent(ours.agent.chain(), &ours.expects_agent, ours.now)?;
            Ok(())
        })?);
        peer.push(round(|| path(leaf, beside, &anchors, ours))?);
        parsed.push(round(|| {
            Leaf::parse(leaf)?;
            Ok(())
        })?);
        parsed_by_webpki.push(round(|| {
            EndEntityCert::try_from(leaf)?;
            Ok(())
        })?);
    }
    Ok(vec![
        Row {
            what: "an agent verified, without a handshake",
            unit: "µs",
            ours: median(own),
            peer_name: "webpki's path alone",
            peer: median(peer),
        },
        Row {
            what: "a leaf's profile checked",
            unit: "µs",
            ours: median(parsed),
            peer_name: "webpki's parser",
            peer: median(parsed_by_webpki),
        },
    ])
}

fn path(
    leaf: &CertificateDer<'_>,
    beside: &[CertificateDer<'_>],
    anchors: &[rustls_pki_types::TrustAnchor<'_>],
    ours: &Ours,
) -> anyhow::Result<()> {
    let leaf = EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(
        &[
            webpki::aws_lc_rs::ECDSA_P256_SHA256,
            webpki::aws_lc_rs::ECDSA_P384_SHA384,
        ],
        anchors,
        beside,
        ours.now,
        KeyUsage::client_auth(),
        None,
        None,
    )?;
    Ok(())
}

fn round(mut one: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    cpu_us(COUNT, || (0..COUNT).try_for_each(|_| one()))
}
