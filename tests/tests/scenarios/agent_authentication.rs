//! mTLS Agent Authentication: who may dial an agent, and whom a gateway believes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use picket_identity::credential::PrivateKey;
use picket_identity::name::{GatewayName, TenantSlug};
use picket_identity::verify;
use picket_issuing::{CertificateAuthority, Issued, PublicKey, hours};
use picket_tests::installation::{AgentOptions, Installation, free_port};
use picket_tests::intruder::{Answer, Intruder};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::setting;

/// "Agent presents tenant certificate": the agent asks for a client certificate, and takes only one of a gateway of its
/// own platform, for its own tenant.
#[tokio::test]
async fn agent_requires_gateway_certificate() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 1).await?;
    let door: SocketAddr = setting.agents[0].endpoint.parse()?;
    let folder = setting.installation.folder();

    let gateway_ca = gateway_ca(&setting.installation)?;
    let own = gateway_for(&gateway_ca, "acme", folder)?;
    assert_eq!(
        own.try_door(door).await?,
        Answer::LetIn,
        "the door opens to the right one, so a refusal means something"
    );

    refused("nobody", &Intruder::anonymous(), door).await?;
    refused(
        "a gateway for another tenant",
        &gateway_for(&gateway_ca, "globex", folder)?,
        door,
    )
    .await?;
    let gateway = Intruder::from_identity_folder(&setting.gateway.folder.join("identity"))?;
    refused("a gateway's own certificate, for the platform", &gateway, door).await?;
    let itself = Intruder::from_identity_folder(&setting.agents[0].folder.join("identity"))?;
    refused("the agent itself", &itself, door).await?;
    let neighbour = Intruder::from_identity_folder(&setting.agents[1].folder.join("identity"))?;
    refused("another tenant's agent", &neighbour, door).await?;

    let foreign = Installation::new()?;
    let stranger = gateway_for(&self::gateway_ca(&foreign)?, "acme", foreign.folder())?;
    refused(
        "a gateway of another platform with the same names",
        &stranger,
        door,
    )
    .await?;
    Ok(())
}

/// "Gateway verifies agent tenant": globex's real agent, with its real certificate, at the address of acme's agent. The
/// gateway refuses it by name, stores nothing, raises an alert, and goes on with the others.
#[tokio::test]
async fn gateway_verifies_tenant() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["globex"]).await?;
    setting.installation.add_tenant("acme")?;
    let elsewhere = format!("127.0.0.1:{}", free_port()?);
    let globex = &setting.agents[0].endpoint;
    setting
        .installation
        .add_agent_at("acme", "edge", AgentOptions::default(), &elsewhere, globex)?;

    let alert = setting.alert("acme", "agent_refused", "open").await?;
    let text = alert.to_string();
    assert!(text.contains("wrong_tenant"), "{text}");
    assert!(
        text.contains("spiffe://acme.picket.test/agent/edge"),
        "what was expected: {text}"
    );
    assert!(
        text.contains("spiffe://globex.picket.test/agent/edge"),
        "what was found: {text}"
    );

    let before = setting.results("globex", 1).await?.len();
    setting.results("globex", before + 3).await?;
    let acme = setting
        .platform
        .api
        .get("/api/v1/tenants/acme/agents/edge")
        .await?;
    assert_eq!(
        acme["cursor"]["committed_seq"].as_u64().unwrap_or(0),
        0,
        "something was stored: {acme}"
    );
    let checks = setting
        .platform
        .api
        .list("/api/v1/tenants/acme/agents/edge/checks")
        .await?;
    assert_eq!(checks.len(), 0, "{checks:?}");
    Ok(())
}

/// "Certificate encodes tenant identity", as a stranger to our code reads it: the common name has the slug, the SPIFFE ID
/// is the tenant's, and the tenant's own CA has signed.
#[test]
fn certificate_encodes_tenant() -> anyhow::Result<()> {
    let installation = Installation::new()?;
    let agent = installation.lone_agent("acme", "edge")?;
    let identity = agent.folder.join("identity");

    let leaf = openssl(
        &["x509", "-noout", "-subject", "-issuer", "-ext", "subjectAltName"],
        &identity.join("leaf.pem"),
    )?;
    assert!(leaf.contains("CN = edge.acme"), "{leaf}");
    assert!(
        leaf.contains("URI:spiffe://acme.picket.test/agent/edge"),
        "{leaf}"
    );
    let issuer = openssl(
        &[
            "x509",
            "-noout",
            "-subject",
            "-ext",
            "subjectAltName,basicConstraints",
        ],
        &identity.join("issuer.pem"),
    )?;
    assert!(issuer.contains("URI:spiffe://acme.picket.test\n"), "{issuer}");
    assert!(issuer.contains("CA:TRUE, pathlen:0"), "{issuer}");

    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(identity.join("root.pem"))
        .arg("-untrusted")
        .arg(identity.join("issuer.pem"))
        .arg(identity.join("leaf.pem"))
        .output()?;
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    Ok(())
}

async fn refused(who: &str, intruder: &Intruder, door: SocketAddr) -> anyhow::Result<()> {
    let answer = intruder.try_door(door).await?;
    assert!(matches!(answer, Answer::Refused(_)), "the agent let {who} in");
    Ok(())
}

/// The gateway CA, from the platform's own folder: the platform is the one that holds it.
fn gateway_ca(installation: &Installation) -> anyhow::Result<CertificateAuthority> {
    Ok(installation.steal("gateway", None)?.0)
}

/// Someone with a certificate of the gateway CA for one tenant.
fn gateway_for(ca: &CertificateAuthority, tenant: &str, folder: &Path) -> anyhow::Result<Intruder> {
    let key = PrivateKey::generate()?;
    let request = PublicKey::from_request(&key.csr("gw-1")?)?;
    let (gateway, tenant): (GatewayName, TenantSlug) = ("gw-1".parse()?, tenant.parse()?);
    let Issued {
        certificate, issuer, ..
    } = ca.issue_gateway_for_tenant(&request, &gateway, &tenant, hours(1), verify::now())?;
    let file = folder.join(format!("intruder-{tenant}")).join("intruder.key");
    key.store(&file)?;
    Ok(Intruder::with(
        vec![certificate, issuer],
        PrivateKeyDer::from_pem_file(&file)?,
    ))
}

fn openssl(arguments: &[&str], certificate: &Path) -> anyhow::Result<String> {
    let output = Command::new("openssl")
        .args(arguments)
        .arg("-in")
        .arg(certificate)
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
