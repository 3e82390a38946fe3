//! `gateway identity`: the program itself, over files of every kind.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use picket_identity::credential::PrivateKey;
use picket_identity::verify::{self, Reason};
use picket_identity::{CertificateDer, UnixTime, pem};
use picket_issuing::{CertificateAuthority, Intermediate, Issued, PublicKey, days, hours};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

const BERLIN: &str = "spiffe://acme.picket.example/agent/berlin-1";

/// Arguments that take the place of the usual ones, or stand beside them.
type Instead<'a> = &'a [(&'a str, &'a str)];

/// The certificates of a platform, as files.
struct Files {
    folder: TempDir,
    now: UnixTime,
    root: CertificateAuthority,
    acme: CertificateAuthority,
    gateways: CertificateAuthority,
}

impl Files {
    fn new() -> Self {
        let now = verify::now();
        let root = CertificateAuthority::new_root(&"picket.example".parse().unwrap(), now).unwrap();
        let below = |kind| root.new_intermediate(kind, now).unwrap();
        let globex = below(Intermediate::Tenant("globex".parse().unwrap()));
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            acme: below(Intermediate::Tenant("acme".parse().unwrap())),
            gateways: below(Intermediate::Gateway),
            root,
            now,
        };
        for (name, ca) in [
            ("root", &files.root),
            ("acme", &files.acme),
            ("gateways", &files.gateways),
            ("globex", &globex),
        ] {
            files.put(&format!("{name}.der"), ca.certificate_der());
        }
        files.put("berlin.der", &files.agent("berlin-1").certificate);
        files
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn agent(&self, name: &str) -> Issued {
        self.acme
            .issue_agent(&key(), &name.parse().unwrap(), days(30), self.now)
            .unwrap()
    }

    /// What the program says of `leaf` as berlin-1, after these are taken for the usual arguments.
    fn judged(&self, leaf: &str, instead: Instead<'_>) -> (i32, Value) {
        let mut arguments = vec![
            ("--leaf", leaf),
            ("--key-usage", "agent"),
            ("--root", "root.der"),
            ("--ca", "acme.der"),
            ("--expect-id", BERLIN),
        ];
        for (name, value) in instead {
            match arguments.iter_mut().find(|(usual, _)| usual == name) {
                Some(usual) => usual.1 = value,
                None => arguments.push((name, value)),
            }
        }
        let flat = arguments.iter().flat_map(|(name, value)| [*name, *value]);
        let output = gateway(self.folder.path())
            .args(["identity", "verify", "-o", "json"])
            .args(flat)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let code = output.status.code().unwrap();
        if !matches!(code, 0 | 77) {
            assert_eq!(text, "", "only an answer is data");
            assert!(!output.stderr.is_empty(), "{arguments:?}");
            return (code, Value::Null);
        }
        assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
        (code, serde_json::from_str(&text).unwrap())
    }

    #[track_caller]
    fn accepts(&self, leaf: &str, instead: Instead<'_>) -> Value {
        let (code, answer) = self.judged(leaf, instead);
        assert_eq!((code, &answer["outcome"]), (0, &json!("accept")), "{answer}");
        assert_eq!(answer["reason"], Value::Null);
        answer
    }

    #[track_caller]
    fn refuses(&self, leaf: &str, instead: Instead<'_>, reason: Reason) -> Value {
        let (code, answer) = self.judged(leaf, instead);
        assert_eq!((code, &answer["outcome"]), (77, &json!("refuse")), "{answer}");
        assert_eq!(answer["reason"], reason.as_str(), "{answer}");
        for key in ["expected", "got"] {
            assert_ne!(answer[key].as_str().unwrap(), "", "{answer}");
        }
        answer
    }
}

fn key() -> PublicKey {
    PublicKey::from_request(&PrivateKey::generate().unwrap().csr("any").unwrap()).unwrap()
}

fn gateway(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("PICKET_GATEWAY_CONFIG")
        .env("NO_COLOR", "1");
    command
}

#[test]
fn the_expected_agent_is_accepted_from_der_and_from_pem() {
    let files = Files::new();
    let answer = files.accepts("berlin.der", &[("--expect-cn", "berlin-1.acme")]);
    assert_eq!(
        answer,
        json!({"outcome": "accept", "reason": null, "expected": BERLIN, "got": BERLIN})
    );

    let leaf = files.agent("berlin-1").certificate;
    let chain = [leaf.clone(), files.acme.certificate_der().clone()];
    files.put("chain.pem", pem::certificates(&chain).as_bytes());
    files.put(
        "chain.der",
        &[leaf.as_ref(), files.acme.certificate_der()].concat(),
    );
    files.put(
        "root.pem",
        pem::certificates([files.root.certificate_der()]).as_bytes(),
    );
    files.put(
        "acme.pem",
        pem::certificates([files.acme.certificate_der()]).as_bytes(),
    );
    for leaf in ["berlin.der", "chain.pem", "chain.der"] {
        files.accepts(leaf, &[]);
        files.accepts(leaf, &[("--root", "root.pem"), ("--ca", "acme.pem")]);
    }
}

#[test]
fn every_other_face_of_the_verifier_has_its_key_usage() {
    let files = Files::new();
    let gw = "gw-1".parse().unwrap();
    let (now, lifetime) = (files.now, hours(24));
    let of_acme =
        files
            .gateways
            .issue_gateway_for_tenant(&key(), &gw, &"acme".parse().unwrap(), lifetime, now);
    files.put("for-acme.der", &of_acme.unwrap().certificate);
    let client = files.gateways.issue_gateway(&key(), &gw, lifetime, now);
    files.put("client.der", &client.unwrap().certificate);
    let nodes = files.root.new_intermediate(Intermediate::Platform, now).unwrap();
    files.put("nodes.der", nodes.certificate_der());
    let node = nodes.issue_platform_node(&key(), &"node-1".parse().unwrap(), lifetime, now);
    files.put("node.der", &node.unwrap().certificate);

    let faces = [
        (
            "for-acme.der",
            "gateway",
            "gateways.der",
            "spiffe://picket.example/gateway/NAME/tenant/acme",
            "gw-1",
        ),
        (
            "client.der",
            "gateway-client",
            "gateways.der",
            "spiffe://picket.example/gateway/NAME",
            "gw-1",
        ),
        (
            "node.der",
            "platform",
            "nodes.der",
            "spiffe://picket.example/platform/NAME",
            "node-1",
        ),
    ];
    for (leaf, usage, ca, id, name) in faces {
        let exact = id.replace("NAME", name);
        let as_this =
            |id: &str| files.judged(leaf, &[("--key-usage", usage), ("--ca", ca), ("--expect-id", id)]);
        assert_eq!(as_this(&id.replace("NAME", "*")).0, 0, "{usage}");
        assert_eq!(as_this(&exact).1["got"], exact, "{usage}");
        let (code, answer) = as_this(&id.replace("NAME", "other"));
        assert_eq!((code, &answer["reason"]), (77, &json!("wrong_agent")), "{usage}");

        // In no other's place.
        files.refuses(leaf, &[("--ca", ca)], Reason::WrongIssuer);
        for (_, other, _, id, _) in faces.iter().filter(|face| face.1 != usage) {
            let id = id.replace("NAME", "*");
            let instead = [("--key-usage", *other), ("--ca", ca), ("--expect-id", &id)];
            let (code, answer) = files.judged(leaf, &instead);
            assert_eq!(code, 77, "{leaf} as {other}: {answer}");
            // And an ID that doesn't belong to the usage is wrong usage.
            let instead = [("--key-usage", usage), ("--ca", ca), ("--expect-id", &id)];
            assert_eq!(files.judged(leaf, &instead).0, 2);
        }
    }
}

#[test]
fn each_reason_is_answered_with_code_77() {
    let files = Files::new();
    let forged = |ca: &CertificateAuthority, id: &str, name: &str| forge(ca, id, name, files.now);
    files.put("nobody.der", b"");
    files.put("munich.der", &files.agent("munich-1").certificate);
    files.put("misnamed.der", &forged(&files.acme, BERLIN, "munich-1.acme"));
    files.put("by-root.der", &forged(&files.root, BERLIN, "berlin-1.acme"));
    let paris = "spiffe://globex.picket.example/agent/paris-1";
    files.put("paris.der", &forged(&files.acme, paris, "paris-1.globex"));
    files.put(
        "odd.der",
        &forged(&files.acme, &format!("{BERLIN}/"), "berlin-1.acme"),
    );
    let stranger = CertificateAuthority::new_root(&"picket.example".parse().unwrap(), files.now).unwrap();
    let theirs = stranger
        .new_intermediate(Intermediate::Tenant("acme".parse().unwrap()), files.now)
        .unwrap();
    files.put("stranger.der", &forged(&theirs, BERLIN, "berlin-1.acme"));
    let serial = files.agent("berlin-1").serial.to_string();

    let cases: &[(&str, Instead<'_>, Reason)] = &[
        ("nobody.der", &[], Reason::NoCert),
        ("stranger.der", &[], Reason::UnknownCa),
        ("by-root.der", &[], Reason::WrongIssuer),
        ("berlin.der", &[("--ca", "root.der")], Reason::WrongIssuer),
        ("paris.der", &[], Reason::WrongTenant),
        ("munich.der", &[], Reason::WrongAgent),
        ("misnamed.der", &[], Reason::CnMismatch),
        (
            "berlin.der",
            &[("--expect-cn", "berlin-2.acme")],
            Reason::CnMismatch,
        ),
        ("berlin.der", &[("--at", "4102444800")], Reason::Expired),
        ("berlin.der", &[("--at", "1000000000")], Reason::NotYetValid),
        ("berlin.der", &[("--active-serial", &serial)], Reason::Revoked),
        ("odd.der", &[], Reason::BadProfile),
        ("acme.der", &[], Reason::BadProfile),
        ("berlin.der", &[("--ca", "berlin.der")], Reason::BadProfile),
        ("berlin.der", &[("--root", "berlin.der")], Reason::BadProfile),
    ];
    for (leaf, instead, reason) in cases {
        files.refuses(leaf, instead, *reason);
    }
    for reason in Reason::ALL {
        // That one is said of a handshake, and there is none here.
        let is_of_handshakes = reason == Reason::Protocol;
        assert_eq!(
            cases.iter().any(|case| case.2 == reason),
            !is_of_handshakes,
            "{reason}"
        );
    }
}

#[test]
fn serial_numbers_can_be_active_or_denied() {
    let files = Files::new();
    let issued = files.agent("berlin-1");
    files.put("leaf.der", &issued.certificate);
    let serial = issued.serial.to_string();
    files.accepts("leaf.der", &[("--active-serial", &serial)]);
    files.accepts("berlin.der", &[("--denied-serial", &serial)]);
    files.refuses("berlin.der", &[("--active-serial", &serial)], Reason::Revoked);
    files.refuses("leaf.der", &[("--denied-serial", &serial)], Reason::Revoked);
}

#[test]
fn what_the_peer_sends_beside_its_leaf_is_no_part_of_the_chain() {
    let files = Files::new();
    let globex = std::fs::read(files.folder.path().join("globex.der")).unwrap();
    let leaf = std::fs::read(files.folder.path().join("berlin.der")).unwrap();
    files.put("with-other-ca.der", &[leaf.as_slice(), &globex].concat());
    files.accepts("with-other-ca.der", &[]);
    files.put(
        "with-own-ca.der",
        &[leaf.as_slice(), files.acme.certificate_der()].concat(),
    );
    files.refuses("with-own-ca.der", &[("--ca", "globex.der")], Reason::WrongIssuer);
    files.put(
        "other-way-round.der",
        &[files.acme.certificate_der(), leaf.as_slice()].concat(),
    );
    files.refuses("other-way-round.der", &[], Reason::BadProfile);
    for tail in [&[0][..], &[0x05, 0x00], &[0x30, 0x00], b"\n"] {
        files.put("tail.der", &[leaf.as_slice(), tail].concat());
        files.refuses("tail.der", &[], Reason::BadProfile);
    }
    files.put("garbage.der", b"\x30\x82\xff");
    files.refuses("garbage.der", &[], Reason::BadProfile);
}

#[test]
fn files_that_cannot_be_used_and_wrong_usage_have_codes_of_their_own() {
    let files = Files::new();
    files.put("empty.der", b"");
    files.put("text.der", b"hello");
    files.put(
        "broken.pem",
        b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    );
    files.put("huge.der", &vec![0x30; (1 << 20) + 1]);
    for (leaf, instead) in [
        ("missing.der", ("--ca", "acme.der")),
        ("broken.pem", ("--ca", "acme.der")),
        ("huge.der", ("--ca", "acme.der")),
        ("berlin.der", ("--ca", "missing.der")),
        ("berlin.der", ("--ca", "empty.der")),
        ("berlin.der", ("--ca", "text.der")),
        ("berlin.der", ("--root", "text.der")),
        ("berlin.der", ("--root", "broken.pem")),
    ] {
        assert_eq!(files.judged(leaf, &[instead]).0, 78, "{leaf} {instead:?}");
    }
    for instead in [
        ("--key-usage", "anybody"),
        ("--key-usage", "platform"),
        ("--expect-id", "berlin-1"),
        ("--expect-id", "spiffe://acme.picket.example/agent/*"),
        ("--at", "tomorrow"),
        ("--active-serial", "0"),
    ] {
        assert_eq!(files.judged("berlin.der", &[instead]).0, 2, "{instead:?}");
    }
}

#[test]
fn a_person_gets_a_table_and_a_sentence() {
    let files = Files::new();
    let arguments = ["--key-usage", "agent", "--root", "root.der", "--ca", "globex.der"];
    let output = gateway(files.folder.path())
        .args([
            "identity",
            "verify",
            "--leaf",
            "berlin.der",
            "--expect-id",
            BERLIN,
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(77));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("outcome   refuse\nreason    unknown_ca\n"),
        "{table}"
    );
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("refused: unknown_ca: expected"), "{talk}");
}

fn parsed(arguments: &[&str], stdin: &[u8]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut child = gateway(folder.path())
        .args(["identity", "parse-id"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn parse_id_answers_each_candidate_with_one_line() {
    let long = format!("{BERLIN}{}", "x".repeat(600));
    let candidates: &[(&[u8], Option<&str>)] = &[
        (BERLIN.as_bytes(), None),
        (b"spiffe://picket.example/gateway/gw-1", None),
        (b"spiffe://picket.example/gateway/gw-1/tenant/acme", None),
        (b"spiffe://picket.example/platform/node-1", None),
        (b"", Some("scheme")),
        (b"https://acme.picket.example/agent/berlin-1", Some("scheme")),
        (b"SPIFFE://acme.picket.example/agent/berlin-1", Some("scheme")),
        (
            b"spiffe://ACME.picket.example/agent/berlin-1",
            Some("trust_domain"),
        ),
        (
            b"spiffe://acme.picket.example:1/agent/berlin-1",
            Some("trust_domain"),
        ),
        (b"spiffe://acme.picket.example", Some("path")),
        (b"spiffe://acme.picket.example/agent/berlin-1/", Some("path")),
        (b"spiffe://acme.picket.example/agent/berlin%2d1", Some("name")),
        (b"spiffe://acme.picket.example/agent/berlin-1\n", Some("name")),
        (b"spiffe://acme.picket.example/agent/\xff", Some("encoding")),
        (long.as_bytes(), Some("too_long")),
    ];
    let given: Vec<&[u8]> = candidates.iter().map(|(candidate, _)| *candidate).collect();
    // Ended by NUL, or with it between them: the same.
    for input in [given.join(&0), [given.join(&0), vec![0]].concat()] {
        let output = parsed(&["--stdin0"], &input);
        assert_eq!(output.status.code(), Some(0));
        let lines = lines(&output);
        assert_eq!(lines.len(), candidates.len());
        for (line, (candidate, reason)) in lines.iter().zip(candidates) {
            let outcome = if reason.is_none() { "accept" } else { "refuse" };
            let shown = String::from_utf8_lossy(candidate);
            assert_eq!(
                (line["outcome"].as_str(), line["reason"].as_str()),
                (Some(outcome), *reason),
                "{shown}"
            );
            assert_eq!(line["detail"].is_string(), reason.is_some(), "{shown}");
        }
    }
}

#[test]
fn parse_id_takes_texts_as_arguments_too_and_nothing_for_nothing() {
    let output = parsed(&[BERLIN, "berlin-1"], b"");
    assert_eq!(lines(&output).len(), 2);
    assert_eq!(lines(&parsed(&["--stdin0"], b"")).len(), 0);
    for wrong in [&[][..], &["--stdin0", BERLIN]] {
        assert_eq!(parsed(wrong, b"").status.code(), Some(2));
    }
}

/// A leaf with this ID and common name, by a CA that shouldn't have made it.
fn forge(by: &CertificateAuthority, id: &str, common_name: &str, now: UnixTime) -> CertificateDer<'static> {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer
        .distinguished_name
        .push(DnType::CommonName, by.role().to_string());
    let issuer = Issuer::new(issuer, KeyPair::from_pem(&by.key_pem()).unwrap());
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, common_name);
    leaf.subject_alt_names = vec![rcgen::SanType::URI(id.try_into().unwrap())];
    leaf.is_ca = rcgen::IsCa::ExplicitNoCa;
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let seconds = i64::try_from(now.as_secs()).unwrap();
    let at = |offset| time::OffsetDateTime::from_unix_timestamp(seconds + offset).unwrap();
    (leaf.not_before, leaf.not_after) = (at(-3600), at(3600));
    leaf.signed_by(&KeyPair::generate().unwrap(), &issuer)
        .unwrap()
        .der()
        .clone()
}
