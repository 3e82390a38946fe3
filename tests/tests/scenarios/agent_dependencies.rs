//! What an agent is made of.

use std::process::Command;

/// An agent host has no database, no certificate authority and no web code in it.
#[test]
fn agent_links_no_database_ca_or_web_code() -> anyhow::Result<()> {
    let tree = tree("picket-agent-host")?;
    assert!(
        tree.contains("picket-sandbox") && tree.contains("wasmtime"),
        "this isn't the agent's tree:\n{tree}"
    );
    for forbidden in [
        "sqlx",
        "libsqlite3-sys",
        "picket-issuing",
        "picket-platform",
        "picket-gateway",
        "picket-workload",
        "spiffe",
        "axum",
        "askama",
        "rust-embed",
    ] {
        let line = tree
            .lines()
            .find(|line| line.split(' ').next() == Some(forbidden));
        assert_eq!(line, None, "the agent depends on {forbidden}");
    }
    // The platform has them, so their names are spelt right.
    let platform = self::tree("picket-platform")?;
    for there in [
        "sqlx",
        "libsqlite3-sys",
        "picket-issuing",
        "picket-workload",
        "spiffe",
        "axum",
        "askama",
        "rust-embed",
    ] {
        assert!(
            platform.lines().any(|line| line.split(' ').next() == Some(there)),
            "{there}"
        );
    }
    Ok(())
}

/// A gateway has no key of a CA, no database, and nothing that could use either.
#[test]
fn gateway_links_no_database_ca_or_web_code() -> anyhow::Result<()> {
    let tree = tree("picket-gateway")?;
    assert!(
        tree.contains("picket-identity"),
        "this isn't the gateway's tree:\n{tree}"
    );
    for forbidden in [
        "sqlx",
        "libsqlite3-sys",
        "picket-issuing",
        "picket-platform",
        "askama",
    ] {
        let line = tree
            .lines()
            .find(|line| line.split(' ').next() == Some(forbidden));
        assert_eq!(line, None, "the gateway depends on {forbidden}");
    }
    Ok(())
}

/// An agent never dials with gRPC: the client side of tonic isn't compiled into it.
#[test]
fn agent_has_no_grpc_client() -> anyhow::Result<()> {
    let features = cargo_tree(&["--package", "picket-agent-host", "--format", "{p} {f}"])?;
    let tonic = features
        .lines()
        .find(|line| line.starts_with("tonic v"))
        .unwrap_or_default();
    assert!(tonic.contains("codegen"), "no tonic in\n{features}");
    assert!(!tonic.contains("channel"), "{tonic}");
    Ok(())
}

fn tree(package: &str) -> anyhow::Result<String> {
    cargo_tree(&["--package", package, "--format", "{p}"])
}

fn cargo_tree(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
