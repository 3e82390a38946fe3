//! Bad input gets a sentence that says what, where and what to do, the right exit code, and loses nothing.

use std::path::Path;
use std::process::Command;

use picket_tests::alone::Alone;
use picket_tests::installation::{Agent, AgentOptions, Installation, edit, path};
use picket_tests::process::{Process, output};
use picket_tests::wait;

use crate::setting::{self, NOOP};

/// sysexits.h, as far as the programs use it.
const UNAVAILABLE: i32 = 69;
const REFUSED: i32 = 77;
const CONFIGURATION: i32 = 78;

/// Starts an agent that can't start.
fn failed_start(alone: &Alone) -> anyhow::Result<(Option<i32>, String)> {
    let config = alone.agent.config();
    let arguments = ["run", "--config", path(&config)?];
    Process::spawn("failing", "agent-host", &arguments, alone.folder())?.wait_for_end()
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} isn't in:\n{text}");
    }
}

#[test]
fn broken_toml_names_file_and_line() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    edit(&agent.config(), |text| format!("{text}\n[spool\n"))?;
    let (code, text) = failed_start(&alone)?;
    assert_eq!(code, Some(CONFIGURATION), "{text}");
    assert_says(&text, &["agent.toml", "[spool"]);
    Ok(())
}

#[test]
fn unknown_keys_are_all_named_with_what_was_meant() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    edit(&agent.config(), |text| {
        format!("checkers_dirs = \"x\"\nchekcs_dir = \"y\"\n{text}")
    })?;
    let (code, text) = failed_start(&alone)?;
    assert_eq!(code, Some(CONFIGURATION), "{text}");
    assert_says(
        &text,
        &[
            "checkers_dirs",
            "checkers_dir",
            "chekcs_dir",
            "checks_dir",
            "agent.toml",
        ],
    );
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_is_named() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    // Not even root makes folders in /proc.
    edit(&agent.config(), |text| {
        text.replace("data_dir = \"data\"", "data_dir = \"/proc/picket\"")
    })?;
    let (code, text) = failed_start(&alone)?;
    assert!(
        matches!(code, Some(CONFIGURATION | UNAVAILABLE)),
        "{code:?}: {text}"
    );
    assert_says(&text, &["/proc/picket"]);
    Ok(())
}

#[test]
fn a_busy_port_is_named() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    edit(&agent.config(), |text| text.replace("127.0.0.1:0", &address))?;
    let (code, text) = failed_start(&alone)?;
    assert_eq!(code, Some(UNAVAILABLE), "{text}");
    assert_says(&text, &[&address]);
    Ok(())
}

#[test]
fn an_agent_without_identity_is_told_to_enroll() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    std::fs::remove_file(agent.folder.join("identity/leaf.pem"))?;
    let (code, text) = failed_start(&alone)?;
    assert_eq!(code, Some(CONFIGURATION), "{text}");
    assert_says(&text, &["agent-host enroll"]);
    Ok(())
}

#[test]
fn a_key_that_others_can_read_is_refused() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let alone = Alone::new()?;
    let agent = &alone.agent;
    let key = agent.folder.join("identity/identity.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let (code, text) = failed_start(&alone)?;
    assert_eq!(code, Some(CONFIGURATION), "{text}");
    assert_says(&text, &["identity.key", "0600"]);
    Ok(())
}

#[test]
fn an_enrolment_file_of_another_tenants_agent_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    let installation = Installation::new()?;
    installation.add_tenant("globex")?;
    let foreign = installation.register_agent("globex", "edge", "127.0.0.1:1", AgentOptions::default())?;
    let before = std::fs::read(agent.folder.join("identity/leaf.pem"))?;
    let refused = output(
        "agent-host",
        &["enroll", path(&foreign)?, "--config", path(&agent.config())?],
    )?;
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(CONFIGURATION), "{text}");
    assert_says(
        &text,
        &[
            "spiffe://globex.picket.test/agent/edge",
            "spiffe://acme.picket.test/agent/edge",
        ],
    );
    assert_eq!(
        before,
        std::fs::read(agent.folder.join("identity/leaf.pem"))?,
        "the good certificate is gone"
    );
    assert!(foreign.exists(), "somebody else's file is gone");
    Ok(())
}

#[test]
fn a_changed_enrolment_file_is_refused() -> anyhow::Result<()> {
    let installation = Installation::new()?;
    installation.add_tenant("acme")?;
    let agent = Agent::init(installation.folder(), "acme", "edge", "127.0.0.1:0")?;
    let file = installation.register_agent("acme", "edge", "127.0.0.1:1", AgentOptions::default())?;
    edit(&file, |text| {
        text.replace("agent/edge", "agent/edgy")
            .replace("edge.acme", "edgy.acme")
    })?;
    let refused = output(
        "agent-host",
        &["enroll", path(&file)?, "--config", path(&agent.config())?],
    )?;
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(REFUSED), "{text}");
    assert_says(&text, &["was changed", "platform's operator"]);
    Ok(())
}

/// Corrupt components, components of another contract, and a broken file of checks say so in results; the good check
/// beside them goes on.
#[tokio::test]
async fn bad_checkers_and_checks_disturb_no_good_one() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    let agent = &setting.agents[0];
    setting.results("acme", 1).await?;
    std::fs::write(
        agent.folder.join("checkers/corrupt.wasm"),
        b"\0asm this is no component",
    )?;
    agent.install_guest("wrong-version")?;
    agent.write_checks("broken", "[check.broken\nchecker = \"noop\"\n")?;
    agent.write_checks(
        "bad",
        &NOOP
            .replace("heartbeat", "corrupt")
            .replace("\"noop\"", "\"corrupt\"")
            .replace("1s", "2s"),
    )?;
    agent.write_checks(
        "old",
        &NOOP
            .replace("heartbeat", "wrong-version")
            .replace("\"noop\"", "\"wrong-version\"")
            .replace("1s", "2s"),
    )?;

    let corrupt = &setting::results(&setting.platform, "acme", "edge", "corrupt", 1).await?[0];
    assert_eq!(
        (&corrupt["status"], &corrupt["failure"]),
        (&"unknown".into(), &"no_checker".into()),
        "{corrupt}"
    );
    assert_says(&corrupt["summary"].to_string(), &["corrupt.wasm"]);
    let wrong = &setting::results(&setting.platform, "acme", "edge", "wrong-version", 1).await?[0];
    assert_says(&wrong["summary"].to_string(), &["0.9", "0.1"]);
    let count = setting.results("acme", 1).await?.len();
    setting.results("acme", count + 3).await?;
    assert_says(&setting.agents[0].log(), &["broken.toml"]);
    Ok(())
}

/// With no room on the disk the agent goes on, answers, and has counted what it lost once there is room again.
#[tokio::test]
async fn a_full_disk_loses_nothing_silently() -> anyhow::Result<()> {
    let installation = Installation::new()?;
    let platform = installation.start_platform("node-1")?;
    let _gateway = installation.start_gateway("gw-1", platform.process.address("grpc")?)?;
    installation.add_tenant("acme")?;
    let mut agent = installation.add_agent("acme", "edge", AgentOptions::default())?;
    let data = agent.folder.join("data");
    let disk = SmallDisk::mount(&data)?;
    agent.install_guest("noop")?;
    agent.write_checks("heartbeat", NOOP)?;
    agent.start()?;
    setting::results(&platform, "acme", "edge", "heartbeat", 2).await?;

    let ballast = data.join("ballast");
    fill(&ballast)?;
    let process = agent.process()?.id();
    // Long enough for several runs that have nowhere to go, unless the spool has room set aside, which is as good.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(
        agent.process()?.is_running()?,
        "the agent died of a full disk:\n{}",
        agent.log()
    );
    assert_eq!(agent.process()?.id(), process);
    std::fs::remove_file(&ballast)?;

    let count = setting::results(&platform, "acme", "edge", "heartbeat", 1)
        .await?
        .len();
    let results = setting::results(&platform, "acme", "edge", "heartbeat", count + 3).await?;
    let mut numbers: Vec<u64> = results
        .iter()
        .filter_map(|result| result["seq"].as_u64())
        .collect();
    numbers.sort_unstable();
    let missing = numbers[numbers.len() - 1] - numbers[0] + 1 - numbers.len() as u64;
    let agent_now = wait::until("the agent's page", || async {
        platform
            .api
            .get("/api/v1/tenants/acme/agents/edge")
            .await
            .map(Some)
    })
    .await?;
    let counted = agent_now["cursor"]["lost_total"].as_u64().unwrap_or_default();
    assert!(
        missing <= counted,
        "{missing} results are missing, {counted} are counted as lost"
    );
    drop((agent, disk));
    Ok(())
}

/// A disk that was full before the agent came: it says so, and what to do, rather than run without its spool.
#[test]
fn starting_on_a_full_disk_says_what_to_free() -> anyhow::Result<()> {
    let alone = Alone::new()?;
    let agent = &alone.agent;
    let data = agent.folder.join("data");
    let _disk = SmallDisk::mount(&data)?;
    fill(&data.join("ballast"))?;
    let (code, text) = failed_start(&alone)?;
    assert!(
        matches!(code, Some(CONFIGURATION | UNAVAILABLE)),
        "{code:?}: {text}"
    );
    assert_says(&text, &["No space left on device", "free some room", "data_dir"]);
    Ok(())
}

#[test]
fn the_platform_and_the_gateway_name_broken_toml_too() -> anyhow::Result<()> {
    let installation = Installation::new()?;
    for (program, verb) in [("platform", "serve"), ("gateway", "run")] {
        let config = installation.folder().join(format!("{program}-broken.toml"));
        std::fs::write(&config, "unheard_of = 1\nname = \n")?;
        let arguments = [verb, "--config", path(&config)?];
        let (code, text) =
            Process::spawn(program, program, &arguments, installation.folder())?.wait_for_end()?;
        assert_eq!(code, Some(CONFIGURATION), "{text}");
        assert_says(&text, &[&format!("{program}-broken.toml")]);
    }
    Ok(())
}

#[test]
fn a_busy_port_of_the_platform_is_named() -> anyhow::Result<()> {
    let installation = Installation::new()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let config = installation.node_config("node-9", |text| {
        let (head, grpc) = text.split_once("[grpc]").unwrap_or((&text, ""));
        format!("{head}[grpc]{}", grpc.replace("127.0.0.1:0", &address))
    })?;
    let arguments = ["serve", "--config", path(&config)?];
    let (code, text) =
        Process::spawn("busy", "platform", &arguments, installation.folder())?.wait_for_end()?;
    assert_eq!(code, Some(UNAVAILABLE), "{text}");
    assert_says(&text, &[&address]);
    Ok(())
}

/// A file system of 8 MiB in memory, unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "picket-test"])
            .arg(folder)
            .output()?;
        anyhow::ensure!(
            mounted.status.success(),
            "this test mounts a small tmpfs, which needs root: {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Ok(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the agent may still have files open there.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn fill(file: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file)?;
    let block = [0; 4096];
    while file.write_all(&block).is_ok() {}
    Ok(())
}
