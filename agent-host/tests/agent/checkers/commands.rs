//! `agent-host checker …`: what customers and authors type.

use std::process::Command;

use serde_json::Value;

use super::stage::{BUILT, NEWER, Stage, beside, in_version, only, said};

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

/// A module in C, which can't describe itself, with a section; and a component in Rust, with a file beside it.
#[test]
fn a_signed_command_is_called_what_its_signature_says() {
    let stage = Stage::new("require");
    for (command, more, name) in [
        ("check_file_age", &["--section"][..], "check-file-age"),
        ("check_port", &[], "check-port"),
    ] {
        let path = stage.world.path("author").join(format!("{command}.wasm"));
        std::fs::copy(crate::commands::command(command), &path).unwrap();
        stage.sign(&path, more);
        // Whatever the customer calls the file.
        let renamed = stage.world.path(&format!("author/download-{}.wasm", name.len()));
        std::fs::rename(&path, &renamed).unwrap();
        if beside(&path).exists() {
            std::fs::rename(beside(&path), beside(&renamed)).unwrap();
        }
        let installed = stage.install(&renamed);
        assert_eq!(
            (&installed["name"], &installed["signer"]),
            (&name.into(), &"signed by Acme".into())
        );
        assert!(stage.world.path(&format!("checkers/{name}.wasm")).exists());
    }
    let listed = stage.json(&["checker", "list"]);
    for item in listed["items"].as_array().unwrap() {
        assert_eq!(
            (&item["problem"], &item["signer"]),
            (&Value::Null, &"signed by Acme".into())
        );
    }
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
