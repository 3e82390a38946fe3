//! The verifier and the transports, against everything that a forger can make.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails is a test that fails"
)]

mod agent_faces;
mod authorities;
mod awaiting;
mod bundle_faces;
mod chains;
mod enrollment;
mod files;
mod folder;
mod forge;
mod forms;
mod gateway_faces;
mod handshake;
mod live;
mod recovery;
mod refusals;
mod roots;
mod shapes;
mod statements;
mod strangers;
mod tags;
mod trust_updates;
mod twin;
mod wire;
