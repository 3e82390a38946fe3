//! Who signed a checker, and what follows from it on the agent.

#[path = "checkers/commands.rs"]
mod commands;
#[path = "checkers/stage.rs"]
mod stage;

use picket_identity::pem;
use picket_proto::agent::v1::{CheckerDescription, RunCheckRequest};
use picket_sandbox::component::signature::{Manifest, Signature, SigningKey};

use stage::{BUILT, NEWER, OLDER, OTHER_LINE, Stage, beside, checker, in_version, keygen, only, run, said};

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
