//! `platform ca`.

use super::{fails, installed, succeeds};

fn authorities(config: &str) -> Vec<serde_json::Value> {
    let shown = succeeds(&["ca", "show", "-o", "json", "--config", config]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["items"].as_array().unwrap().clone()
}

#[test]
fn an_authority_is_rotated_by_the_command_line() {
    let (_data, config) = installed();
    succeeds(&["tenant", "add", "acme", "--config", &config]);
    let rotate = |arguments: &[&str]| {
        let mut all = vec!["ca", "rotate", "--config", config.as_str()];
        all.extend(arguments);
        succeeds(&all)
    };
    assert_eq!(rotate(&["tenant", "acme"]), "tenant CA acme: prepare\n");
    let prepared = authorities(&config).pop().unwrap();
    assert_eq!(
        (&prepared["state"], &prepared["tenant"]),
        (&"prepared".into(), &"acme".into())
    );
    assert!(
        prepared["waits_for"].as_str().unwrap().contains("activate"),
        "{prepared}"
    );
    rotate(&["tenant", "acme", "--step", "activate"]);
    fails(
        &[
            "ca", "rotate", "tenant", "acme", "--step", "taint", "--config", &config,
        ],
        1,
        "the overlap with its successor",
    );
    rotate(&["tenant", "acme", "--step", "taint", "--force"]);
    rotate(&["tenant", "acme", "--step", "revoke"]);
    let states: Vec<_> = authorities(&config)
        .into_iter()
        .filter(|ca| ca["kind"] == "tenant")
        .map(|ca| ca["state"].clone())
        .collect();
    assert_eq!(states, ["revoked", "active"]);
    fails(
        &["ca", "rotate", "gateway", "acme", "--config", &config],
        2,
        "only `tenant`",
    );
    fails(&["ca", "rotate", "tenant", "--config", &config], 2, "SLUG");
    fails(
        &["ca", "rotate", "tenant", "globex", "--config", &config],
        1,
        "no tenant globex",
    );
    fails(
        &["ca", "rotate", "root", "--step", "revoke", "--config", &config],
        1,
        "no root to revoke",
    );
}

#[test]
fn the_root_is_exported_with_its_fingerprint_and_its_key_moved_out() {
    let (data, config) = installed();
    let root = authorities(&config).remove(0);
    let fingerprint = root["sha256"].as_str().unwrap();
    let shown = succeeds(&["ca", "export-root", "--config", &config]);
    assert!(
        shown.contains(fingerprint) && shown.contains(root["certificate"].as_str().unwrap()),
        "{shown}"
    );
    let file = data.outer.path().join("root.pem");
    let said = succeeds(&[
        "ca",
        "export-root",
        "--out",
        file.to_str().unwrap(),
        "--config",
        &config,
    ]);
    assert!(said.contains(fingerprint));
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        root["certificate"].as_str().unwrap()
    );

    let key = data.outer.path().join("root.key");
    let key = key.to_str().unwrap();
    succeeds(&["ca", "export-root", "--with-key", key, "--config", &config]);
    fails(&["tenant", "add", "acme", "--config", &config], 78, "--root-key");
    succeeds(&["tenant", "list", "--config", &config]);
    succeeds(&["tenant", "add", "acme", "--root-key", key, "--config", &config]);
    fails(
        &["ca", "rotate", "tenant", "acme", "--config", &config],
        78,
        "--root-key",
    );
    succeeds(&[
        "ca",
        "rotate",
        "tenant",
        "acme",
        "--root-key",
        key,
        "--config",
        &config,
    ]);
}
