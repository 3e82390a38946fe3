//! The verifier and the transports, against everything that a forger can make.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails is a test that fails"
)]

mod agent_faces;
mod folder;
mod forge;
mod gateway_faces;
mod handshake;
mod live;
mod shapes;
mod twin;
mod wire;
