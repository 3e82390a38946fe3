//! Clients and servers that others wrote: OpenSSL's, and gRPC's own for Python. What we say of our doors has to be true for
//! them too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use picket_tests::alone::Alone;
use picket_tests::forgery::{self, Forged, Stolen};
use picket_tests::installation::{AgentOptions, free_port, path};
use picket_tests::wait;

use crate::setting;

const GATEWAY: &str = "spiffe://picket.test/gateway/gw-1/tenant/acme";

/// Writes a chain and its key where tools of others can read them.
fn files(folder: &Path, name: &str, forged: &Forged) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = forgery::to_pem(forged);
    let files = (
        folder.join(format!("{name}.pem")),
        folder.join(format!("{name}.key")),
    );
    std::fs::write(&files.0, certificate)?;
    std::fs::write(&files.1, key)?;
    Ok(files)
}

fn openssl(arguments: &[&str]) -> anyhow::Result<String> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdin.take());
    let output = child.wait_with_output()?;
    Ok(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// OpenSSL, as a client with the right certificate, verifies the agent's chain by its own strict rules and finishes the
/// handshake; without a certificate, or with another tenant's, it reads a refusal; TLS 1.2 gets no handshake at all.
#[test]
fn openssl_s_client_at_an_agents_door() -> anyhow::Result<()> {
    let mut alone = Alone::new()?;
    let door = alone.agent.start()?.address("grpc")?.to_string();
    let gateways = Stolen::copy_of(alone.gateways())?;
    let folder = alone.folder();
    let root = alone.agent.folder.join("identity/root.pem");
    let client = |forged: Option<&Forged>, more: &[&str]| -> anyhow::Result<String> {
        let mut arguments = vec![
            "s_client",
            "-connect",
            &door,
            "-alpn",
            "h2",
            "-CAfile",
            path(&root)?,
            "-x509_strict",
        ];
        let files = forged.map(|forged| files(folder, "client", forged)).transpose()?;
        if let Some((certificate, key)) = &files {
            arguments.extend(["-cert", path(certificate)?, "-cert_chain", path(certificate)?]);
            arguments.extend(["-key", path(key)?]);
        }
        arguments.extend(more);
        openssl(&arguments)
    };
    let forge = |id: &str| gateways.forge(id, "gateway:gw-1", |_| {});

    let good = client(Some(&forge(GATEWAY)?), &[])?;
    assert!(good.contains("Verify return code: 0 (ok)"), "{good}");
    assert!(
        good.contains("ALPN protocol: h2") && good.contains("TLSv1.3"),
        "{good}"
    );
    assert!(!good.contains("alert"), "{good}");
    // No ticket: there is no session to come back with.
    assert!(!good.contains("Post-Handshake New Session Ticket"), "{good}");

    // OpenSSL reads on until it hears: in TLS 1.3 a client learns of its refusal no earlier.
    let reading = ["-ign_eof"];
    let nobody = client(None, &reading)?;
    assert!(nobody.contains("alert"), "{nobody}");
    let foreign = client(
        Some(&forge("spiffe://picket.test/gateway/gw-1/tenant/globex")?),
        &reading,
    )?;
    assert!(foreign.contains("alert"), "{foreign}");
    let old = client(Some(&forge(GATEWAY)?), &["-tls1_2"])?;
    assert!(
        old.contains("alert protocol version") || old.contains("no protocols"),
        "{old}"
    );
    alone.agent.stop()?;
    Ok(())
}

/// OpenSSL as a server with an agent's certificate of another tenant: the real gateway says whom it found.
#[tokio::test]
async fn openssl_s_server_in_an_agents_place() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    let installation = &setting.installation;
    installation.add_tenant("globex")?;
    let port = free_port()?;
    let globex = installation.steal("tenant", Some("globex"))?;
    let forged = globex.forge("spiffe://globex.picket.test/agent/edge", "edge.globex", |_| {})?;
    let (certificate, key) = files(installation.folder(), "server", &forged)?;
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", &port.to_string(), "-alpn", "h2", "-quiet"])
        .args(["-cert", path(&certificate)?, "-cert_chain", path(&certificate)?])
        .args(["-key", path(&key)?, "-Verify", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // A real agent of acme's, whose address the platform then takes for OpenSSL's.
    let own = format!("127.0.0.1:{}", free_port()?);
    let endpoint = format!("127.0.0.1:{port}");
    installation.add_agent_at("acme", "moved", AgentOptions::default(), &own, &endpoint)?;
    let agent = wait::until("the gateway to refuse OpenSSL's server", || async {
        let agent = setting
            .platform
            .api
            .get("/api/v1/tenants/acme/agents/moved")
            .await?;
        match agent["reachability"]["cause"] == "wrong_tenant" {
            true => Ok(Some(agent)),
            false => anyhow::bail!("it is {}", agent["reachability"]),
        }
    })
    .await;
    server.kill()?;
    server.wait()?;
    let detail = agent?["reachability"]["detail"].to_string();
    assert!(
        detail.contains("spiffe://globex.picket.test/agent/edge"),
        "{detail}"
    );
    Ok(())
}

/// gRPC's own client, as others would write a gateway: it is answered with the right certificate and by nobody else.
const PYTHON: &str = r#"
import sys, grpc
address, root, certificate, key, name = sys.argv[1:]
read = lambda path: open(path, "rb").read()
credentials = grpc.ssl_channel_credentials(read(root), read(key), read(certificate))
# Our certificates name identities, not hosts; gRPC compares this with them.
options = [("grpc.ssl_target_name_override", name), ("grpc.default_authority", "agent")]
channel = grpc.secure_channel(address, credentials, options)
call = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
try:
    print("answered", call(b"", timeout=20).hex())
except grpc.RpcError as error:
    print("refused", error.code().name, error.details())
"#;

#[test]
fn grpcio_of_python_at_an_agents_door() -> anyhow::Result<()> {
    let mut alone = Alone::new()?;
    let door = alone.agent.start()?.address("grpc")?.to_string();
    let gateways = Stolen::copy_of(alone.gateways())?;
    let script = alone.folder().join("client.py");
    std::fs::write(&script, PYTHON)?;
    let root = alone.agent.folder.join("identity/root.pem");
    let ask = |id: &str| -> anyhow::Result<String> {
        let forged = gateways.forge(id, "gateway:gw-1", |_| {})?;
        let (certificate, key) = files(alone.folder(), "grpcio", &forged)?;
        let output = Command::new("/usr/bin/python3")
            .arg(&script)
            .args([&door, path(&root)?, path(&certificate)?, path(&key)?])
            .arg("spiffe://acme.picket.test/agent/edge")
            .output()?;
        Ok(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    };
    let good = ask(GATEWAY)?;
    // HealthCheckResponse { status: SERVING }.
    assert!(good.contains("answered 0801"), "{good}");
    let foreign = ask("spiffe://picket.test/gateway/gw-1/tenant/globex")?;
    assert!(foreign.contains("refused UNAVAILABLE"), "{foreign}");
    let itself = ask("spiffe://picket.test/gateway/gw-1")?;
    assert!(itself.contains("refused UNAVAILABLE"), "{itself}");
    alone.agent.stop()?;
    Ok(())
}
