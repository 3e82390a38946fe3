//! The wall between tenants, as a real agent holds it against everybody who dials it: each is refused at the handshake for
//! its reason, which the agent's log has, while the right gateway's connection goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::name::TenantSlug;
use picket_identity::verify::now;
use picket_issuing::Intermediate;
use picket_tests::alone::Alone;
use picket_tests::forgery::{self, Forged, Stolen};
use picket_tests::intruder::{Answer, Intruder};
use picket_tests::wait;
use rcgen::{CustomExtension, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const GATEWAY: &str = "spiffe://picket.test/gateway/gw-1/tenant/acme";
const CN: &str = "gateway:gw-1";

/// Everybody's keys.
struct Loot {
    root: Stolen,
    gateways: Stolen,
    acme: Stolen,
    globex: Stolen,
    platform: Stolen,
}

impl Loot {
    fn of(alone: &Alone) -> anyhow::Result<Self> {
        let globex: TenantSlug = "globex".parse()?;
        Ok(Self {
            root: Stolen::copy_of(alone.root())?,
            gateways: Stolen::copy_of(alone.gateways())?,
            acme: Stolen::copy_of(alone.tenant())?,
            globex: Stolen(
                alone
                    .root()
                    .new_intermediate(Intermediate::Tenant(globex), now())?,
            ),
            platform: Stolen(alone.root().new_intermediate(Intermediate::Platform, now())?),
        })
    }
}

type Make = fn(&Loot) -> anyhow::Result<Forged>;

/// Who dials, and why the agent refuses.
const CASES: &[(&str, &str, Make)] = &[
    ("another tenant's gateway", "wrong_tenant", |loot| {
        loot.gateways
            .forge("spiffe://picket.test/gateway/gw-1/tenant/globex", CN, |_| {})
    }),
    ("a gateway's ID for the platform", "wrong_tenant", |loot| {
        loot.gateways
            .forge("spiffe://picket.test/gateway/gw-1", CN, |_| {})
    }),
    ("a gateway of another platform", "wrong_tenant", |loot| {
        let id = "spiffe://picket.elsewhere/gateway/gw-1/tenant/acme";
        loot.gateways.forge(id, CN, |_| {})
    }),
    ("an agent of the same tenant", "wrong_issuer", |loot| {
        loot.acme
            .forge("spiffe://acme.picket.test/agent/other", "other.acme", |_| {})
    }),
    ("an agent of another tenant", "wrong_issuer", |loot| {
        loot.globex
            .forge("spiffe://globex.picket.test/agent/other", "other.globex", |_| {})
    }),
    ("a platform node", "wrong_issuer", |loot| {
        loot.platform
            .forge("spiffe://picket.test/platform/node-1", "platform:node-1", |_| {})
    }),
    ("a gateway's ID by the tenant's CA", "wrong_issuer", |loot| {
        loot.acme.forge(GATEWAY, CN, |_| {})
    }),
    ("a gateway's ID by another tenant's CA", "wrong_issuer", |loot| {
        loot.globex.forge(GATEWAY, CN, |_| {})
    }),
    ("a gateway's ID by the platform CA", "wrong_issuer", |loot| {
        loot.platform.forge(GATEWAY, CN, |_| {})
    }),
    ("a gateway's ID by the root", "wrong_issuer", |loot| {
        loot.root.forge(GATEWAY, CN, |_| {})
    }),
    ("a gateway's ID by a CA of nobody", "unknown_ca", |_| {
        let issuer = forgery::issuer("gateway CA", KeyPair::generate()?);
        forgery::sign(&issuer, GATEWAY, CN, |_| {})
    }),
    ("a gateway that signed itself", "unknown_ca", |_| {
        forgery::self_signed(GATEWAY, CN)
    }),
    ("a gateway with another's common name", "cn_mismatch", |loot| {
        loot.gateways.forge(GATEWAY, "gateway:gw-2", |_| {})
    }),
    ("an expired gateway", "expired", |loot| {
        loot.gateways
            .forge(GATEWAY, CN, |leaf| leaf.not_after = forgery::from_now(-60))
    }),
    ("a gateway of tomorrow", "not_yet_valid", |loot| {
        loot.gateways
            .forge(GATEWAY, CN, |leaf| leaf.not_before = forgery::from_now(3_600))
    }),
    ("a gateway for longer than a day", "bad_profile", |loot| {
        loot.gateways
            .forge(GATEWAY, CN, |leaf| leaf.not_after = forgery::from_now(48 * 3_600))
    }),
    ("a gateway with two IDs", "bad_profile", |loot| {
        let other = forgery::uri("spiffe://picket.test/gateway/gw-1/tenant/globex")?;
        loot.gateways
            .forge(GATEWAY, CN, |leaf| leaf.subject_alt_names.push(other))
    }),
    ("a gateway's ID with a trailing slash", "bad_profile", |loot| {
        loot.gateways.forge(&format!("{GATEWAY}/"), CN, |_| {})
    }),
    ("a huge certificate", "bad_profile", |loot| {
        let oid = [1, 3, 6, 1, 4, 1, 99_999, 2];
        let ballast = CustomExtension::from_oid_content(&oid, vec![0; 9_000]);
        loot.gateways
            .forge(GATEWAY, CN, |leaf| leaf.custom_extensions.push(ballast))
    }),
    ("a stolen certificate without its key", "protocol", |loot| {
        let mut forged = loot.gateways.forge(GATEWAY, CN, |_| {})?;
        forged.key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KeyPair::generate()?.serialize_der()));
        Ok(forged)
    }),
];

struct Guarded {
    alone: Alone,
    door: SocketAddr,
}

impl Guarded {
    fn start() -> anyhow::Result<Self> {
        let mut alone = Alone::new()?;
        let door = alone.agent.start()?.address("grpc")?;
        Ok(Self { alone, door })
    }

    /// Waits until the agent's log, from `from` on, gives this reason for a refusal.
    async fn says(&self, from: usize, reason: &str) -> anyhow::Result<()> {
        let wanted = format!("reason={reason}");
        wait::until(&format!("the agent to log {wanted}"), || async {
            let log = self.alone.agent.log();
            let new = &log[from..];
            match new.contains(&wanted) || new.contains(&format!("reason=\"{reason}\"")) {
                true => Ok(Some(())),
                false => anyhow::bail!("it says: {new}"),
            }
        })
        .await
    }
}

#[tokio::test]
async fn every_stranger_is_refused_for_its_reason_and_the_right_gateway_is_not_disturbed()
-> anyhow::Result<()> {
    let mut guarded = Guarded::start()?;
    let loot = Loot::of(&guarded.alone)?;
    let mut gateway = guarded.alone.dial().await?;
    gateway.describe().await?;

    let good = Intruder::from_forged(loot.gateways.forge(GATEWAY, CN, |_| {})?);
    assert_eq!(
        good.try_door(guarded.door).await?,
        Answer::LetIn,
        "the forger's own template is good, so each refusal means something"
    );
    for (who, reason, make) in CASES {
        let from = guarded.alone.agent.log().len();
        let answer = Intruder::from_forged(make(&loot)?).try_door(guarded.door).await?;
        assert!(matches!(answer, Answer::Refused(_)), "the agent let {who} in");
        guarded
            .says(from, reason)
            .await
            .map_err(|error| error.context((*who).to_owned()))?;
    }
    let from = guarded.alone.agent.log().len();
    let answer = Intruder::anonymous().try_door(guarded.door).await?;
    assert!(matches!(answer, Answer::Refused(_)), "the agent let nobody in");
    guarded.says(from, "no_cert").await?;

    gateway.describe().await?;
    guarded.alone.agent.stop()?;
    Ok(())
}

fn client(
    loot: &Loot,
    change: impl FnOnce(&mut rustls::ClientConfig),
) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let forged = loot.gateways.forge(GATEWAY, CN, |_| {})?;
    let mut config = Intruder::from_forged(forged).tls()?;
    change(&mut config);
    Ok(Arc::new(config))
}

/// Handshakes and reads: what the agent says first, or how it broke off; and whether the handshake was a full one.
async fn talk(
    door: SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> anyhow::Result<Option<rustls::HandshakeKind>> {
    let tcp = TcpStream::connect(door).await?;
    let name = rustls_pki_types::ServerName::from(door.ip());
    let mut stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, tcp)
        .await?;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await?;
    stream.read_exact(&mut [0; 9]).await?;
    // Tickets would come about now.
    let _ = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut [0; 64])).await;
    Ok(stream.get_ref().1.handshake_kind())
}

#[tokio::test]
async fn the_right_certificate_gets_nowhere_without_the_right_protocol() -> anyhow::Result<()> {
    let mut guarded = Guarded::start()?;
    let loot = Loot::of(&guarded.alone)?;
    let door = guarded.door;
    assert!(talk(door, client(&loot, |_| {})?).await.is_ok());
    let no_alpn = client(&loot, |config| config.alpn_protocols.clear())?;
    assert!(talk(door, no_alpn).await.is_err(), "without ALPN");
    let http1 = client(&loot, |config| config.alpn_protocols = vec![b"http/1.1".to_vec()])?;
    assert!(talk(door, http1).await.is_err(), "HTTP/1.1");

    // A saved session would run no verifier: there is none to save, and each handshake is a full one.
    let again = client(&loot, |config| {
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        config.enable_early_data = true;
    })?;
    for _ in 0..3 {
        assert_eq!(
            talk(door, Arc::clone(&again)).await?,
            Some(rustls::HandshakeKind::Full)
        );
    }

    let mut plain = TcpStream::connect(door).await?;
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(wait::DEADLINE, plain.read_to_end(&mut answer)).await?;
    assert!(
        !answer.starts_with(b"\0\0"),
        "the agent answered plain text: {answer:?}"
    );
    guarded.alone.agent.stop()?;
    Ok(())
}

/// Strangers who connect and say nothing take no place from a gateway at another address, and are dropped in the end.
#[tokio::test]
async fn a_flood_of_half_open_connections_leaves_room_for_the_gateway() -> anyhow::Result<()> {
    let mut guarded = Guarded::start()?;
    let mut held = Vec::new();
    for _ in 0..300 {
        let socket = TcpSocket::new_v4()?;
        // All of 127/8 is this machine: a stranger at another address than the gateway's.
        socket.bind("127.0.0.2:0".parse()?)?;
        if let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_secs(5), socket.connect(guarded.door)).await
        {
            held.push(stream);
        }
    }
    let mut gateway = guarded.alone.dial().await?;
    gateway.describe().await?;
    // Each silent one is let go of within the handshake's deadline.
    let first = held.first_mut().ok_or_else(|| anyhow::anyhow!("no connection"))?;
    let mut byte = [0];
    let read = tokio::time::timeout(wait::DEADLINE, first.read(&mut byte)).await?;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    gateway.describe().await?;
    guarded.alone.agent.stop()?;
    Ok(())
}
