//! The wall between tenants, as a real gateway holds it: somebody listens where an agent should, with every certificate that
//! a thief of all CA keys can make, and would hand out good results. Each is refused for its reason, raises an alert, gets
//! nothing stored, and disturbs nobody.

use picket_identity::bundle::Identity;
use picket_platform::store::Store;
use picket_tests::enrolling;
use picket_tests::forgery::{self, Forged, Stolen};
use picket_tests::impostor::{Impostor, Speaks};
use picket_tests::installation::{AgentOptions, Installation, Platform};
use picket_tests::simulated::SimulatedAgent;
use picket_tests::wait;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use tokio::net::TcpListener;

use crate::setting;

const POLLED_OFTEN: AgentOptions = AgentOptions {
    interval: "500ms",
    unreachable_after: "10s",
};

/// What the thief has.
struct Loot {
    root: Stolen,
    gateways: Stolen,
    acme: Stolen,
    globex: Stolen,
    /// Real agents, with their keys.
    other_agent: Forged,
    other_tenants_agent: Forged,
}

/// Whom a case pretends to be.
struct Victim {
    id: String,
    common_name: String,
    /// Its own certificate and key.
    genuine: Forged,
}

impl Victim {
    fn new(name: &str, genuine: Forged) -> Self {
        Self {
            genuine,
            id: format!("spiffe://acme.picket.test/agent/{name}"),
            common_name: format!("{name}.acme"),
        }
    }

    /// A leaf by the tenant's own CA, after an edit.
    fn by_its_ca(&self, loot: &Loot, edit: impl FnOnce(&mut CertificateParams)) -> anyhow::Result<Forged> {
        loot.acme.forge(&self.id, &self.common_name, edit)
    }

    fn by(&self, ca: &Stolen) -> anyhow::Result<Forged> {
        ca.forge(&self.id, &self.common_name, |_| {})
    }

    fn called(&self, loot: &Loot, id: &str) -> anyhow::Result<Forged> {
        loot.acme.forge(id, &self.common_name, |_| {})
    }
}

type Make = fn(&Loot, &Victim) -> anyhow::Result<Forged>;

struct Case {
    name: &'static str,
    cause: &'static str,
    make: Make,
    speaks: Speaks,
}

const fn case(name: &'static str, cause: &'static str, make: Make) -> Case {
    Case {
        name,
        cause,
        make,
        speaks: Speaks::Well,
    }
}

fn san(entries: &[(u8, &[u8])]) -> CustomExtension {
    let content: Vec<u8> = entries
        .iter()
        .flat_map(|(tag, bytes)| {
            let length = u8::try_from(bytes.len()).unwrap_or(0);
            [&[0x80 | tag, length], *bytes].concat()
        })
        .collect();
    let length = u8::try_from(content.len()).unwrap_or(0);
    let der = if length < 0x80 {
        [&[0x30, length], content.as_slice()].concat()
    } else {
        [&[0x30, 0x81, length], content.as_slice()].concat()
    };
    CustomExtension::from_oid_content(&[2, 5, 29, 17], der)
}

const CASES: &[Case] = &[
    case("by-the-other-tenants-ca", "wrong_issuer", |loot, victim| {
        victim.by(&loot.globex)
    }),
    case("the-other-tenants-agent", "wrong_tenant", |loot, _| {
        Ok(loot.other_tenants_agent.clone())
    }),
    case("another-agent", "wrong_agent", |loot, _| {
        Ok(loot.other_agent.clone())
    }),
    case("wrong-common-name", "cn_mismatch", |loot, victim| {
        loot.acme.forge(&victim.id, "somebody.acme", |_| {})
    }),
    case("by-the-root", "wrong_issuer", |loot, victim| {
        victim.by(&loot.root)
    }),
    case("by-the-gateway-ca", "wrong_issuer", |loot, victim| {
        victim.by(&loot.gateways)
    }),
    case("by-a-ca-below", "unknown_ca", |loot, victim| {
        let key = KeyPair::generate()?;
        let mut ca = forgery::template("spiffe://acme.picket.test", "sub")?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.extended_key_usages.clear();
        let acme = forgery::issuer("tenant CA acme", KeyPair::from_pem(&loot.acme.0.key_pem())?);
        let certificate = ca.signed_by(&key, &acme)?.der().clone();
        let mut forged = forgery::sign(
            &forgery::issuer("sub", key),
            &victim.id,
            &victim.common_name,
            |_| {},
        )?;
        forged.chain.extend([certificate, loot.acme.certificate()]);
        Ok(forged)
    }),
    case("by-another-agent", "unknown_ca", |loot, victim| {
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(loot.other_agent.key.secret_der()),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )?;
        let issuer = forgery::issuer("other.acme", key);
        let mut forged = forgery::sign(&issuer, &victim.id, &victim.common_name, |_| {})?;
        forged.chain.extend(loot.other_agent.chain.clone());
        Ok(forged)
    }),
    case("by-a-rogue-ca", "unknown_ca", |_, victim| {
        let issuer = forgery::issuer("tenant CA acme", KeyPair::generate()?);
        forgery::sign(&issuer, &victim.id, &victim.common_name, |_| {})
    }),
    case("self-signed", "unknown_ca", |_, victim| {
        forgery::self_signed(&victim.id, &victim.common_name)
    }),
    case("the-ca-itself", "bad_profile", |loot, _| {
        let key = loot.acme.0.key_pem();
        Ok(Forged {
            chain: vec![loot.acme.certificate(), loot.root.certificate()],
            key: PrivateKeyDer::from_pem_slice(key.as_bytes())?,
        })
    }),
    case("two-uris", "bad_profile", |loot, victim| {
        let other = forgery::uri("spiffe://globex.picket.test/agent/edge")?;
        victim.by_its_ca(loot, |leaf| leaf.subject_alt_names.push(other))
    }),
    case("two-uris-turned-round", "bad_profile", |loot, victim| {
        let other = forgery::uri("spiffe://globex.picket.test/agent/edge")?;
        victim.by_its_ca(loot, |leaf| leaf.subject_alt_names.insert(0, other))
    }),
    case("a-uri-and-a-web-address", "bad_profile", |loot, victim| {
        let other = forgery::uri("https://acme.example/")?;
        victim.by_its_ca(loot, |leaf| leaf.subject_alt_names.push(other))
    }),
    case("a-uri-and-a-dns-name", "bad_profile", |loot, victim| {
        let other = SanType::DnsName("edge.acme".try_into()?);
        victim.by_its_ca(loot, |leaf| leaf.subject_alt_names.push(other))
    }),
    case("names-twice", "bad_profile", |loot, victim| {
        let again = san(&[(6, victim.id.as_bytes())]);
        victim.by_its_ca(loot, |leaf| leaf.custom_extensions.push(again))
    }),
    case("a-broken-uri-beside", "bad_profile", |loot, victim| {
        let both = san(&[(6, victim.id.as_bytes()), (6, b"spiffe://\xff\xfe")]);
        victim.by_its_ca(loot, |leaf| {
            leaf.subject_alt_names.clear();
            leaf.custom_extensions.push(both);
        })
    }),
    case("id-as-dns-name", "bad_profile", |loot, victim| {
        let name = SanType::DnsName(victim.common_name.as_str().try_into()?);
        victim.by_its_ca(loot, |leaf| leaf.subject_alt_names = vec![name])
    }),
    case("id-as-mail", "bad_profile", |loot, victim| {
        let name = SanType::Rfc822Name(victim.id.as_str().try_into()?);
        victim.by_its_ca(loot, |leaf| leaf.subject_alt_names = vec![name])
    }),
    case("id-as-common-name", "bad_profile", |loot, victim| {
        let id = victim.id.clone();
        victim.by_its_ca(loot, |leaf| {
            leaf.subject_alt_names.clear();
            leaf.distinguished_name = forgery::named(&id);
        })
    }),
    case("id-in-capitals", "bad_profile", |loot, victim| {
        victim.called(loot, &victim.id.replace("acme", "ACME"))
    }),
    case("id-with-dots", "bad_profile", |loot, victim| {
        victim.called(loot, &victim.id.replace("/agent/", "/agent/../agent/"))
    }),
    case("id-with-two-slashes", "bad_profile", |loot, victim| {
        victim.called(loot, &victim.id.replace("/agent/", "//agent/"))
    }),
    case("id-with-percent", "bad_profile", |loot, victim| {
        victim.called(loot, &victim.id.replace("-with-", "%2dwith-"))
    }),
    case("id-with-nul", "bad_profile", |loot, victim| {
        victim.called(loot, &format!("{}\0", victim.id))
    }),
    case("id-with-port", "bad_profile", |loot, victim| {
        victim.called(loot, &victim.id.replace(".test/", ".test:443/"))
    }),
    case("id-with-user", "bad_profile", |loot, victim| {
        victim.called(loot, &victim.id.replace("//acme", "//x@acme"))
    }),
    case("id-with-query", "bad_profile", |loot, victim| {
        victim.called(loot, &format!("{}?x", victim.id))
    }),
    case("id-with-fragment", "bad_profile", |loot, victim| {
        victim.called(loot, &format!("{}#x", victim.id))
    }),
    case("id-with-slash", "bad_profile", |loot, victim| {
        victim.called(loot, &format!("{}/", victim.id))
    }),
    case("id-too-short", "wrong_agent", |loot, victim| {
        victim.called(loot, &victim.id[..victim.id.len() - 1])
    }),
    case("id-too-long", "wrong_agent", |loot, victim| {
        victim.called(loot, &format!("{}1", victim.id))
    }),
    case("id-of-the-other-tenant", "wrong_tenant", |loot, victim| {
        loot.acme.forge(
            "spiffe://globex.picket.test/agent/edge",
            &victim.common_name,
            |_| {},
        )
    }),
    case("expired", "expired", |loot, victim| {
        victim.by_its_ca(loot, |leaf| leaf.not_after = forgery::from_now(-60))
    }),
    case("not-yet-valid", "not_yet_valid", |loot, victim| {
        victim.by_its_ca(loot, |leaf| leaf.not_before = forgery::from_now(3_600))
    }),
    case("valid-for-too-long", "bad_profile", |loot, victim| {
        victim.by_its_ca(loot, |leaf| leaf.not_after = forgery::from_now(399 * 86_400))
    }),
    case("no-key-usage", "bad_profile", |loot, victim| {
        victim.by_its_ca(loot, |leaf| leaf.key_usages.clear())
    }),
    case("may-sign-certificates", "bad_profile", |loot, victim| {
        victim.by_its_ca(loot, |leaf| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign))
    }),
    case("for-servers-only", "bad_profile", |loot, victim| {
        victim.by_its_ca(loot, |leaf| {
            leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }),
    case("for-any-purpose", "bad_profile", |loot, victim| {
        victim.by_its_ca(loot, |leaf| {
            leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::Any);
        })
    }),
    case("a-ca-as-leaf", "bad_profile", |loot, victim| {
        victim.by_its_ca(loot, |leaf| {
            leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        })
    }),
    case("unknown-and-critical", "bad_profile", |loot, victim| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        victim.by_its_ca(loot, |leaf| leaf.custom_extensions.push(extension))
    }),
    case("a-serial-that-nobody-issued", "revoked", |loot, victim| {
        victim.by_its_ca(loot, |_| {})
    }),
    case("without-the-key", "protocol", |_, victim| {
        let other = KeyPair::generate()?.serialize_der();
        Ok(Forged {
            chain: victim.genuine.chain.clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(other)),
        })
    }),
    Case {
        speaks: Speaks::NoAlpn,
        ..case("without-alpn", "protocol", |_, victim| Ok(victim.genuine.clone()))
    },
];

/// A real agent's identity, as somebody has it who copied its disk.
fn genuine(identity: &Identity, installation: &Installation) -> anyhow::Result<Forged> {
    let name = identity.id().common_name();
    let file = installation
        .folder()
        .join(format!("copied-{name}"))
        .join("identity.key");
    identity.credential().key().store(&file)?;
    Ok(Forged {
        chain: identity.credential().chain().to_vec(),
        key: PrivateKeyDer::from_pem_file(&file)?,
    })
}

/// Enrols an agent that isn't ours, at a port that is free again afterwards.
async fn enrolled(
    platform: &Platform,
    installation: &Installation,
    tenant: &str,
    name: &str,
) -> anyhow::Result<(TcpListener, Identity)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let file = installation.register_agent(tenant, name, &address.to_string(), POLLED_OFTEN)?;
    let identity = enrolling::enroll(listener, &file).await?;
    // Its certificate is seen in use once, as any agent's; it has no results to give.
    let honest = SimulatedAgent::start(TcpListener::bind(address).await?, &identity, 0)?;
    let path = format!("/api/v1/tenants/{tenant}/agents/{name}");
    wait::until(&format!("{tenant}/{name} to be reached"), || async {
        let agent = platform.api.get(&path).await?;
        Ok((agent["reachability"]["state"] == "reachable").then_some(()))
    })
    .await?;
    honest.end().await?;
    Ok((TcpListener::bind(address).await?, identity))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_impostor_is_refused_for_its_reason_and_nobody_else_is_disturbed() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    let installation = &setting.installation;
    let (_, other) = enrolled(&setting.platform, installation, "acme", "other").await?;
    let (_, foreign) = enrolled(&setting.platform, installation, "globex", "other").await?;
    let loot = Loot {
        root: installation.steal("root", None)?,
        gateways: installation.steal("gateway", None)?,
        acme: installation.steal("tenant", Some("acme"))?,
        globex: installation.steal("tenant", Some("globex"))?,
        other_agent: genuine(&other, installation)?,
        other_tenants_agent: genuine(&foreign, installation)?,
    };
    let before = setting.results("acme", 1).await?.len();

    let mut impostors = Vec::new();
    for case in CASES {
        let (listener, victim) = enrolled(&setting.platform, installation, "acme", case.name).await?;
        let forged = (case.make)(&loot, &Victim::new(case.name, genuine(&victim, installation)?))?;
        impostors.push(Impostor::start(listener, forged, &victim, case.speaks)?);
    }
    for case in CASES {
        is_refused(&setting.platform, case).await?;
    }

    // Beside all of them, the honest ones went on, without a gap and without an alert.
    for tenant in ["acme", "globex"] {
        let results = setting.results(tenant, before + 5).await?;
        let mut numbers: Vec<u64> = results
            .iter()
            .filter_map(|result| result["seq"].as_u64())
            .collect();
        numbers.sort_unstable();
        let expected: Vec<u64> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{tenant}/edge has a hole or a double");
        let path = format!("/api/v1/alerts?tenant={tenant}&limit=200");
        let alerts = setting.platform.api.list(&path).await?;
        assert!(!alerts.iter().any(|alert| alert["agent"] == "edge"), "{alerts:?}");
    }
    drop(impostors);
    Ok(())
}

/// A registry that somebody tampered with, so that acme's agents are expected below globex's CA: the gateway believes the
/// names in the CA's own certificate, and accepts neither globex's CA for acme's name nor acme's real agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_pairs_one_tenant_with_anothers_ca_gets_nobody_accepted() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    let installation = &setting.installation;
    let (listener, victim) = enrolled(&setting.platform, installation, "acme", "victim").await?;
    let globex = installation.steal("tenant", Some("globex"))?;

    let store = Store::open(&installation.folder().join("platform/picket.db")).await?;
    let mut write = store.write().await?;
    sqlx::query("UPDATE ca SET certificate = $1 WHERE kind = 'tenant' AND tenant = 'acme'")
        .bind(globex.certificate().to_vec())
        .execute(&mut *write)
        .await?;
    // As any change that gateways are to hear of.
    picket_platform::store::installation::bump_trust(&mut write).await?;
    write.commit().await?;
    store.close().await;

    // As the forger's own: with the serial number that the registry calls active.
    let number = victim.verified().serial().as_bytes().to_vec();
    let forged = globex.forge("spiffe://acme.picket.test/agent/victim", "victim.acme", |leaf| {
        leaf.serial_number = Some(SerialNumber::from(number));
    })?;
    let _impostor = Impostor::start(listener, forged, &victim, Speaks::Well)?;
    for (agent, causes) in [
        ("victim", ["wrong_issuer", ""]),
        ("edge", ["unknown_ca", "wrong_issuer"]),
    ] {
        let path = format!("/api/v1/tenants/acme/agents/{agent}");
        wait::until(&format!("acme/{agent} to be refused"), || async {
            let agent = setting.platform.api.get(&path).await?;
            match causes
                .iter()
                .any(|cause| agent["reachability"]["cause"] == *cause && !cause.is_empty())
            {
                true => Ok(Some(())),
                false => anyhow::bail!("it is {}", agent["reachability"]),
            }
        })
        .await?;
    }
    let victim = setting
        .platform
        .api
        .get("/api/v1/tenants/acme/agents/victim")
        .await?;
    assert_eq!(
        victim["cursor"]["committed_seq"].as_u64().unwrap_or(0),
        0,
        "{victim}"
    );
    setting.goes_on("globex").await
}

async fn is_refused(platform: &Platform, case: &Case) -> anyhow::Result<()> {
    let path = format!("/api/v1/tenants/acme/agents/{}", case.name);
    let agent = wait::until(
        &format!("{} to be refused as {}", case.name, case.cause),
        || async {
            let agent = platform.api.get(&path).await?;
            match agent["reachability"]["cause"] == case.cause {
                true => Ok(Some(agent)),
                false => anyhow::bail!("it is {}", agent["reachability"]),
            }
        },
    )
    .await?;
    assert_eq!(
        agent["cursor"]["committed_seq"].as_u64().unwrap_or(0),
        0,
        "something of {} was stored: {agent}",
        case.name
    );
    let checks = platform.api.list(&format!("{path}/checks")).await?;
    assert_eq!(checks.len(), 0, "{}: {checks:?}", case.name);
    wait::until(&format!("an alert about {}", case.name), || async {
        let alerts = platform
            .api
            .list("/api/v1/alerts?tenant=acme&state=open&limit=200")
            .await?;
        // A handshake that breaks off may be anybody's fault: it counts as being away.
        let kind = match case.cause {
            "protocol" => "agent_unreachable",
            _ => "agent_refused",
        };
        let found = alerts.into_iter().find(|alert| {
            alert["agent"] == case.name && alert["kind"] == kind && alert["cause"] == case.cause
        });
        Ok(found)
    })
    .await?;
    Ok(())
}
