//! Who signed a checker, and what follows from it: on the agent that runs, and on its command line.

use std::path::PathBuf;
use std::process::{Command, Output};

use picket_identity::pem;
use picket_proto::agent::v1::{CheckerDescription, DescribeRequest, RunCheckRequest};
use picket_sandbox::component::signature::{Manifest, Signature, SigningKey};
use serde_json::Value;

use crate::world::{Gateway, World, eventually, guest};

/// The version in the guest's bytes; see `tests/guests/versioned`.
const BUILT: &str = "10.20.30";
const OLDER: &str = "10.20.29";
const NEWER: &str = "10.20.31";
const OTHER_LINE: &str = "10.19.30";

/// An agent, and an author with a key who signs versions of a checker for it.
struct Stage {
    world: World,
    public: String,
}

impl Stage {
    /// An agent that trusts `Acme`, whose key is in `author/key.pem`.
    fn new(policy: &str) -> Self {
        let world = World::new();
        let stage = Self {
            public: keygen(&world, "author/key.pem"),
            world,
        };
        stage.trust(policy, "Acme", &stage.public);
        stage
    }

    fn trust(&self, policy: &str, name: &str, key: &str) {
        self.world.write(
            "agent.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n[signatures]\npolicy = \"{policy}\"\n\
                 [[signatures.publisher]]\nname = \"{name}\"\nkey = \"{key}\"\n"
            ),
        );
    }

    fn run(&self, arguments: &[&str]) -> Output {
        agent_host(&self.world, arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    }

    /// The guest in that version, as a file of the author's.
    fn built(&self, version: &str) -> PathBuf {
        let path = self.world.path("author").join(format!("{version}.wasm"));
        std::fs::write(&path, in_version(version)).unwrap();
        path
    }

    /// The same, signed beside it.
    fn signed(&self, version: &str) -> PathBuf {
        let path = self.built(version);
        self.sign(&path, &[]);
        path
    }

    fn sign(&self, path: &std::path::Path, more: &[&str]) {
        let arguments = [
            "checker",
            "sign",
            path.to_str().unwrap(),
            "--key",
            "author/key.pem",
            "--publisher",
            "Acme",
        ];
        let output = self.run(&[&arguments, more].concat());
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Copies a file into the checkers folder as a customer would by hand, its signature first.
    fn drop_in(&self, from: &std::path::Path, stem: &str) {
        let into = self.world.path("checkers").join(format!("{stem}.wasm"));
        for (from, to) in [(beside(from), beside(&into)), (from.to_path_buf(), into)] {
            if from.exists() {
                let temporary = self.world.path("checkers/.new");
                std::fs::copy(from, &temporary).unwrap();
                std::fs::rename(temporary, to).unwrap();
            }
        }
    }

    fn install(&self, file: &std::path::Path) -> Value {
        self.json(&["checker", "install", file.to_str().unwrap(), "--yes"])
    }

    fn compiled(&self) -> usize {
        let Ok(files) = std::fs::read_dir(self.world.path("data/compiled")) else {
            return 0;
        };
        files
            .filter(|file| {
                let path = file.as_ref().unwrap().path();
                path.extension().is_some_and(|suffix| suffix == "cwasm")
            })
            .count()
    }
}

fn agent_host(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_agent-host"))
        .current_dir(world.path(""))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn keygen(world: &World, out: &str) -> String {
    let output = agent_host(world, &["checker", "keygen", "--out", out]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn beside(path: &std::path::Path) -> PathBuf {
    PathBuf::from(format!("{}.sig", path.display()))
}

fn in_version(version: &str) -> Vec<u8> {
    assert_eq!(version.len(), BUILT.len());
    let mut bytes = std::fs::read(guest("versioned")).unwrap();
    let at = bytes
        .windows(BUILT.len())
        .position(|window| window == BUILT.as_bytes())
        .unwrap();
    bytes[at..at + BUILT.len()].copy_from_slice(version.as_bytes());
    bytes
}

async fn checker(gateway: &Gateway, is_it: impl Fn(&CheckerDescription) -> bool) -> CheckerDescription {
    eventually("the checker", || async {
        let described = gateway.client.clone().describe(DescribeRequest {}).await.unwrap();
        described
            .into_inner()
            .checkers
            .into_iter()
            .find(|checker| is_it(checker))
    })
    .await
}

/// Runs a check; the summary says which version did.
async fn run(gateway: &Gateway, check: &str) -> String {
    let request = RunCheckRequest {
        check: check.to_owned(),
    };
    let answer = eventually("a run", || async {
        gateway.client.clone().run_check(request.clone()).await.ok()
    })
    .await;
    answer.into_inner().result.unwrap().summary
}

fn only(list: &Value) -> &Value {
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{list}");
    &items[0]
}

#[tokio::test]
async fn an_unsigned_checker_is_never_compiled_under_require() {
    let stage = Stage::new("require");
    stage.drop_in(&stage.built(BUILT), "versioned");
    stage.world.add_check("one", "versioned", "");
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    let described = checker(&gateway, |checker| !checker.problem.is_empty()).await;
    assert!(
        described.problem.contains("it is unsigned") && described.problem.contains("checker sign"),
        "{}",
        described.problem
    );
    let summary = run(&gateway, "one").await;
    assert!(summary.contains("it is unsigned"), "{summary}");
    let refused = stage.run(&["checker", "inspect", "checkers/versioned.wasm"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(
        said(&refused).contains("can't: ") && !said(&refused).contains(BUILT),
        "{}",
        said(&refused)
    );
    let refused = stage.run(&["checker", "install", "author/10.20.30.wasm", "--yes"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert_eq!(stage.compiled(), 0);
    // Signed, the same bytes are compiled: the folder is the one that is looked at.
    stage.sign(&stage.world.path("checkers/versioned.wasm"), &[]);
    checker(&gateway, |checker| checker.signer == "signed by Acme").await;
    assert_eq!(stage.compiled(), 1);
    assert!(run(&gateway, "one").await.contains(BUILT));
    running.stop().await;
}

#[tokio::test]
async fn an_unsigned_checker_runs_under_warn_and_everybody_sees_it() {
    let stage = Stage::new("warn");
    stage.drop_in(&stage.built(BUILT), "versioned");
    stage.world.add_check("one", "versioned", "");
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    let described = checker(&gateway, |_| true).await;
    assert_eq!(
        (described.signer.as_str(), described.problem.as_str()),
        ("unsigned", "")
    );
    assert!(described.note.contains("unsigned"), "{}", described.note);
    assert!(run(&gateway, "one").await.contains(BUILT));
    let listed = stage.json(&["checker", "list"]);
    assert_eq!(only(&listed)["signer"], "unsigned");
    assert_eq!(only(&listed)["used_by"], serde_json::json!(["one"]));
    running.stop().await;
}

#[test]
fn one_changed_byte_is_refused_under_warn_and_require() {
    for policy in ["warn", "require"] {
        let stage = Stage::new(policy);
        let path = stage.signed(BUILT);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        stage.drop_in(&path, "versioned");
        let refused = stage.run(&["checker", "install", path.to_str().unwrap(), "--yes"]);
        assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
        assert!(
            said(&refused).contains("isn't the one that Acme signed"),
            "{}",
            said(&refused)
        );
        let verified = stage.run(&["checker", "verify"]);
        assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
        assert!(only(&stage.json(&["checker", "list"]))["problem"].is_string());
        assert_eq!(stage.compiled(), 0, "{policy}");
    }
}

#[test]
fn a_signature_by_another_key_or_in_another_name_is_refused() {
    let stage = Stage::new("warn");
    stage.drop_in(&stage.signed(BUILT), "versioned");
    let problem = || {
        let listed = stage.json(&["checker", "list"]);
        only(&listed)["problem"].as_str().map(str::to_owned)
    };
    assert_eq!(problem(), None);
    // The customer trusts Acme with another key than the one that signed.
    let other = keygen(&stage.world, "other/key.pem");
    stage.trust("warn", "Acme", &other);
    let sentence = problem().unwrap();
    assert!(
        sentence.contains(&other) && sentence.contains(&stage.public),
        "{sentence}"
    );
    // The key is trusted, but as somebody else's.
    stage.trust("warn", "Contoso", &stage.public);
    let sentence = problem().unwrap();
    assert!(
        sentence.contains("with the key of `Contoso`, in the name of `Acme`"),
        "{sentence}"
    );
    // Neither is known: it runs, and the list says whose it claims to be.
    stage.trust("warn", "Contoso", &other);
    let listed = stage.json(&["checker", "list"]);
    assert_eq!(only(&listed)["signer"], "signed by an unknown publisher (Acme)");
    assert!(only(&listed)["note"].as_str().unwrap().contains(&stage.public));
    stage.trust("require", "Contoso", &other);
    let sentence = problem().unwrap();
    assert!(sentence.contains("not a trusted publisher"), "{sentence}");
}

#[test]
fn a_signature_for_another_version_than_the_components_own_is_refused() {
    let stage = Stage::new("warn");
    let pem = std::fs::read(stage.world.path("author/key.pem")).unwrap();
    let key = SigningKey::from_pkcs8(&pem::parse_private_key(&pem).unwrap()).unwrap();
    for (name, version) in [("versioned", NEWER), ("another", BUILT)] {
        let path = stage.built(BUILT);
        let manifest = Manifest::new(name, version, &in_version(BUILT), "Acme", 1_790_000_000).unwrap();
        std::fs::write(beside(&path), Signature::sign(manifest, &key).encode()).unwrap();
        let refused = stage.run(&["checker", "install", path.to_str().unwrap(), "--yes"]);
        assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
        let words = format!("signed as {name} {version}, and calls itself versioned {BUILT}");
        assert!(said(&refused).contains(&words), "{}", said(&refused));
    }
}

#[test]
fn a_signature_inside_the_component_counts_like_one_beside_it() {
    let stage = Stage::new("require");
    let (beside_it, inside) = (stage.signed(BUILT), stage.built(NEWER));
    stage.sign(&inside, &["--section"]);
    assert!(!beside(&inside).exists());
    let verified = stage.json(&[
        "checker",
        "verify",
        beside_it.to_str().unwrap(),
        inside.to_str().unwrap(),
    ]);
    for (item, version) in verified["items"].as_array().unwrap().iter().zip([BUILT, NEWER]) {
        assert_eq!(item["signer"], "signed by Acme");
        assert_eq!(item["version"], version);
    }
    let installed = stage.install(&inside);
    assert_eq!(installed["signer"], "signed by Acme");
    // The digest is that of what was signed, whatever is around it.
    let before = in_version(NEWER).len();
    let inspected = stage.json(&["checker", "inspect", "checkers/versioned.wasm"]);
    assert_eq!(inspected["size"], before);
    assert_eq!(inspected["digest"], installed["digest"]);
}

#[tokio::test]
async fn a_rollback_is_seen_before_and_after_a_restart() {
    let stage = Stage::new("require");
    stage.world.add_check("one", "versioned", "");
    stage.drop_in(&stage.signed(NEWER), "versioned");
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    let newer = checker(&gateway, |checker| checker.version == NEWER).await;
    assert_eq!(newer.note, "");
    stage.drop_in(&stage.signed(OLDER), "versioned");
    let is_rollback = |checker: &CheckerDescription| checker.version == OLDER && !checker.note.is_empty();
    let older = checker(&gateway, is_rollback).await;
    assert!(
        older.note.contains("rollback") && older.note.contains(NEWER),
        "{}",
        older.note
    );
    assert!(run(&gateway, "one").await.contains(OLDER));
    running.stop().await;
    // The agent remembers; so do the commands beside it.
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    checker(&gateway, is_rollback).await;
    let listed = stage.json(&["checker", "list"]);
    assert!(only(&listed)["note"].as_str().unwrap().contains("rollback"));
    let verified = stage.json(&["checker", "verify"]);
    assert!(only(&verified)["note"].as_str().unwrap().contains("rollback"));
    stage.drop_in(&stage.signed(NEWER), "versioned");
    let again = checker(&gateway, |checker| checker.version == NEWER).await;
    assert_eq!(again.note, "");
    running.stop().await;
}

#[tokio::test]
async fn a_removed_signature_is_noticed_and_what_was_verified_goes_on() {
    let stage = Stage::new("require");
    stage.world.add_check("one", "versioned", "");
    stage.drop_in(&stage.signed(BUILT), "versioned");
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    checker(&gateway, |checker| checker.signer == "signed by Acme").await;
    std::fs::remove_file(stage.world.path("checkers/versioned.wasm.sig")).unwrap();
    let described = checker(&gateway, |checker| checker.problem.contains("it is unsigned")).await;
    assert_eq!(described.version, BUILT);
    assert!(run(&gateway, "one").await.contains(BUILT));
    running.stop().await;
    // After a restart there is nothing verified to go on with.
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    assert!(run(&gateway, "one").await.contains("it is unsigned"));
    running.stop().await;
}

#[tokio::test]
async fn a_run_under_way_finishes_on_the_version_that_it_began_with() {
    let stage = Stage::new("require");
    let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    let more = format!(
        "timeout = \"60s\"\nallow = [\"tcp:{address}\"]\n[check.slow.config]\npeer = \"{address}\"\n"
    );
    let text = format!("[check.slow]\nchecker = \"versioned\"\ninterval = \"1day\"\n{more}");
    stage.world.write("checks.d/slow.toml", &text);
    stage.drop_in(&stage.signed(BUILT), "versioned");
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    let mut client = gateway.client.clone();
    let under_way = tokio::spawn(async move {
        let check = "slow".to_owned();
        client.run_check(RunCheckRequest { check }).await
    });
    let (held, _) = peer.accept().await.unwrap();
    stage.drop_in(&stage.signed(NEWER), "versioned");
    checker(&gateway, |checker| checker.version == NEWER).await;
    drop(held);
    let result = under_way.await.unwrap().unwrap().into_inner().result.unwrap();
    assert!(result.summary.contains(BUILT), "{}", result.summary);
    assert_eq!(result.checker_version, BUILT);
    let next = tokio::spawn(async move { run(&gateway, "slow").await });
    drop(peer.accept().await.unwrap());
    assert!(next.await.unwrap().contains(NEWER));
    running.stop().await;
}

#[tokio::test]
async fn two_versions_run_side_by_side_and_a_change_of_one_disturbs_no_other() {
    let stage = Stage::new("require");
    stage.install(&stage.signed(OTHER_LINE));
    assert!(stage.install(&stage.signed(BUILT))["kept"].is_string());
    stage.world.add_check("pinned", "versioned@10.19", "");
    stage.world.add_check("newest", "versioned", "");
    stage.world.add_check("line", "versioned@10.20", "");
    let running = stage.world.start().await;
    let gateway = stage.world.gateway(&running).await;
    assert!(run(&gateway, "pinned").await.contains(OTHER_LINE));
    assert!(run(&gateway, "newest").await.contains(BUILT));
    // It is there to be pinned: no rollback.
    let pinned = checker(&gateway, |checker| checker.version == OTHER_LINE).await;
    assert_eq!((pinned.note.as_str(), pinned.problem.as_str()), ("", ""));
    stage.install(&stage.signed(NEWER));
    checker(&gateway, |checker| checker.version == NEWER).await;
    assert!(run(&gateway, "newest").await.contains(NEWER));
    assert!(run(&gateway, "pinned").await.contains(OTHER_LINE));
    // Of two files of its line, a pinned check has the newer one.
    assert!(run(&gateway, "line").await.contains(NEWER));
    // Without the newer files the plain name means the old one: then it is a rollback.
    let removed = stage.run(&["checker", "remove", "versioned@10.20.30"]);
    assert!(removed.status.success(), "{}", said(&removed));
    let refused = stage.run(&["checker", "remove", "versioned"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(
        said(&refused).contains("used by line, newest"),
        "{}",
        said(&refused)
    );
    let removed = stage.run(&["checker", "remove", "versioned", "--force"]);
    assert!(removed.status.success(), "{}", said(&removed));
    assert!(!stage.world.path("checkers/versioned.wasm.sig").exists());
    let left = checker(&gateway, |checker| !checker.note.is_empty()).await;
    assert!(
        left.version == OTHER_LINE && left.note.contains("rollback"),
        "{left:?}"
    );
    assert!(run(&gateway, "pinned").await.contains(OTHER_LINE));
    running.stop().await;
}

#[test]
fn install_shows_asks_and_writes_what_it_verified() {
    let stage = Stage::new("require");
    let path = stage.signed(BUILT);
    let refused = stage.run(&["checker", "install", path.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    for words in ["signed by Acme", "can't: ", "add --yes", "Nothing was changed"] {
        assert!(said(&refused).contains(words), "{words}: {}", said(&refused));
    }
    assert_eq!(
        std::fs::read_dir(stage.world.path("checkers")).unwrap().count(),
        0
    );
    let installed = stage.install(&path);
    assert_eq!(installed["version"], BUILT);
    let into = stage.world.path("checkers/versioned.wasm");
    assert_eq!(std::fs::read(&into).unwrap(), std::fs::read(&path).unwrap());
    assert_eq!(
        std::fs::read(beside(&into)).unwrap(),
        std::fs::read(beside(&path)).unwrap()
    );
    // Compiled on the way: the agent needn't.
    assert_eq!(stage.compiled(), 1);
    // The same version again keeps nothing aside.
    assert!(stage.install(&path)["kept"].is_null());
    let listed = stage.json(&["checker", "list"]);
    assert_eq!(only(&listed)["signer"], "signed by Acme");
    assert_eq!(only(&listed)["note"], Value::Null);
}

/// `script`, which every Debian has, gives the program a terminal.
#[test]
fn a_person_at_a_terminal_is_asked_and_may_say_no() {
    let stage = Stage::new("require");
    stage.signed(BUILT);
    let install = format!(
        "{} checker install author/{BUILT}.wasm",
        env!("CARGO_BIN_EXE_agent-host")
    );
    let answer = |text: &str| {
        let mut child = Command::new("script")
            .current_dir(stage.world.path(""))
            .args(["-qec", &install, "/dev/null"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("`script` of the Debian package bsdutils");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let refused = answer("n\n");
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(
        said(&refused).contains("[y/N]") && said(&refused).contains("signed by Acme"),
        "{}",
        said(&refused)
    );
    let file = stage.world.path("checkers/versioned.wasm");
    assert!(!file.exists());
    let installed = answer("y\n");
    assert_eq!(installed.status.code(), Some(0), "{}", said(&installed));
    assert!(file.exists());
}

#[test]
fn verify_compiles_nothing_and_can_try_another_policy() {
    let stage = Stage::new("warn");
    stage.drop_in(&stage.built(BUILT), "versioned");
    let verify = |more: &[&str]| stage.run(&[&["checker", "verify"], more].concat()).status.code();
    assert_eq!(verify(&[]), Some(0));
    assert_eq!(verify(&["versioned"]), Some(0));
    assert_eq!(verify(&["--policy", "require"]), Some(1));
    let unknown = stage.run(&["checker", "verify", "versionde"]);
    assert!(
        said(&unknown).contains("did you mean `versioned`?"),
        "{}",
        said(&unknown)
    );
    assert_eq!(stage.compiled(), 0);
}

#[test]
fn a_key_is_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;

    let stage = Stage::new("warn");
    let path = stage.world.path("author/key.pem");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let refused = stage.run(&["checker", "keygen", "--out", "author/key.pem"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // A folder that others may enter is no place for it.
    std::fs::set_permissions(
        stage.world.path("checkers"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let refused = stage.run(&["checker", "keygen", "--out", "checkers/key.pem"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(
        said(&refused).contains("--out signing/key.pem"),
        "{}",
        said(&refused)
    );
    // One that others can read isn't used.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = stage.built(BUILT);
    let sign = [
        "checker",
        "sign",
        file.to_str().unwrap(),
        "--key",
        "author/key.pem",
    ];
    let refused = stage.run(&[&sign[..], &["--publisher", "Acme"]].concat());
    assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
    assert!(said(&refused).contains("chmod 600"), "{}", said(&refused));
    let secret = text.lines().nth(1).unwrap();
    assert!(!said(&refused).contains(secret));
}

#[test]
fn sign_says_when_another_signature_of_the_file_is_wrong() {
    let stage = Stage::new("warn");
    let path = stage.signed(BUILT);
    // Built again, with the old signature still beside it; signed inside only.
    std::fs::write(&path, in_version(NEWER)).unwrap();
    let sign = [
        "checker",
        "sign",
        path.to_str().unwrap(),
        "--key",
        "author/key.pem",
    ];
    let output = stage.run(&[&sign[..], &["--publisher", "Acme", "--section"]].concat());
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(
        said(&output).contains("isn't the one that Acme signed"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn inspect_prints_the_line_that_makes_a_check_run() {
    let stage = Stage::new("require");
    let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let check = |allow: &str| {
        let text = format!(
            "[check.slow]\nchecker = \"versioned\"\ninterval = \"1day\"\n{allow}\n[check.slow.config]\npeer = \"{address}\"\n"
        );
        stage.world.write("checks.d/slow.toml", &text);
    };
    check("allow = [\"icmp:*\"]");
    stage.install(&stage.signed(BUILT));
    let denied = stage.json(&["check", "run", "slow"]);
    assert_eq!(denied["status"], "unknown", "{denied}");
    let file = "checkers/versioned.wasm";
    let asks = |config: &str| stage.json(&["checker", "inspect", file, "--config", config])["asks"].clone();
    let line = asks("slow")["write"].as_str().unwrap().to_owned();
    assert_eq!(line, format!("allow = [\"icmp:*\", \"tcp:{address}\"]"));
    let shown = said(&stage.run(&["checker", "inspect", file, "--config", "slow"]));
    assert!(
        shown.contains(&format!("\n{line}\n")) && shown.contains("[check.slow] of "),
        "{shown}"
    );
    // The same from the file and from the configuration alone, which is granted nothing yet.
    assert_eq!(asks("checks.d/slow.toml")["write"], line);
    let alone = asks(&format!("{{\"peer\": \"{address}\"}}"));
    assert_eq!(alone["write"], format!("allow = [\"tcp:{address}\"]"));
    check(&line);
    let answering = std::thread::spawn(move || drop(peer.accept().unwrap()));
    let ran = stage.json(&["check", "run", "slow"]);
    assert_eq!(ran["status"], "ok", "{ran}");
    answering.join().unwrap();
    let granted = asks("slow");
    assert_eq!(granted["needs"][0]["granted"], true);
    let unknown = stage.run(&["checker", "inspect", file, "--config", "slov"]);
    assert!(
        said(&unknown).contains("did you mean `slow`?"),
        "{}",
        said(&unknown)
    );
}
