//! The program itself: its command lines, exit codes, ready file, metrics and signals.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use picket_identity::bundle;
use picket_identity::credential::PrivateKey;
use picket_proto::platform::v1::{AgentWork, AssignedAgent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::newcomer::Newcomer;
use crate::stage::Stage;
use crate::wait;

fn gateway(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    command
}

async fn ran(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn ok(mut command: Command, arguments: &[&str]) -> String {
    command.args(arguments);
    let output = ran(command).await;
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

async fn fails_with(code: i32, mut command: Command, arguments: &[&str]) -> String {
    command.args(arguments);
    let output = ran(command).await;
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {talk}");
    talk
}

/// `init` and `enroll`, against the platform on the stage.
async fn enrolled(stage: &Stage, folder: &Path) {
    let platform = stage.platform.address().to_string();
    let init = [
        "init",
        "--name",
        "gw-1",
        "--platform",
        &platform,
        "--trust-domain",
        "picket.example",
    ];
    assert_eq!(ok(gateway(folder), &init).await.trim(), "./identity/request.csr");
    let key = PrivateKey::load(&bundle::key_path(&folder.join("identity"))).unwrap();
    let own = stage.authority.gateway_bundle(&key, "gw-1").to_json().unwrap();
    std::fs::write(folder.join("gw-1.json"), own).unwrap();
    let other = stage.authority.gateway_bundle(&key, "gw-2").to_json().unwrap();
    std::fs::write(folder.join("gw-2.json"), other).unwrap();

    let talk = fails_with(78, gateway(folder), &["run"]).await;
    assert!(talk.contains("holds no identity yet"), "{talk}");
    let talk = fails_with(77, gateway(folder), &["enroll", "gw-2.json"]).await;
    assert!(talk.contains("gw-2"), "{talk}");
    fails_with(78, gateway(folder), &["enroll", "gateway.toml"]).await;
    let id = ok(gateway(folder), &["enroll", "gw-1.json"]).await;
    assert_eq!(id.trim(), "spiffe://picket.example/gateway/gw-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn init_enroll_run_probe_and_stop() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 2).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    enrolled(&stage, folder).await;
    let shown = ok(gateway(folder), &["cert", "show", "-o", "json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["spiffe_id"], "spiffe://picket.example/gateway/gw-1");
    assert!(shown["renewal_unix_s"].as_u64() < shown["not_after_unix_s"].as_u64());

    let mut config = std::fs::read_to_string(folder.join("gateway.toml")).unwrap();
    config.push_str("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    std::fs::write(folder.join("gateway.toml"), config).unwrap();
    let mut running = gateway(folder)
        .args(["--log-format", "json", "run", "--ready-file", "ready.json"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = wait::until("the ready file", || std::fs::read(folder.join("ready.json")).ok()).await;
    let ready: serde_json::Value = serde_json::from_slice(&ready).unwrap();
    assert_eq!(ready["pid"], running.id());
    wait::until_true("the results", || {
        stage.platform.committed("acme", "berlin-1") == 2
    })
    .await;
    wait::until_true("a second poll", || agent.seen(|seen| seen.pulls.len() >= 2)).await;

    let metrics = fetch(ready["addresses"]["metrics"].as_str().unwrap()).await;
    for expected in [
        "picket_gateway_polls_total{outcome=\"ok\"}",
        "picket_gateway_handshakes_total{outcome=\"ok\"} 1",
        "picket_gateway_results_total 2",
        "picket_gateway_submits_total{outcome=\"committed\"} 1",
        "picket_gateway_poll_lateness_seconds_bucket",
        "picket_gateway_session_up 1",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }

    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = tokio::task::spawn_blocking(move || running.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(stage.platform.seen(|seen| seen.drained));

    let probed = ok(gateway(folder), &["probe", "acme/berlin-1", "-o", "json"]).await;
    let probed: serde_json::Value = serde_json::from_str(&probed).unwrap();
    assert_eq!(probed["verdict"], "ok");
    assert_eq!(probed["steps"].as_array().unwrap().len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_says_by_its_exit_code_what_kind_of_trouble_there_is() {
    let stage = Stage::set().await;
    let stranger = stage.unregistered("globex", "paris-1", 0).await;
    stage.register(stage.assigned("acme", "stranger", &stranger.address().to_string()));
    stage.register(stage.assigned("acme", "closed", "127.0.0.1:1"));
    let late = stage.agent("acme", "late", 0).await;
    late.behave(|agent| agent.clock_ahead_ms = 60_000);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    enrolled(&stage, folder).await;
    fails_with(77, gateway(folder), &["probe", "acme/stranger"]).await;
    fails_with(69, gateway(folder), &["probe", "acme/closed"]).await;
    fails_with(1, gateway(folder), &["probe", "acme/late"]).await;
    fails_with(2, gateway(folder), &["probe", "late"]).await;
    let talk = fails_with(77, gateway(folder), &["probe", "acme/nobody"]).await;
    assert!(talk.contains("acme/nobody"), "{talk}");
    stage.platform.stop().await;
    fails_with(69, gateway(folder), &["probe", "acme/late"]).await;
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The ways in which bytes could have been written down. The middle of them, as nothing else begins like it.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let part = &secret[secret.len() / 2..][..12];
    let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = part.iter().map(ToString::to_string).collect();
    let escaped: String = part.escape_ascii().to_string();
    // Base64 has three alignments; each of them has the text of what lies in the middle of it.
    let pem = picket_identity::pem::certificates([&secret.to_vec().into()]);
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let middle = &base64[base64.len() / 2..][..12];
    let mut spellings = vec![part.to_vec()];
    spellings.extend(
        [
            hex.to_uppercase(),
            hex,
            list.join(", "),
            escaped,
            middle.to_owned(),
        ]
        .map(String::into_bytes),
    );
    spellings
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_written_to_disk_or_to_the_log() {
    let stage = Stage::set().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    enrolled(&stage, folder).await;
    // Past half life already, and so renewed while it runs.
    stage
        .authority
        .install_gateway_of(&folder.join("identity"), picket_issuing::days(20));
    let address = ([127, 0, 0, 1], 0).into();
    let (enrollment, public) = stage.authority.enrollment("acme", "berlin-1", "127.0.0.1:1");
    stage
        .platform
        .behave(|platform| drop(platform.activations.insert("acme/berlin-1".to_owned(), public)));
    let newcomer = Newcomer::start(address, enrollment).await;
    stage.register(AssignedAgent {
        work: AgentWork::Enroll.into(),
        active_serials: Vec::new(),
        ..stage.assigned("acme", "berlin-1", &newcomer.address().to_string())
    });
    let log = std::fs::File::create(folder.join("gateway.log")).unwrap();
    let mut running = gateway(folder)
        .env("RUST_LOG", "debug")
        .args(["run"])
        .stderr(log)
        .spawn()
        .unwrap();
    let agent = newcomer.enrolled(&stage.authority, 2).await;
    wait::until_true("the results", || {
        stage.platform.committed("acme", "berlin-1") == 2
    })
    .await;
    let registered = stage.assigned("acme", "berlin-1", &agent.address().to_string());
    stage
        .tell(AssignedAgent {
            renew: true,
            ..registered
        })
        .await;
    wait::until_true("a renewal", || agent.seen(|seen| seen.installed.len() == 1)).await;
    wait::until_true("its own", || stage.platform.seen(|seen| seen.own_renewals == 1)).await;
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    tokio::task::spawn_blocking(move || running.wait().unwrap())
        .await
        .unwrap();

    let enrolment = stage.platform.seen(|seen| seen.enrolments[0].clone());
    let mut secrets = stage.platform.seen(|seen| seen.tenant_leaves.clone());
    assert!(!secrets.is_empty());
    secrets.push(enrolment.channel_binding.to_vec());
    secrets.push(enrolment.signature.to_vec());
    let own =
        picket_identity::bundle::load(&folder.join("identity"), picket_identity::verify::now()).unwrap();
    assert!(
        spellings(&own.credential().chain()[0])
            .iter()
            .any(|spelling| { files(folder).iter().any(|(_, bytes)| holds(bytes, spelling)) }),
        "the search finds what is there"
    );
    for (path, bytes) in files(folder) {
        for secret in &secrets {
            for spelling in spellings(secret) {
                assert!(!holds(&bytes, &spelling), "{}", path.display());
            }
        }
        let has_key = holds(&bytes, b"PRIVATE KEY");
        assert_eq!(
            has_key,
            path.ends_with("identity/identity.key"),
            "{}",
            path.display()
        );
    }
}

async fn fetch(address: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer));
    read.await.unwrap().unwrap();
    answer
}
