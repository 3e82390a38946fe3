//! The program itself: what it prints, and the exit codes of what goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "cli/authorities.rs"]
mod authorities;
#[path = "cli/keys.rs"]
mod keys;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use picket_identity::credential::PrivateKey;
use picket_identity::pem;

fn platform(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_platform"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("PICKET_CA_KEY")
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap()
}

fn fails(arguments: &[&str], code: i32, says: &str) {
    let output = platform(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(says), "{says:?} is not in:\n{stderr}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}

fn succeeds(arguments: &[&str]) -> String {
    let output = platform(arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A data folder, in a folder of its own.
struct Data {
    outer: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Data {
    fn path(&self) -> &Path {
        &self.path
    }
}

fn installed() -> (Data, String) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("picket");
    let config = succeeds(&[
        "init",
        "--data-dir",
        path.to_str().unwrap(),
        "--trust-domain",
        "picket.test",
    ]);
    (Data { outer, path }, config.trim().to_owned())
}

fn set(config: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(config).unwrap();
    assert!(text.contains(from));
    std::fs::write(config, text.replace(from, to)).unwrap();
}

fn request(folder: &Path) -> String {
    let path = folder.join("request.csr");
    std::fs::write(
        &path,
        pem::request(&PrivateKey::generate().unwrap().csr("x").unwrap()),
    )
    .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn tenants_agents_and_gateways_are_added_and_listed() {
    let (folder, config) = installed();
    let csr = request(folder.path());
    succeeds(&["tenant", "add", "acme", "--name", "Acme", "--config", &config]);
    let out = folder.path().join("berlin-1.enroll");
    let out = out.to_str().unwrap();
    let agent = [
        "agent",
        "add",
        "--tenant",
        "acme",
        "--name",
        "berlin-1",
        "--endpoint",
        "10.0.0.4:7443",
        "--out",
        out,
        "--config",
        &config,
    ];
    assert_eq!(succeeds(&agent).trim(), out);
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(file["spiffe_id"], "spiffe://acme.picket.test/agent/berlin-1");
    assert!(succeeds(&["agent", "list", "--config", &config]).contains("awaiting_enrolment"));
    fails(&agent, 1, "--replace");
    let gateway = folder.path().join("gw.json");
    succeeds(&[
        "gateway",
        "add",
        "--name",
        "gw-1",
        "--csr",
        &csr,
        "--out",
        gateway.to_str().unwrap(),
        "--config",
        &config,
    ]);
    for (what, name) in [("tenant", "acme"), ("agent", "berlin-1"), ("gateway", "gw-1")] {
        assert!(succeeds(&[what, "list", "--config", &config]).contains(name));
        let json: serde_json::Value =
            serde_json::from_str(&succeeds(&[what, "list", "-o", "json", "--config", &config])).unwrap();
        assert_eq!(json["items"].as_array().unwrap().len(), 1);
    }
    assert!(succeeds(&["ca", "show", "--config", &config]).contains("BEGIN CERTIFICATE"));
    assert!(succeeds(&["token", "create", "--name", "ci", "--config", &config]).starts_with("picket_"));
    fails(
        &["token", "create", "--name", "ci", "--config", &config],
        1,
        "already",
    );
    fails(
        &[
            "token", "create", "--name", "x", "--tenant", "nobody", "--config", &config,
        ],
        1,
        "no tenant nobody",
    );
}

#[test]
fn a_busy_port_is_named_with_exit_code_69() {
    let (_folder, config) = installed();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    set(
        &config,
        "127.0.0.1:8443",
        &taken.local_addr().unwrap().to_string(),
    );
    set(&config, "0.0.0.0:7600", "127.0.0.1:0");
    fails(
        &["serve", "--config", &config],
        69,
        &format!("the web port {}", taken.local_addr().unwrap()),
    );
}

#[test]
fn broken_toml_and_unknown_keys_are_shown_with_their_place_and_exit_code_78() {
    let (_folder, config) = installed();
    set(&config, "node = ", "nod = ");
    fails(&["serve", "--config", &config], 78, "did you mean `node`?");
    set(&config, "nod = ", "node == ");
    fails(&["tenant", "list", "--config", &config], 78, "platform.toml:5");
}

#[test]
fn a_missing_configuration_is_a_sentence_with_exit_code_78() {
    fails(
        &["serve", "--config", "/nowhere/platform.toml"],
        78,
        "/nowhere/platform.toml",
    );
}

#[test]
fn a_missing_database_is_a_sentence_with_exit_code_78() {
    let (folder, config) = installed();
    std::fs::remove_file(folder.path().join("picket.db")).unwrap();
    fails(&["tenant", "list", "--config", &config], 78, "platform init");
}

#[test]
fn a_folder_that_cant_be_made_is_a_sentence_with_exit_code_78() {
    fails(
        &[
            "init",
            "--data-dir",
            "/proc/picket",
            "--trust-domain",
            "picket.test",
        ],
        78,
        "/proc/picket",
    );
}

#[test]
fn a_second_init_changes_nothing() {
    let (folder, config) = installed();
    let before = std::fs::read(&config).unwrap();
    let again = [
        "init",
        "--data-dir",
        folder.path().to_str().unwrap(),
        "--trust-domain",
        "other.test",
    ];
    fails(&again, 78, "exists already");
    std::fs::remove_file(&config).unwrap();
    fails(&again, 78, "picket.test");
    assert!(!before.is_empty());
}

#[test]
fn another_trust_domain_than_the_databases_is_refused() {
    let (_folder, config) = installed();
    set(&config, "picket.test", "other.test");
    fails(
        &["tenant", "list", "--config", &config],
        78,
        "the database was made for picket.test",
    );
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_program_is_a_sentence_with_exit_code_78() {
    let (folder, config) = installed();
    let store = picket_platform::store::Store::open(&folder.path().join("picket.db"))
        .await
        .unwrap();
    let mut write = store.write().await.unwrap();
    sqlx::query("INSERT INTO schema_migration (version, name, applied_at) VALUES (99, 'future', 0)")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    store.close().await;
    fails(&["serve", "--config", &config], 78, "schema version 99");
}

#[test]
fn what_cant_be_registered_is_refused_and_registers_nothing() {
    let (folder, config) = installed();
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    let csr = folder.path().join("broken.csr");
    std::fs::write(&csr, "hello").unwrap();
    let out = folder.path().join("x.json");
    let (csr, out) = (csr.to_str().unwrap(), out.to_str().unwrap());
    fails(
        &[
            "gateway", "add", "--name", "gw", "--csr", csr, "--out", out, "--config", &config,
        ],
        2,
        "request",
    );
    let agent = |endpoint: &str, out: &str, code: i32, says: &str| {
        fails(
            &[
                "agent",
                "add",
                "--tenant",
                "acme",
                "--name",
                "a",
                "--endpoint",
                endpoint,
                "--out",
                out,
                "--config",
                &config,
            ],
            code,
            says,
        );
    };
    agent("h", out, 2, "HOST:PORT");
    agent("h:1", "/nowhere/x.json", 78, "/nowhere/x.json");
    let (tenant, name) = ("t".repeat(30), "a".repeat(40));
    succeeds(&["tenant", "add", &tenant, "--config", &config]);
    fails(
        &[
            "agent",
            "add",
            "--tenant",
            &tenant,
            "--name",
            &name,
            "--endpoint",
            "h:1",
            "--out",
            out,
            "--config",
            &config,
        ],
        2,
        "expected at most 64",
    );
    assert!(!succeeds(&["agent", "list", "--config", &config]).contains("h:1"));
    assert!(!succeeds(&["gateway", "list", "--config", &config]).contains("gw"));
    assert!(!Path::new(out).exists());
}

#[test]
fn an_enrolment_file_is_its_owners_alone_and_its_key_is_nowhere_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, config) = installed();
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    let out = folder.path().join("berlin-1.enroll");
    // A file that others may read, under the same name, leaves nothing of its mode.
    std::fs::write(&out, "old").unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o644)).unwrap();
    succeeds(&[
        "agent",
        "add",
        "--tenant",
        "acme",
        "--name",
        "berlin-1",
        "--endpoint",
        "h:1",
        "--out",
        out.to_str().unwrap(),
        "--config",
        &config,
    ]);
    let mode = std::fs::metadata(&out).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let text = std::fs::read_to_string(&out).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = file["activation_key"].as_str().unwrap();
    let seed = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path != out {
            let bytes = std::fs::read(&path).unwrap();
            let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(
                !holds(&seed) && !holds(key.as_bytes()),
                "the activation key is in {}",
                path.display()
            );
        }
    }
}

#[test]
fn revoking_and_approving_name_what_isnt_there() {
    let (_folder, config) = installed();
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    let none = "there is no agent acme/nobody";
    fails(&["agent", "revoke", "acme/nobody", "--config", &config], 1, none);
    fails(&["agent", "approve", "acme/nobody", "--config", &config], 1, none);
    fails(
        &["agent", "revoke", "nobody", "--config", &config],
        2,
        "expected TENANT/AGENT",
    );
    fails(
        &["gateway", "revoke", "gw-9", "--config", &config],
        1,
        "there is no gateway gw-9",
    );
}

#[test]
fn only_the_owner_can_read_the_database_and_the_keys() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, _config) = installed();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("picket.db")), 0o600);
    let keys = folder.path().join("keys");
    assert_eq!(mode(&keys), 0o700);
    for entry in std::fs::read_dir(keys).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[test]
fn a_tenant_is_suspended_resumed_and_deleted_only_with_yes() {
    let (_data, config) = installed();
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    let state = || {
        let shown = succeeds(&["tenant", "list", "-o", "json", "--config", &config]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["items"][0]["state"].as_str().unwrap().to_owned()
    };
    succeeds(&["tenant", "suspend", "acme", "--config", &config]);
    assert_eq!(state(), "suspended");
    fails(
        &[
            "agent",
            "add",
            "--tenant",
            "acme",
            "--name",
            "a",
            "--endpoint",
            "h:1",
            "--out",
            "/dev/null",
            "--config",
            &config,
        ],
        77,
        "tenant resume acme",
    );
    succeeds(&["tenant", "resume", "acme", "--config", &config]);
    assert_eq!(state(), "active");
    fails(&["tenant", "delete", "acme", "--config", &config], 2, "--yes");
    assert_eq!(state(), "active");
    succeeds(&["tenant", "delete", "acme", "--yes", "--config", &config]);
    assert_eq!(state(), "deleted");
    fails(
        &["tenant", "add", "acme", "--config", &config],
        1,
        "never used again",
    );
    fails(
        &["tenant", "resume", "acme", "--config", &config],
        1,
        "no tenant acme",
    );
    fails(
        &[
            "token", "create", "--name", "x", "--tenant", "acme", "--config", &config,
        ],
        1,
        "no tenant acme",
    );
}

#[test]
fn a_job_can_be_run_by_hand_once_at_a_time() {
    let (_folder, config) = installed();
    let id = succeeds(&["job", "run", "retention", "--config", &config]);
    assert!(!id.trim().is_empty());
    assert_eq!(
        succeeds(&["job", "run", "retention", "--config", &config]).trim(),
        "one is waiting already"
    );
    assert!(succeeds(&["job", "list", "--config", &config]).contains(id.trim()));
    fails(
        &["job", "run", "no-such", "--config", &config],
        2,
        "certificate-expiry",
    );
}
