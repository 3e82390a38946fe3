//! The gateway's own certificate and trust, kept good while it runs.

use std::path::Path;
use std::time::Duration;

use picket_identity::bundle;
use picket_identity::credential::PrivateKey;
use picket_identity::verify;
use picket_issuing::days;
use picket_proto::platform::v1::session_response::Kind;
use picket_proto::platform::v1::{PlatformTrust, Reachability};

use crate::authority::Authority;
use crate::stage::Stage;
use crate::wait;

fn serial(folder: &Path) -> String {
    let identity = bundle::load(folder, verify::now()).unwrap();
    identity.verified().serial().to_string()
}

fn trust_sequence(folder: &Path) -> u64 {
    bundle::load(folder, verify::now()).unwrap().trust_sequence()
}

/// A fresh session says hello with the certificate of this serial number.
async fn says_hello_with(stage: &Stage, serial: &str) {
    let before = stage.platform.seen(|seen| seen.hellos.len());
    stage.platform.cut_sessions();
    wait::until_true("a fresh session", || {
        stage.platform.seen(|seen| seen.hellos.len() > before)
    })
    .await;
    let shown = stage.platform.seen(|seen| seen.hello_serials.last().cloned());
    assert_eq!(shown.as_deref(), Some(serial));
}

#[tokio::test]
async fn a_certificate_past_half_life_is_renewed_with_a_new_key_and_the_session_goes_on() {
    let stage = Stage::set().await;
    let folder = stage.config.identity.folder().unwrap().to_owned();
    stage.authority.install_gateway_of(&folder, days(16));
    let before = serial(&folder);
    let key = std::fs::read(bundle::key_path(&folder)).unwrap();
    let gateway = stage.gateway().await;
    wait::until_true("another certificate", || serial(&folder) != before).await;
    assert_ne!(std::fs::read(bundle::key_path(&folder)).unwrap(), key);
    assert_eq!(stage.platform.seen(|seen| seen.hellos.len()), 1);
    assert_eq!(stage.platform.seen(|seen| seen.hello_serials.clone()), [before]);
    says_hello_with(&stage, &serial(&folder)).await;
    assert_eq!(stage.platform.seen(|seen| seen.own_renewals), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_renewal_leaves_everything_as_it_is() {
    let stage = Stage::set().await;
    let folder = stage.config.identity.folder().unwrap().to_owned();
    stage.authority.install_gateway_of(&folder, days(16));
    let before = serial(&folder);
    stage
        .platform
        .behave(|platform| platform.refusal = Some("not now"));
    let agent = stage.agent("acme", "berlin-1", 1).await;
    let gateway = stage.gateway().await;
    wait::until_true("a try", || stage.platform.seen(|seen| seen.own_renewals >= 1)).await;
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= 4)).await;
    assert_eq!(serial(&folder), before);
    stage.platform.behave(|platform| platform.refusal = None);
    wait::until_true("another try", || serial(&folder) != before).await;
    assert_eq!(stage.platform.seen(|seen| seen.hellos.len()), 1);
    gateway.stop().await;
}

/// A new gateway CA: the platform says "renew", the gateway gets its own certificate and those for its tenants from it,
/// and nobody is left without one for a moment.
#[tokio::test]
async fn a_new_gateway_ca_replaces_every_certificate_and_fails_no_poll() {
    let stage = Stage::set().await;
    let folder = stage.config.identity.folder().unwrap().to_owned();
    // Prepared and distributed before it is activated.
    stage.authority.rotate_gateway_ca();
    stage.platform.publish(stage.authority.platform_tls());
    let agent = stage.agent("acme", "berlin-1", 1).await;
    let gateway = stage.gateway().await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    let (before, issued) = (
        serial(&folder),
        stage.platform.seen(|seen| seen.certificates.len()),
    );
    stage.platform.behave(|platform| platform.trust_sequence = 5);
    stage
        .platform
        .say(Kind::Trust(stage.authority.platform_trust(5, true)))
        .await;
    wait::until_true("another certificate", || serial(&folder) != before).await;
    // That CA was the newest already: nothing else had to be replaced.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.platform.seen(|seen| seen.certificates.len()), issued);

    stage.authority.rotate_gateway_ca();
    stage.platform.publish(stage.authority.platform_tls());
    stage
        .tell_trust(stage.authority.trust_with_statement("acme", 6))
        .await;
    wait::until_true("the agent to trust the new CA", || {
        agent.seen(|seen| seen.trust_updates == [6])
    })
    .await;
    let describes = agent.seen(|seen| seen.describes);
    stage.platform.behave(|platform| platform.trust_sequence = 6);
    stage
        .platform
        .say(Kind::Trust(stage.authority.platform_trust(6, true)))
        .await;
    wait::until_true("another certificate for the tenant", || {
        stage.platform.seen(|seen| seen.certificates.len()) == issued + 1
    })
    .await;
    wait::until_true("a connection with it", || {
        agent.seen(|seen| seen.describes) > describes
    })
    .await;
    let polls = agent.seen(|seen| seen.pulls.len());
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= polls + 4)).await;
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    assert_eq!(stage.platform.seen(|seen| seen.hellos.len()), 1, "one session");
    assert_eq!(trust_sequence(&folder), 6);
    gateway.stop().await;
}

#[tokio::test]
async fn the_platforms_trust_is_taken_and_its_sequence_reported() {
    let stage = Stage::set().await;
    stage.platform.behave(|platform| platform.lease_ms = 1_000);
    let folder = stage.config.identity.folder().unwrap().to_owned();
    let gateway = stage.gateway().await;
    stage
        .platform
        .say(Kind::Trust(stage.authority.platform_trust(3, false)))
        .await;
    wait::until_true("the sequence in a heartbeat", || {
        stage.platform.seen(|seen| seen.trust_sequence) == 3
    })
    .await;
    assert_eq!(trust_sequence(&folder), 3);
    let before = serial(&folder);

    // An older word changes nothing, nor does one that can't be read.
    let nonsense = PlatformTrust {
        sequence: 5,
        roots: vec![vec![1, 2, 3].into()],
        ..PlatformTrust::default()
    };
    for trust in [stage.authority.platform_trust(2, false), nonsense] {
        stage.platform.say(Kind::Trust(trust)).await;
        let beats = stage.platform.seen(|seen| seen.heartbeats.len());
        wait::until_true("heartbeats", || {
            stage.platform.seen(|seen| seen.heartbeats.len() > beats + 2)
        })
        .await;
        assert_eq!(stage.platform.seen(|seen| seen.trust_sequence), 3);
        assert_eq!(trust_sequence(&folder), 3);
    }
    stage
        .platform
        .say(Kind::Trust(stage.authority.platform_trust(6, false)))
        .await;
    wait::until_true("the last word", || {
        stage.platform.seen(|seen| seen.trust_sequence) == 6
    })
    .await;
    assert_eq!(serial(&folder), before, "the certificate stays");
    says_hello_with(&stage, &before).await;
    let hello = stage.platform.seen(|seen| seen.hellos.last().cloned().unwrap());
    assert_eq!(hello.trust_sequence, 6);
    assert_eq!(stage.platform.seen(|seen| seen.own_renewals), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn trust_under_which_the_own_certificate_is_not_good_is_not_taken() {
    let stage = Stage::set().await;
    stage.platform.behave(|platform| platform.lease_ms = 1_000);
    let folder = stage.config.identity.folder().unwrap().to_owned();
    let gateway = stage.gateway().await;
    let strangers = Authority::new(&["acme"]);
    stage
        .platform
        .say(Kind::Trust(strangers.platform_trust(9, false)))
        .await;
    let beats = stage.platform.seen(|seen| seen.heartbeats.len());
    wait::until_true("heartbeats", || {
        stage.platform.seen(|seen| seen.heartbeats.len() > beats + 4)
    })
    .await;
    assert_eq!(stage.platform.seen(|seen| seen.trust_sequence), 0);
    assert_eq!(trust_sequence(&folder), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn files_that_an_operator_replaces_are_taken_up_without_a_restart() {
    let stage = Stage::set().await;
    let folder = stage.config.identity.folder().unwrap().to_owned();
    let agent = stage.agent("acme", "berlin-1", 1).await;
    let gateway = stage.gateway().await;
    wait::until_true("polls", || agent.seen(|seen| !seen.pulls.is_empty())).await;
    let before = serial(&folder);

    // Half of it: a key to which no certificate belongs.
    let good = std::fs::read(bundle::key_path(&folder)).unwrap();
    PrivateKey::generate()
        .unwrap()
        .store(&bundle::key_path(&folder))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    says_hello_with(&stage, &before).await;
    std::fs::write(bundle::key_path(&folder), good).unwrap();

    stage.authority.install_gateway(&folder);
    let after = serial(&folder);
    assert_ne!(before, after);
    // It looks at the folder each second; a session that begins isn't what makes it look.
    tokio::time::sleep(Duration::from_secs(4)).await;
    std::fs::remove_dir_all(&folder).unwrap();
    says_hello_with(&stage, &after).await;
    gateway.stop().await;
}
