//! What the authorities' keys are encrypted with, and what lies where.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_identity::credential::PrivateKey;

use super::{Data, fails, installed, platform, succeeds};

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
fn a_systemd_credential_may_give_the_encryption_key() {
    let (data, config) = installed();
    let credentials = data.outer.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let file = data.outer.path().join("picket-ca-key/ca.key");
    std::fs::rename(file, credentials.join("picket-ca-key")).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let end = text.find("\n[keys]").unwrap();
    std::fs::write(&config, &text[..end]).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_platform"))
        .args(["tenant", "add", "acme", "--config", &config])
        .env_remove("PICKET_CA_KEY")
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fails(
        &["tenant", "add", "globex", "--config", &config],
        78,
        "systemd credential",
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
