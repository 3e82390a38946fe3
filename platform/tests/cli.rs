//! The program itself: what it prints, and the exit codes of what goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// Everything in a folder and below it.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// How PKCS #8 begins, after its length: version 0, and an algorithm: an EC public key. For P-384 and P-256.
const PKCS8: [&[u8]; 2] = [
    &[
        0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    ],
    &[
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    ],
];

#[test]
fn the_data_folder_holds_no_authoritys_key_in_the_clear_and_not_what_opens_them() {
    let (data, config) = installed();
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    let opener = data.outer.path().join("picket-ca-key/ca.key");
    let opener = std::fs::read_to_string(opener).unwrap();
    let bytes = STANDARD.decode(opener.trim()).unwrap();
    let text = |key: &[u8]| STANDARD.encode(key).into_bytes();
    let mut secrets = vec![b"PRIVATE KEY".to_vec(), opener.trim().into(), bytes];
    for begin in PKCS8 {
        secrets.extend([begin.to_vec(), text(begin)[..16].to_vec()]);
    }
    let in_the_clear = old_key();
    assert!(contains(&in_the_clear, PKCS8[1]) && contains(&text(&in_the_clear), &text(PKCS8[1])[..16]));
    let found = files(data.path());
    let keys = found
        .iter()
        .filter(|(path, _)| path.extension() == Some("key".as_ref()));
    assert_eq!(keys.count(), 4);
    for (path, file) in found {
        for secret in &secrets {
            assert!(!contains(&file, secret), "{}", path.display());
        }
    }
}

/// A key as an older version wrote it.
fn old_key() -> Vec<u8> {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own").join("key.pem");
    PrivateKey::generate().unwrap().store(&path).unwrap();
    PrivateKeyDer::from_pem_file(&path).unwrap().secret_der().to_vec()
}

#[test]
fn init_says_where_the_encryption_key_is_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("picket");
    let output = platform(&[
        "init",
        "--data-dir",
        data.to_str().unwrap(),
        "--trust-domain",
        "picket.test",
    ]);
    assert!(output.status.success());
    let key = outer.path().join("picket-ca-key/ca.key");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(key.to_str().unwrap()) && said.contains("backup"),
        "{said}"
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o600, 0o700));
    assert!(!said.contains(std::fs::read_to_string(&key).unwrap().trim()));
}

#[test]
fn an_encryption_key_inside_of_the_data_folder_is_refused_and_nothing_is_made() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("picket");
    let inside = data.join("keys/ca.key");
    fails(
        &[
            "init",
            "--data-dir",
            data.to_str().unwrap(),
            "--trust-domain",
            "picket.test",
            "--encryption-key-file",
            inside.to_str().unwrap(),
        ],
        78,
        "inside of the data folder",
    );
    assert!(!inside.exists() && !data.join("picket.db").exists());
}

#[test]
fn the_environment_may_give_the_encryption_key_and_then_no_file_is_made() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("picket");
    let run = |arguments: &[&str], key: &str| {
        Command::new(env!("CARGO_BIN_EXE_platform"))
            .args(arguments)
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("PICKET_CA_KEY", key)
            .output()
            .unwrap()
    };
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let made = run(
        &[
            "init",
            "--data-dir",
            data.to_str().unwrap(),
            "--trust-domain",
            "picket.test",
        ],
        key,
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(!outer.path().join("picket-ca-key").exists());
    let config = data.join("platform.toml");
    let config = config.to_str().unwrap();
    assert!(
        run(&["tenant", "add", "acme", "--config", config], key)
            .status
            .success()
    );
    let other = run(
        &["tenant", "add", "globex", "--config", config],
        "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=",
    );
    let said = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(78), "{said}");
    assert!(said.contains("was encrypted with key"), "{said}");
    fails(
        &["tenant", "add", "globex", "--config", config],
        78,
        "PICKET_CA_KEY",
    );
    assert!(
        !succeeds(&["tenant", "list", "--config", config]).contains("globex"),
        "and what needs no key works without it"
    );
}

#[test]
fn a_lost_encryption_key_is_a_sentence_with_exit_code_78() {
    let (data, config) = installed();
    std::fs::remove_file(data.outer.path().join("picket-ca-key/ca.key")).unwrap();
    fails(
        &["tenant", "add", "acme", "--config", &config],
        78,
        "bring it back from where it is kept",
    );
}

#[test]
fn an_encryption_key_that_is_given_twice_is_refused() {
    let (_data, config) = installed();
    let output = Command::new(env!("CARGO_BIN_EXE_platform"))
        .args(["tenant", "add", "acme", "--config", &config])
        .env("PICKET_CA_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("expected exactly one"), "{said}");
}

#[test]
fn two_authorities_keys_in_each_others_places_are_refused() {
    let (data, config) = installed();
    let key = |kind: &str| {
        files(&data.path().join("keys"))
            .into_iter()
            .map(|(path, _)| path)
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind))
            .unwrap()
    };
    let (root, gateway) = (key("root-"), key("gateway-"));
    std::fs::copy(&gateway, &root).unwrap();
    fails(
        &["tenant", "add", "acme", "--config", &config],
        78,
        "another authority's key under this name",
    );
}

/// What an older version left: every key in the clear, and a configuration without [keys].
fn made_old(data: &Data, config: &str) {
    let opener = data.outer.path().join("picket-ca-key/ca.key");
    let opener =
        picket_platform::authority::encryption::EncryptionKey::parse(&std::fs::read(&opener).unwrap())
            .unwrap();
    for (path, file) in files(&data.path().join("keys")) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let der = opener.open(&name, &file, &path).unwrap();
        std::fs::write(&path, pem_of(&der)).unwrap();
    }
    std::fs::remove_dir_all(data.outer.path().join("picket-ca-key")).unwrap();
    let text = std::fs::read_to_string(config).unwrap();
    let end = text.find("\n[keys]").unwrap();
    std::fs::write(config, &text[..end]).unwrap();
}

fn pem_of(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

#[test]
fn keys_in_the_clear_are_refused_until_they_are_encrypted() {
    let (data, config) = installed();
    made_old(&data, &config);
    fails(
        &["tenant", "add", "acme", "--config", &config],
        78,
        "platform ca encrypt",
    );
    let done = succeeds(&["ca", "encrypt", "--config", &config]);
    assert_eq!(done, "root\ngateway CA\nplatform CA\n");
    for (path, file) in files(&data.path().join("keys")) {
        assert!(!contains(&file, b"PRIVATE KEY"), "{}", path.display());
    }
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    assert_eq!(
        succeeds(&["ca", "encrypt", "--config", &config]),
        "",
        "and there is nothing left to do"
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
