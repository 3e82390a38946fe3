//! Every method of every service that listens anywhere, against everybody who might call it. The methods come from the
//! contract's own descriptors: a new one without a row here fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use picket_tests::forgery::{self, Forged};
use picket_tests::installation::{AgentOptions, Installation, free_port, path};
use picket_tests::intruder::Intruder;
use picket_tests::wait;
use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::setting;

/// Where a service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    /// A running agent's.
    Agent,
    /// An agent's that awaits enrolment.
    Awaiting,
    /// The platform's for gateways.
    Platform,
}

/// The services, and where each is served. A service that isn't here fails the test.
const SERVED: &[(&str, &[Port])] = &[
    ("picket.agent.v1.Agent", &[Port::Agent]),
    ("picket.agent.v1.Renewal", &[Port::Agent]),
    ("picket.agent.v1.Trust", &[Port::Agent]),
    ("grpc.health.v1.Health", &[Port::Agent, Port::Platform]),
    ("picket.agent.v1.Enrollment", &[Port::Awaiting]),
    ("picket.platform.v1.Coordination", &[Port::Platform]),
    ("picket.platform.v1.Ingest", &[Port::Platform]),
    ("picket.platform.v1.Registry", &[Port::Platform]),
];

/// The methods. One that isn't here fails the test.
const METHODS: &[&str] = &[
    "picket.agent.v1.Agent/Describe",
    "picket.agent.v1.Agent/Pull",
    "picket.agent.v1.Agent/RunCheck",
    "picket.agent.v1.Renewal/Renew",
    "picket.agent.v1.Trust/Update",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "picket.agent.v1.Enrollment/Enroll",
    "picket.platform.v1.Coordination/Session",
    "picket.platform.v1.Ingest/Submit",
    "picket.platform.v1.Registry/IssueTenantCertificate",
    "picket.platform.v1.Registry/GetAgent",
    "picket.platform.v1.Registry/EnrollAgent",
    "picket.platform.v1.Registry/RenewAgent",
    "picket.platform.v1.Registry/RenewGateway",
    // Never served anywhere, by nobody asked for; strangers ask.
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The connection was refused at the handshake: no byte reached a service.
    NoConnection,
    /// The service answered with this gRPC status.
    Status(String),
}

const PERMISSION_DENIED: &str = "7";
const UNIMPLEMENTED: &str = "12";
const UNAUTHENTICATED: &str = "16";

/// Everybody who might call.
struct Cast {
    people: BTreeMap<&'static str, Intruder>,
}

impl Cast {
    /// Each with real keys: the right ones by the real way, the others by stolen CA keys.
    fn of(installation: &Installation, gateway: Intruder) -> anyhow::Result<Self> {
        let gateways = installation.steal("gateway", None)?;
        let platform = installation.steal("platform", None)?;
        let acme = installation.steal("tenant", Some("acme"))?;
        let globex = installation.steal("tenant", Some("globex"))?;
        let leaf = |forged: anyhow::Result<Forged>| forged.map(Intruder::from_forged);
        let day = |params: &mut rcgen::CertificateParams| params.not_after = forgery::from_now(20 * 3_600);
        let people = BTreeMap::from([
            ("nobody", Intruder::anonymous()),
            (
                "an agent of the tenant",
                leaf(acme.forge("spiffe://acme.picket.test/agent/edge", "edge.acme", day))?,
            ),
            (
                "an agent of another tenant",
                leaf(globex.forge("spiffe://globex.picket.test/agent/edge", "edge.globex", day))?,
            ),
            (
                "a gateway for another tenant",
                leaf(gateways.forge(
                    "spiffe://picket.test/gateway/gw-1/tenant/globex",
                    "gateway:gw-1",
                    day,
                ))?,
            ),
            (
                "a gateway for the tenant",
                leaf(gateways.forge(
                    "spiffe://picket.test/gateway/gw-1/tenant/acme",
                    "gateway:gw-1",
                    day,
                ))?,
            ),
            (
                "a platform node",
                leaf(platform.forge("spiffe://picket.test/platform/node-1", "platform:node-1", day))?,
            ),
            (
                "a gateway that nobody registered",
                leaf(gateways.forge("spiffe://picket.test/gateway/gw-9", "gateway:gw-9", day))?,
            ),
            ("the gateway", gateway),
        ]);
        Ok(Self { people })
    }
}

fn methods_of_the_contract() -> anyhow::Result<Vec<String>> {
    let set = FileDescriptorSet::decode(picket_proto::DESCRIPTORS)?;
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                methods.push(format!("{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    Ok(methods)
}

#[test]
fn every_method_of_the_contract_has_a_row() -> anyhow::Result<()> {
    for method in methods_of_the_contract()? {
        assert!(
            METHODS.contains(&method.as_str()),
            "{method} has no row in this table: say who may call it"
        );
        let (service, _) = method.split_once('/').context("no method")?;
        assert!(
            SERVED.iter().any(|(served, _)| *served == service),
            "{service} is served on no port that this table knows"
        );
    }
    Ok(())
}

#[tokio::test]
async fn everybody_at_every_door_gets_what_is_theirs_and_nothing_else() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 1).await?;
    let installation = &setting.installation;

    // An agent of acme's that awaits enrolment where no gateway looks.
    let awaiting = format!("127.0.0.1:{}", free_port()?);
    let elsewhere = format!("127.0.0.1:{}", free_port()?);
    let waiting =
        picket_tests::installation::Agent::init(installation.folder(), "acme", "waiting", &awaiting)?;
    let file = installation.register_agent("acme", "waiting", &elsewhere, AgentOptions::default())?;
    let config = waiting.config();
    let mut enrolling = std::process::Command::new(picket_tests::programs::program("agent-host")?)
        .args(["enroll", path(&file)?, "--config", path(&config)?])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;

    let gateway = Intruder::from_identity_folder(&setting.gateway.folder.join("identity"))?;
    let cast = Cast::of(installation, gateway)?;
    let ports: BTreeMap<Port, SocketAddr> = BTreeMap::from([
        (Port::Agent, setting.agents[0].endpoint.parse()?),
        (Port::Awaiting, awaiting.parse()?),
        (Port::Platform, setting.platform.process.address("grpc")?),
    ]);
    wait::until("the waiting agent to listen", || async {
        Ok(tokio::net::TcpStream::connect(ports[&Port::Awaiting]).await.ok())
    })
    .await?;

    let mut wrong = Vec::new();
    for (port, address) in &ports {
        for (who, intruder) in &cast.people {
            for method in METHODS {
                let outcome = call(intruder, *address, method).await?;
                if let Some(problem) = judge(*port, who, method, &outcome) {
                    wrong.push(format!(
                        "{who} calls {method} at {port:?}: {problem}, got {outcome:?}"
                    ));
                }
            }
        }
    }
    enrolling.kill()?;
    enrolling.wait()?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What is wrong with an outcome, if anything.
fn judge(port: Port, who: &str, method: &str, outcome: &Outcome) -> Option<&'static str> {
    let (service, _) = method.split_once('/')?;
    let is_served = SERVED
        .iter()
        .any(|(served, ports)| *served == service && ports.contains(&port));
    let (right_one, past_the_handshake) = match port {
        Port::Agent | Port::Awaiting => ("a gateway for the tenant", ["a gateway for the tenant", ""]),
        Port::Platform => ("the gateway", ["the gateway", "a gateway that nobody registered"]),
    };
    match outcome {
        Outcome::NoConnection if past_the_handshake.contains(&who) => Some("it should be let in"),
        Outcome::NoConnection => None,
        Outcome::Status(_) if !past_the_handshake.contains(&who) => {
            Some("it should be refused at the handshake")
        }
        Outcome::Status(status) if !is_served => {
            (status != UNIMPLEMENTED).then_some("nothing of that kind should be served here")
        }
        Outcome::Status(status) if who == right_one => [PERMISSION_DENIED, UNAUTHENTICATED, UNIMPLEMENTED]
            .contains(&status.as_str())
            .then_some("it should be served"),
        // In through the door by a good certificate, and unknown to the registry.
        Outcome::Status(status) => {
            (status != PERMISSION_DENIED).then_some("it should be refused by the registry")
        }
    }
}

/// One call with an empty message.
async fn call(intruder: &Intruder, address: SocketAddr, method: &str) -> anyhow::Result<Outcome> {
    let tcp = tokio::net::TcpStream::connect(address).await?;
    let name = rustls_pki_types::ServerName::from(address.ip());
    let connector = tokio_rustls::TlsConnector::from(Arc::new(intruder.tls()?));
    let attempt = async {
        let Ok(stream) = connector.connect(name, tcp).await else {
            return anyhow::Ok(Outcome::NoConnection);
        };
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let Ok((mut sender, connection)) = handshake.await else {
            return Ok(Outcome::NoConnection);
        };
        let driver = tokio::spawn(connection);
        let request = http::Request::post(format!("https://{address}/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // An empty message, uncompressed.
            .body(Full::new(Bytes::from_static(&[0, 0, 0, 0, 0])))?;
        let outcome = match sender.send_request(request).await {
            Err(_) => Outcome::NoConnection,
            Ok(response) => status(response).await,
        };
        driver.abort();
        Ok(outcome)
    };
    tokio::time::timeout(wait::DEADLINE, attempt)
        .await
        .with_context(|| format!("{method} never ended"))?
}

async fn status(response: http::Response<hyper::body::Incoming>) -> Outcome {
    let of = |headers: &http::HeaderMap| {
        let status = headers.get("grpc-status")?.to_str().ok()?;
        Some(Outcome::Status(status.to_owned()))
    };
    if let Some(outcome) = of(response.headers()) {
        return outcome;
    }
    // A stream that was opened may go on for ever: that it was opened says enough.
    let trailers = tokio::time::timeout(
        std::time::Duration::from_millis(500),
        response.into_body().collect(),
    );
    match trailers.await {
        Err(_) => Outcome::Status("0".to_owned()),
        Ok(Err(_)) => Outcome::Status("connection lost".to_owned()),
        Ok(Ok(body)) => body
            .trailers()
            .and_then(of)
            .unwrap_or_else(|| Outcome::Status("none".to_owned())),
    }
}
