//! Generates the gRPC code with protox, a compiler of .proto files in Rust, so that no `protoc` is needed.

use prost::Message as _;

const FILES: &[&str] = &[
    "picket/agent/v1/agent.proto",
    "picket/agent/v1/enrollment.proto",
    "picket/agent/v1/result.proto",
    "picket/platform/v1/coordination.proto",
    "picket/platform/v1/ingest.proto",
    "picket/platform/v1/registry.proto",
    "grpc/health/v1/health.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
