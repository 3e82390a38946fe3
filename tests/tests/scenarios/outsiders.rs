//! Clients and servers that others wrote: OpenSSL's, and gRPC's own for Python. What we say of our doors has to be true for
//! them too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use picket_tests::alone::Alone;
use picket_tests::forgery::{self, Forged, Stolen};
use picket_tests::installation::{AgentOptions, free_port, path};
use picket_tests::intruder::Intruder;
use picket_tests::wait;
use tokio::net::{TcpListener, TcpStream};

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
    let ca = installation.folder().join("server-ca.pem");
    std::fs::write(&ca, picket_identity::pem::certificates(&forged.chain[1..]))?;
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", &port.to_string(), "-alpn", "h2", "-quiet"])
        .args(["-cert", path(&certificate)?, "-cert_chain", path(&ca)?])
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

/// gRPC's own client, as others would write a gateway. Its TLS insists on a host's name in the server's certificate, which
/// our identities aren't: so the TLS is a tunnel's, and HTTP/2 and gRPC are its own.
const CLIENT: &str = r#"
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
try:
    print("answered", call(b"", timeout=20).hex())
except grpc.RpcError as error:
    print("refused", error.code().name, error.details())
"#;

/// A way through TLS with one certificate, for a client that speaks none.
async fn tunnel(door: SocketAddr, tls: rustls::ClientConfig) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let tcp = TcpStream::connect(door).await?;
                let name = rustls_pki_types::ServerName::from(door.ip());
                let mut secure = connector.connect(name, tcp).await?;
                tokio::io::copy_bidirectional(&mut plain, &mut secure).await
            });
        }
    });
    Ok(address)
}

fn python(script: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_of_python_as_a_client_of_an_agent() -> anyhow::Result<()> {
    let mut alone = Alone::new()?;
    let door = alone.agent.start()?.address("grpc")?;
    let gateways = Stolen::copy_of(alone.gateways())?;
    let script = alone.folder().join("client.py");
    std::fs::write(&script, CLIENT)?;
    for (id, expected) in [
        // HealthCheckResponse { status: SERVING }.
        (GATEWAY, "answered 0801"),
        (
            "spiffe://picket.test/gateway/gw-1/tenant/globex",
            "refused UNAVAILABLE",
        ),
        ("spiffe://picket.test/gateway/gw-1", "refused UNAVAILABLE"),
    ] {
        let forged = gateways.forge(id, "gateway:gw-1", |_| {})?;
        let address = tunnel(door, Intruder::from_forged(forged).tls()?)
            .await?
            .to_string();
        let mut client = python(&script, &[&address]);
        let output = tokio::task::spawn_blocking(move || client.output()).await??;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains(expected), "{id}: {text}");
    }
    alone.agent.stop()?;
    Ok(())
}

/// gRPC's own server, with its own TLS, in an agent's place.
const SERVER: &str = r#"
import sys, grpc
from concurrent import futures
address, root, certificate, key = sys.argv[1:]
read = lambda path: open(path, "rb").read()
class Anything(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Anything()])
credentials = grpc.ssl_server_credentials([(read(key), read(certificate))], read(root), True)
server.add_secure_port(address, credentials)
server.start()
server.wait_for_termination()
"#;

/// With the stolen key of a real agent the handshake itself succeeds, on both sides' terms; what it then says of itself is
/// nobody, and nothing of it is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_of_python_as_a_server_in_an_agents_place() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 1).await?;
    setting.agents[0].stop()?;
    let identity = setting.agents[0].folder.join("identity");
    let read = |name: &str| std::fs::read_to_string(identity.join(name));
    let folder = setting.installation.folder();
    let (certificate, script) = (folder.join("copied.pem"), folder.join("server.py"));
    std::fs::write(&certificate, read("leaf.pem")? + &read("issuer.pem")?)?;
    std::fs::write(&script, SERVER)?;
    let mut server = python(
        &script,
        &[
            &setting.agents[0].endpoint,
            path(&identity.join("root.pem"))?,
            path(&certificate)?,
            path(&identity.join("identity.key"))?,
        ],
    )
    .spawn()?;
    let agent = wait::until("the gateway to hear a server that is nobody", || async {
        let agent = setting
            .platform
            .api
            .get("/api/v1/tenants/acme/agents/edge")
            .await?;
        match agent["reachability"]["cause"] == "wrong_agent" {
            true => Ok(Some(agent)),
            false => anyhow::bail!("it is {}", agent["reachability"]),
        }
    })
    .await;
    server.kill()?;
    server.wait()?;
    let detail = agent?["reachability"]["detail"].to_string();
    assert!(detail.contains("describes itself as"), "{detail}");
    Ok(())
}
