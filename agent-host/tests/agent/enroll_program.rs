//! `agent-host enroll`, and the program around it: what people see, and what a crash leaves.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use picket_identity::bundle;
use picket_identity::enrollment::fingerprint;
use picket_identity::verify::now;
use picket_proto::agent::v1::StepFailed;
use picket_proto::agent::v1::enroll_request::Kind as Ask;
use rustix::process::{Pid, Signal, kill_process};

use crate::command_line::{agent_host, text};
use crate::program::Program;
use crate::registry::{SEQUENCE, denial_of, earlier, later, update_trust};
use crate::world::{World, eventually};

/// For what is refused at once. Where it isn't, the test fails, and doesn't hang.
fn enroll(world: &World, arguments: &[&str]) -> Output {
    let mut all = vec!["enroll", "a.enroll"];
    if !arguments.contains(&"--timeout") {
        all.extend(["--timeout", "2s"]);
    }
    all.extend(arguments);
    agent_host(&world.path(""), &all)
}

fn fails_with(code: i32, output: &Output, words: &[&str]) {
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{shown}");
    for words in words {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
}

#[tokio::test]
async fn enroll_waits_says_so_installs_and_wipes_the_file() {
    let world = World::not_enrolled();
    let added = world.add_agent();
    world.write_enroll_file("a.enroll", &added);
    let root = fingerprint(world.root.certificate_der());
    let mut program = Program::start(
        &world,
        "enroll",
        &["enroll", "a.enroll", "--root-fingerprint", &root],
    );
    let address = program.address().await;
    let talk = program.stderr();
    for words in [
        "enrolling spiffe://acme.picket.example/agent/berlin-1",
        &root,
        &address.to_string(),
        "good until",
    ] {
        assert!(talk.contains(words), "{words} is not in\n{talk}");
    }
    // An attempt that fails at the platform, and a stranger.
    let mut first = world.begin(address).await;
    first.proof().await.unwrap();
    let told = StepFailed {
        step: "issue".to_owned(),
        cause: "activation_expired".to_owned(),
        detail: "it was good until yesterday".to_owned(),
    };
    first.say(Ask::Failed(told)).await;
    let stranger = crate::registry::dial_for_enrollment(address, &world.gateway_for("globex")).await;
    assert!(stranger.is_err());
    let told = || async { program.stderr().contains("wrong_tenant").then_some(()) };
    eventually("the talk", told).await;
    let told = || async { program.stderr().contains("attempt attempt-1").then_some(()) };
    eventually("the talk", told).await;
    let talk = program.stderr();
    for words in [
        "step issue: activation_expired: it was good until yesterday",
        "platform agent add --replace",
        "still waiting",
        "correlation_id=attempt-1",
    ] {
        assert!(talk.contains(words), "{words} is not in\n{talk}");
    }
    assert_eq!(
        talk.matches("cause=\"activation_expired\"").count(),
        1,
        "logged once\n{talk}"
    );

    let serial = world.enroll_at(address, &added).await;
    assert_eq!(program.ended().await, Some(0), "{}", program.stderr());
    assert_eq!(program.stdout(), "spiffe://acme.picket.example/agent/berlin-1\n");
    assert!(
        program.stderr().contains("Next: agent-host run"),
        "{}",
        program.stderr()
    );
    assert!(!world.path("a.enroll").exists() && !world.path("identity/pending.key").exists());
    let shown = agent_host(&world.path(""), &["cert", "show", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["serial"], &shown["trust_sequence"]),
        (&serial.into(), &SEQUENCE.into())
    );
}

#[test]
fn a_file_that_is_not_this_platforms_word_is_refused_before_anything_is_made() {
    let world = World::not_enrolled();
    let added = world.add_agent();
    world.write_enroll_file("a.enroll", &added);
    let other = "00".repeat(32);
    let refused = enroll(&world, &["--root-fingerprint", &other]);
    fails_with(
        77,
        &refused,
        &["fingerprint", &other, &fingerprint(world.root.certificate_der())],
    );
    let good = std::fs::read_to_string(world.path("a.enroll")).unwrap();
    world.write("a.enroll", &good.replace("127.0.0.1:7443", "127.0.0.1:7444"));
    fails_with(77, &enroll(&world, &[]), &["was changed"]);
    world.write("a.enroll", "{\"activation_key\": \"c2VjcmV0\"");
    let refused = enroll(&world, &[]);
    fails_with(77, &refused, &["not an enrolment file"]);
    assert!(!text(&refused.stderr).contains("c2VjcmV0"));
    let old = world.add_agent_until(earlier(now(), Duration::from_secs(60)));
    world.write_enroll_file("a.enroll", &old);
    fails_with(77, &enroll(&world, &[]), &["platform agent add --replace"]);
    std::fs::remove_file(world.path("a.enroll")).unwrap();
    fails_with(69, &enroll(&world, &[]), &["can't read a.enroll"]);
    assert!(!world.path("identity").exists(), "nothing was made");
}

#[test]
fn a_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::not_enrolled();
    world.write_enroll_file("a.enroll", &world.add_agent());
    std::fs::set_permissions(world.path("a.enroll"), std::fs::Permissions::from_mode(0o644)).unwrap();
    fails_with(
        69,
        &enroll(&world, &["--timeout", "100ms"]),
        &["others can read it"],
    );
}

#[tokio::test]
async fn it_gives_up_after_its_timeout_and_on_a_signal_and_keeps_the_file() {
    let world = World::not_enrolled();
    world.write_enroll_file("a.enroll", &world.add_agent());
    fails_with(
        69,
        &enroll(&world, &["--timeout", "200ms"]),
        &["no gateway", "within 200ms"],
    );
    let mut program = Program::start(&world, "enroll", &["enroll", "a.enroll"]);
    program.address().await;
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await, Some(69));
    assert!(program.stderr().contains("interrupted"), "{}", program.stderr());
    assert!(world.path("a.enroll").exists() && world.path("identity/pending.key").exists());
}

#[tokio::test]
async fn a_file_that_runs_out_ends_the_waiting() {
    let world = World::not_enrolled();
    world.write_enroll_file(
        "a.enroll",
        &world.add_agent_until(later(now(), Duration::from_secs(3))),
    );
    let mut program = Program::start(&world, "enroll", &["enroll", "a.enroll"]);
    assert_eq!(program.ended().await, Some(77), "{}", program.stderr());
    assert!(program.stderr().contains("has run out"), "{}", program.stderr());
}

/// Who enrols an agent anew says so; the old certificate stays until the new one is there, and the key is a new one.
#[tokio::test]
async fn an_enrolled_agent_is_only_enrolled_anew_where_that_is_said() {
    let world = World::new();
    let before = bundle::load(&world.path("identity"), now()).unwrap();
    let added = world.add_agent();
    world.write_enroll_file("a.enroll", &added);
    fails_with(78, &enroll(&world, &[]), &["is enrolled already", "--replace"]);
    // As after a crash right after the first certificate was installed: its key must not get a second one.
    std::fs::copy(
        world.path("identity/identity.key"),
        world.path("identity/pending.key"),
    )
    .unwrap();
    let serial = async || {
        let mut program = Program::start(&world, "enroll", &["enroll", "a.enroll", "--replace"]);
        let address = program.address().await;
        let current = bundle::load(&world.path("identity"), now()).unwrap();
        assert_eq!(current.verified().serial(), before.verified().serial());
        let serial = world.enroll_at(address, &added).await;
        assert_eq!(program.ended().await, Some(0), "{}", program.stderr());
        serial
    };
    let serial = serial().await;
    let after = bundle::load(&world.path("identity"), now()).unwrap();
    assert_eq!(after.verified().serial().to_string(), serial);
    assert_ne!(
        after.credential().key().public_key(),
        before.credential().key().public_key()
    );
}

#[tokio::test]
async fn another_agents_file_is_refused_even_with_replace() {
    let world = World::new();
    let mut other = World::not_enrolled();
    other.tenant = "globex".parse().unwrap();
    world.write_enroll_file("a.enroll", &other.add_agent());
    fails_with(
        78,
        &enroll(&world, &["--replace"]),
        &["holds the identity of", "--dir"],
    );
}

#[tokio::test]
async fn a_running_agent_is_not_enrolled_anew_under_its_feet() {
    let world = World::new();
    let running = world.start().await;
    world.write_enroll_file("a.enroll", &world.add_agent());
    fails_with(69, &enroll(&world, &["--replace"]), &["the agent runs: stop it"]);
    running.stop().await;
}

/// Killed at any time, the program leaves a key and a certificate that belong together, and no older ones than it has told.
#[tokio::test]
async fn an_agent_that_is_killed_while_it_installs_leaves_a_good_pair() {
    let world = World::new();
    let mut told = Vec::new();
    for round in 0..8_u64 {
        let mut program = Program::start(&world, "run", &["run"]);
        let address = program.address().await;
        let gateway = world.dial_at(address, &world.gateway_for("acme")).await.unwrap();
        let channel = gateway.channel.clone();
        // Some time after the first one of each round: spread over the renewals that follow.
        let pid = Pid::from_child(&program.child);
        let is_first = Arc::new(tokio::sync::Notify::new());
        let first = Arc::clone(&is_first);
        let killing = tokio::spawn(async move {
            first.notified().await;
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            kill_process(pid, Signal::KILL).unwrap();
        });
        // The last certificate that was handed over, whether its installation was told or not.
        let mut handed = None;
        let renewing = async {
            loop {
                let Ok(mut renewing) = crate::registry::Renewing::begin(channel.clone()).await else {
                    return;
                };
                let Some(csr) = renewing.try_proof().await else {
                    return;
                };
                let issued = world.issue(&csr);
                handed = Some(issued.leaf.clone());
                let Some(serial) = renewing.try_hand_over(issued).await else {
                    return;
                };
                told.push(serial);
                is_first.notify_one();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), renewing)
            .await
            .unwrap();
        killing.await.unwrap();
        program.ended().await;
        let identity = bundle::load(&world.path("identity"), now()).unwrap();
        let is_last_told = told.last() == Some(&identity.verified().serial().to_string());
        let is_handed = handed.is_some_and(|leaf| leaf[..] == identity.verified().leaf()[..]);
        assert!(
            told.is_empty() || is_last_told || is_handed,
            "it went back to an older certificate"
        );
    }
    assert!(told.len() >= 8, "only {} renewals", told.len());
}

/// As after a crash right after the certificate was installed.
#[tokio::test]
async fn a_key_that_an_enrolment_left_behind_goes_at_the_next_start() {
    let world = World::new();
    let (key, left) = (
        world.path("identity/identity.key"),
        world.path("identity/pending.key"),
    );
    std::fs::copy(&key, &left).unwrap();
    world.start().await.stop().await;
    assert!(key.exists() && !left.exists());
    // One that still waits for its certificate stays.
    crate::world::key().0.store(&left).unwrap();
    world.start().await.stop().await;
    assert!(left.exists());
}

/// A file could name the platform's root beside somebody else's.
#[test]
fn every_root_of_the_file_has_to_be_named() {
    let world = World::not_enrolled();
    let other = World::not_enrolled();
    let roots = [&world, &other].map(|world| world.root.certificate_der().clone());
    world.write_enroll_file(
        "a.enroll",
        &world.add_agent_with(&roots, later(now(), Duration::from_secs(3_600))),
    );
    let [own, foreign] = roots.map(|root| fingerprint(&root));
    let arguments = ["--timeout", "100ms", "--root-fingerprint", &own];
    fails_with(77, &enroll(&world, &arguments), &["fingerprint", &foreign]);
    let colons: Vec<_> = foreign
        .as_bytes()
        .chunks(2)
        .map(|pair| text(pair).to_uppercase())
        .collect();
    let colons = colons.join(":");
    let both: Vec<_> = arguments
        .into_iter()
        .chain(["--root-fingerprint", &colons])
        .collect();
    fails_with(69, &enroll(&world, &both), &["no gateway"]);
}

fn secrets_of(folder: &Path) -> Vec<Vec<u8>> {
    let files = ["identity/identity.key", "identity/pending.key"];
    let texts = files
        .iter()
        .filter_map(|file| std::fs::read(folder.join(file)).ok());
    texts
        .map(|text| picket_identity::pem::parse_private_key(&text).unwrap().to_vec())
        .collect()
}

/// The whole life at the most talkative level: enrolment with a failed attempt, run, renewal, trust update.
#[tokio::test]
async fn no_secret_is_in_any_line_of_the_log() {
    let world = World::not_enrolled();
    let added = world.add_agent();
    world.write_enroll_file("a.enroll", &added);
    let engine = base64::engine::general_purpose::STANDARD;
    let mut secrets = vec![engine.decode(&added.secret).unwrap()];
    let mut enrolling = Program::start(&world, "enroll", &["enroll", "a.enroll"]);
    let address = enrolling.address().await;
    secrets.extend(secrets_of(&world.path("")));
    let mut wrong = world.begin(address).await;
    wrong.proof().await.unwrap();
    let other = crate::world::key().0.csr("x").unwrap();
    wrong.hand_over(world.issue(&other)).await.unwrap_err();
    world.enroll_at(address, &added).await;
    assert_eq!(enrolling.ended().await, Some(0));

    let mut running = Program::start(&world, "run", &["run", "--log-format", "json"]);
    let address = running.address().await;
    let gateway = world.dial_at(address, &world.gateway_for("acme")).await.unwrap();
    world.renew(gateway.channel.clone()).await.unwrap();
    secrets.extend(secrets_of(&world.path("")));
    let denied = denial_of(&world, &world.gateway_named("gw-2", "acme"));
    update_trust(gateway.channel.clone(), world.trust(SEQUENCE + 1, vec![denied]))
        .await
        .unwrap();
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await, Some(0));

    assert!(
        secrets.len() >= 3,
        "the activation key, and a key for each certificate"
    );
    let log = [
        enrolling.stderr(),
        enrolling.stdout(),
        running.stderr(),
        running.stdout(),
    ]
    .concat();
    assert!(log.contains("certificate installed") && log.contains("what is trusted has changed"));
    for secret in secrets {
        // Of a key in PKCS #8 the private number, at its place (RFC 5915); of a seed all.
        let number = secret.get(36..68).unwrap_or(&secret);
        let hexadecimal: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let debug = format!("{number:?}");
        let debug = debug.trim_matches(['[', ']']);
        // Base64 of any alignment: the middle of it.
        let base64s = (0..3).map(|skip| engine.encode(&number[skip..])[..36].to_owned());
        for shape in base64s.chain([hexadecimal.clone(), hexadecimal.to_uppercase(), debug.to_owned()]) {
            assert!(!log.contains(&shape), "a secret is in the log");
        }
    }
}
