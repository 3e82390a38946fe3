//! Picket's gRPC contracts, generated from the `.proto` files beside this crate.
//!
//! - [`agent::v1`]: what an agent host answers to a gateway, and the sealed batches that carry results.
//! - [`platform::v1`]: what a gateway asks of the platform.
//! - [`health::v1`]: the gRPC health checking protocol.
//! - [`DESCRIPTORS`]: all of it as a serialised `FileDescriptorSet`, from which tests make their tables of methods.

/// A serialised `google.protobuf.FileDescriptorSet` of every contract here.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The agent's contract.
pub mod agent {
    /// Version 1.
    #[expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; the .proto files are the documentation"
    )]
    pub mod v1 {
        tonic::include_proto!("picket.agent.v1");
    }
}

/// The platform's contract.
pub mod platform {
    /// Version 1.
    #[expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; the .proto files are the documentation"
    )]
    pub mod v1 {
        tonic::include_proto!("picket.platform.v1");
    }
}

/// The gRPC health checking protocol.
pub mod health {
    /// Version 1.
    #[expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; the .proto file is the documentation"
    )]
    pub mod v1 {
        tonic::include_proto!("grpc.health.v1");
    }
}
