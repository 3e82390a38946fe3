//! Identities over their whole life, with the real programs: enrolled, renewed, rotated under everybody's feet, revoked,
//! suspended, deleted; and results that go on all the while where they should.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use picket_identity::pem;
use picket_platform::store::Store;
use picket_tests::forgery;
use picket_tests::installation::{Agent, AgentOptions, free_port, path};
use picket_tests::process::output;
use picket_tests::wait;
use rcgen::{KeyPair, SerialNumber};
use serde_json::Value;

use crate::setting::{self, Setting};

/// What the issue of revocation is measured by: generous, for machines that do other things too.
const SOON: Duration = Duration::from_secs(15);

impl Setting {
    async fn agent(&self, tenant: &str) -> anyhow::Result<Value> {
        self.platform
            .api
            .get(&format!("/api/v1/tenants/{tenant}/agents/edge"))
            .await
    }

    /// The serial number of the certificate that an agent has on its disk.
    fn serial_on_disk(&self, index: usize) -> anyhow::Result<String> {
        serial_of(&self.agents[index])
    }

    /// That the results of `edge/heartbeat` go on from here, without a hole, and were all good.
    pub(crate) async fn goes_on(&self, tenant: &str) -> anyhow::Result<()> {
        let newest = |results: &[Value]| results.iter().filter_map(|result| result["seq"].as_u64()).max();
        let before = newest(&self.results(tenant, 1).await?).unwrap_or(0);
        wait::until(&format!("new results of {tenant}/edge"), || async {
            let results = self.results(tenant, 1).await?;
            Ok((newest(&results) >= Some(before + 3)).then_some(()))
        })
        .await?;
        let results = self.results(tenant, 1).await?;
        let mut numbers: Vec<u64> = results
            .iter()
            .filter_map(|result| result["seq"].as_u64())
            .collect();
        numbers.sort_unstable();
        let expected: Vec<u64> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{tenant}/edge has a hole or a double");
        Ok(())
    }

    /// That nobody ever had a reason to complain of an agent.
    async fn no_alert(&self, tenant: &str) -> anyhow::Result<()> {
        let alerts = self
            .platform
            .api
            .list(&format!("/api/v1/alerts?tenant={tenant}&limit=200"))
            .await?;
        assert!(alerts.is_empty(), "{alerts:?}");
        Ok(())
    }

    /// The authorities of a kind, as `platform ca show` has them.
    fn authorities(&self, kind: &str, tenant: Option<&str>) -> anyhow::Result<Vec<Value>> {
        let shown = self
            .installation
            .platform_command(&["ca", "show", "-o", "json"])?;
        let shown: Value = serde_json::from_str(&shown)?;
        let items = shown["items"].as_array().context("no list of authorities")?;
        let of_kind = items
            .iter()
            .filter(|ca| ca["kind"] == kind && ca["tenant"].as_str() == tenant);
        Ok(of_kind.cloned().collect())
    }

    /// Takes each step of a rotation as soon as it is allowed, until the authorities of the kind are the new one and the
    /// revoked ones before it.
    async fn rotate(&self, kind: &str, tenant: Option<&str>) -> anyhow::Result<()> {
        let mut rotate = vec!["ca", "rotate", kind];
        rotate.extend(tenant);
        self.installation.platform_command(&rotate)?;
        let what = format!("the {kind} authority to have taken the other's place");
        wait::until_within(Duration::from_secs(150), &what, || async {
            let states: Vec<String> = self
                .authorities(kind, tenant)?
                .iter()
                .filter_map(|ca| ca["state"].as_str().map(str::to_owned))
                .collect();
            let count = |wanted: &str| states.iter().filter(|state| *state == wanted).count();
            let step = match (count("prepared"), count("active"), count("retiring")) {
                (1.., _, _) => "activate",
                (_, 2.., _) => "taint",
                (_, _, 1..) => "revoke",
                _ => return Ok(Some(())),
            };
            // Refused, with whom it waits for, until nobody would be cut off.
            let refused = self
                .installation
                .platform_command(&[rotate.as_slice(), &["--step", step]].concat())
                .err();
            tokio::time::sleep(Duration::from_millis(200)).await;
            anyhow::bail!("{step} of {states:?}: {refused:?}")
        })
        .await
    }
}

fn serial_of(agent: &Agent) -> anyhow::Result<String> {
    let config = agent.config();
    let shown = picket_tests::process::command(
        "agent-host",
        &["cert", "show", "--config", path(&config)?, "-o", "json"],
    )?;
    let shown: Value = serde_json::from_str(&shown)?;
    Ok(shown["serial"].as_str().context("no serial number")?.to_owned())
}

/// The file is good once, its key is on no disk afterwards, and the platform never had the agent's own key.
#[tokio::test]
async fn an_enrolment_file_is_good_once() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    let installation = &setting.installation;
    let address = format!("127.0.0.1:{}", free_port()?);
    let agent = Agent::init(installation.folder(), "acme", "second", &address)?;
    let file = installation.register_agent("acme", "second", &address, AgentOptions::default())?;
    let copy = installation.folder().join("copy.enroll");
    std::fs::copy(&file, &copy)?;
    let text: Value = serde_json::from_str(&std::fs::read_to_string(&copy)?)?;
    let activation = text["activation_key"].as_str().context("no activation key")?;
    agent.enroll(&file)?;
    assert!(!file.exists(), "the file with the key is still there");
    for entry in walk(&agent.folder)? {
        let bytes = std::fs::read(&entry)?;
        let found = bytes
            .windows(activation.len())
            .any(|window| window == activation.as_bytes());
        assert!(!found, "{} holds the activation key", entry.display());
    }

    // Somebody who copied the file, and sits at the agent's address with a key of their own.
    let thief = Agent::init(installation.folder(), "acme", "thief", &address)?;
    let config = thief.config();
    let refused = output(
        "agent-host",
        &[
            "enroll",
            path(&copy)?,
            "--config",
            path(&config)?,
            "--timeout",
            "8s",
        ],
    )?;
    assert!(!refused.status.success(), "the copy was good a second time");
    let certificate = setting.agent("acme").await?;
    assert!(certificate["certificate"].is_object(), "{certificate}");
    Ok(())
}

/// A tenant's CA takes another's place: prepared, distributed, active; every agent gets a certificate by it while it goes on
/// giving results; then the old one is gone. Nobody visits an agent.
#[tokio::test]
async fn a_tenants_authority_is_rotated_without_a_visit_and_without_a_failed_poll() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 2).await?;
    let (acme, globex) = (setting.serial_on_disk(0)?, setting.serial_on_disk(1)?);
    setting.rotate("tenant", Some("acme")).await?;
    assert_ne!(
        setting.serial_on_disk(0)?,
        acme,
        "acme's agent has its old certificate"
    );
    assert_eq!(setting.serial_on_disk(1)?, globex, "globex's agent was disturbed");
    for tenant in ["acme", "globex"] {
        setting.goes_on(tenant).await?;
        setting.no_alert(tenant).await?;
    }
    Ok(())
}

/// The gateway CA, the platform CA and the root, one after the other.
#[tokio::test]
async fn the_platforms_own_authorities_are_rotated_under_everybodys_feet() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 2).await?;
    for kind in ["gateway", "platform", "root"] {
        setting.rotate(kind, None).await?;
        // The pages' certificate is below the new root, which people import once more.
        setting.platform.api = setting.installation.api_by_current_roots(&setting.platform)?;
        setting.goes_on("acme").await.with_context(|| kind.to_owned())?;
    }
    setting.no_alert("acme").await?;
    // What everybody has on disk is enough to begin anew with.
    setting.agents[0].stop()?;
    setting.gateway.process.stop()?;
    setting.agents[0].start()?;
    let folder = setting.gateway.folder.clone();
    setting.gateway = setting.installation.start_gateway_in("gw-1", folder)?;
    setting.goes_on("acme").await?;
    let root = setting.authorities("root", None)?;
    let active = root
        .iter()
        .find(|ca| ca["state"] == "active")
        .context("no root")?;
    let pinned = std::fs::read_to_string(setting.agents[0].folder.join("identity/root.pem"))?;
    assert_eq!(
        Some(pinned.trim()),
        active["certificate"].as_str().map(str::trim),
        "the agent trusts another root"
    );
    Ok(())
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_within_seconds_and_comes_back_by_a_new_enrolment() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 2).await?;
    let revoked_at = Instant::now();
    setting
        .installation
        .platform_command(&["agent", "revoke", "acme/edge"])?;
    wait::until_within(SOON, "acme/edge to be refused as revoked", || async {
        let agent = setting.agent("acme").await?;
        match agent["reachability"]["cause"] == "revoked" {
            true => Ok(Some(())),
            false => anyhow::bail!("it is {}", agent["reachability"]),
        }
    })
    .await?;
    eprintln!("refused {:?} after the revocation", revoked_at.elapsed());
    setting.alert("acme", "agent_refused", "open").await?;
    let newest = |results: &[Value]| results.iter().filter_map(|result| result["seq"].as_u64()).max();
    let last = newest(&setting.results("acme", 1).await?);
    setting.goes_on("globex").await?;
    assert_eq!(
        newest(&setting.results("acme", 1).await?),
        last,
        "results still came"
    );

    setting.agents[0].stop()?;
    let installation = &setting.installation;
    let file = installation.folder().join("again.enroll");
    installation.platform_command(&[
        "agent",
        "add",
        "--tenant",
        "acme",
        "--name",
        "edge",
        "--endpoint",
        &setting.agents[0].endpoint,
        "--out",
        path(&file)?,
        "--interval",
        "1s",
        "--unreachable-after",
        "3s",
        "--replace",
    ])?;
    setting.agents[0].enroll_again(&file)?;
    setting.agents[0].start()?;
    setting.goes_on("acme").await?;
    setting.alert("acme", "agent_refused", "resolved").await?;
    Ok(())
}

/// A gateway is turned away by the platform and by every agent, which the other gateway tells.
#[tokio::test]
async fn a_revoked_gateway_is_denied_by_platform_and_agents() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 1).await?;
    let grpc = setting.platform.process.address("grpc")?;
    let _second = setting.installation.start_gateway("gw-2", grpc)?;
    let before = setting.agents[0].log().len();
    setting
        .installation
        .platform_command(&["gateway", "revoke", "gw-1"])?;
    wait::until_within(SOON, "the platform to be rid of gw-1", || async {
        let gateways = setting.platform.api.list("/api/v1/gateways").await?;
        let first = gateways.iter().find(|gateway| gateway["name"] == "gw-1");
        match first.is_none_or(|gateway| gateway["state"] != "live") {
            true => Ok(Some(())),
            false => anyhow::bail!("it is {first:?}"),
        }
    })
    .await?;
    setting.goes_on("acme").await?;
    let config = setting.agents[0].config();
    wait::until("the agent to deny gw-1's certificates", || async {
        let shown = picket_tests::process::command(
            "agent-host",
            &["cert", "show", "--config", path(&config)?, "-o", "json"],
        )?;
        let shown: Value = serde_json::from_str(&shown)?;
        match shown["denied"].as_u64() {
            Some(1..) => Ok(Some(())),
            _ => anyhow::bail!("it says {shown}\n{}", &setting.agents[0].log()[before..]),
        }
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_suspended_tenant_rests_and_a_deleted_one_is_gone_for_good() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 2).await?;
    let installation = &setting.installation;
    installation.platform_command(&["tenant", "suspend", "acme"])?;
    let newest = |results: &[Value]| results.iter().filter_map(|result| result["seq"].as_u64()).max();
    // The gateway lets go of the agent: after that nothing new comes.
    wait::until("acme's results to stand still", || async {
        let before = newest(&setting.results("acme", 1).await?);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let after = newest(&setting.results("acme", 1).await?);
        Ok((before == after).then_some(()))
    })
    .await?;
    setting.goes_on("globex").await?;
    installation.platform_command(&["tenant", "resume", "acme"])?;
    setting.goes_on("acme").await?;

    assert!(
        installation
            .platform_command(&["tenant", "delete", "acme"])
            .is_err(),
        "deleted without being asked twice"
    );
    installation.platform_command(&["tenant", "delete", "acme", "--yes"])?;
    let again = installation.platform_command(&["tenant", "add", "acme"]);
    let sentence = again.err().context("a deleted slug was used again")?.to_string();
    assert!(sentence.contains("acme"), "{sentence}");
    setting.goes_on("globex").await?;
    wait::until("acme's data to be gone", || async {
        let agents = setting.platform.api.list("/api/v1/agents?limit=100").await?;
        let left: Vec<_> = agents.iter().filter(|agent| agent["tenant"] == "acme").collect();
        match left.is_empty() {
            true => Ok(Some(())),
            false => anyhow::bail!("there is {left:?}"),
        }
    })
    .await
}

/// An agent that was away for so long that its certificate has expired: it goes on with its checks, but is refused; once an
/// operator approves, a gateway brings it another certificate, and what it has gathered comes after.
#[tokio::test]
async fn an_expired_agent_comes_back_once_an_operator_approves() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 2).await?;
    setting.agents[0].stop()?;
    expire(&setting).await?;
    setting.agents[0].start()?;
    setting.alert("acme", "agent_refused", "open").await?;
    let agent = setting.agent("acme").await?;
    assert_eq!(agent["reachability"]["cause"], "expired", "{agent}");
    let newest = |results: &[Value]| results.iter().filter_map(|result| result["seq"].as_u64()).max();
    let before = newest(&setting.results("acme", 1).await?).unwrap_or(0);

    setting
        .installation
        .platform_command(&["agent", "approve", "acme/edge"])?;
    setting.reachability("acme", "reachable").await?;
    setting.goes_on("acme").await?;
    setting.alert("acme", "agent_refused", "resolved").await?;
    assert!(newest(&setting.results("acme", 1).await?) > Some(before));
    Ok(())
}

/// Makes the first agent's certificate one that ended a minute ago: on the agent's disk, and in the registry.
async fn expire(setting: &Setting) -> anyhow::Result<()> {
    let identity = setting.agents[0].folder.join("identity");
    let serial = setting.serial_on_disk(0)?;
    let bytes: Result<Vec<u8>, _> = (0..serial.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&serial[at..at + 2], 16))
        .collect();
    let acme = setting.installation.steal("tenant", Some("acme"))?;
    let issuer = forgery::issuer("tenant CA acme", KeyPair::from_pem(&acme.0.key_pem())?);
    let mut leaf = forgery::template("spiffe://acme.picket.test/agent/edge", "edge.acme")?;
    leaf.serial_number = Some(SerialNumber::from(bytes?));
    leaf.not_before = forgery::from_now(-90 * 86_400);
    // The authorities above it are hardly older.
    leaf.not_after = forgery::from_now(-60);
    let key = KeyPair::from_pem(&std::fs::read_to_string(identity.join("identity.key"))?)?;
    let leaf = leaf.signed_by(&key, &issuer)?;
    std::fs::write(identity.join("leaf.pem"), pem::certificates([leaf.der()]))?;

    let store = Store::open(&setting.installation.folder().join("platform/picket.db")).await?;
    let mut write = store.write().await?;
    let ended = write.now() - 60_000;
    sqlx::query("UPDATE certificate SET not_after_at = $1 WHERE serial = $2")
        .bind(ended)
        .bind(&serial)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    store.close().await;
    Ok(())
}

/// A copy of the data folder, which is what people back up, opens nothing.
#[test]
fn nothing_of_the_authorities_is_in_the_clear_in_what_a_backup_takes() -> anyhow::Result<()> {
    let installation = picket_tests::installation::Installation::new()?;
    installation.add_tenant("acme")?;
    let data = installation.folder().join("platform");
    for kind in ["root", "gateway", "platform"] {
        let stolen = installation.steal(kind, None)?;
        let pem = stolen.0.key_pem();
        let line = pem.lines().nth(1).context("no key")?;
        for file in walk(&data)? {
            let bytes = std::fs::read(&file)?;
            let found = bytes.windows(line.len()).any(|window| window == line.as_bytes());
            assert!(!found, "{} holds the {kind} key", file.display());
        }
    }
    let opener = std::fs::read_to_string(installation.encryption_key_file())?;
    for file in walk(&data)? {
        let bytes = std::fs::read(&file)?;
        let found = bytes
            .windows(opener.trim().len())
            .any(|window| window == opener.trim().as_bytes());
        assert!(!found, "{} holds what opens the keys", file.display());
    }
    Ok(())
}

fn walk(folder: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}
