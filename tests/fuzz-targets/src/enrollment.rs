//! Enrolment files.

use std::sync::LazyLock;
use std::time::Duration;

use picket_identity::UnixTime;
use picket_identity::enrollment::{ActivationKey, EnrollFile, NewEnrollFile};
use picket_issuing::{IssueError, hours};
use serde_json::Value;

use crate::platform::{AGENT, NOW, PLATFORM};

/// Any bytes as an enrolment file, and as a new value for one field of a file that the platform signed: what is read
/// writes itself, what is verified was signed, and no error repeats the key.
pub fn enrollment(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    read(text);
    let Some((field, value)) = text.split_once('\n') else {
        return;
    };
    let mut changed = SIGNED.clone();
    let Some(place) = changed.get_mut(field) else {
        return;
    };
    // As JSON where it is some, else as text.
    *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    let is_changed = changed != *SIGNED;
    let verified = read(&changed.to_string());
    assert_eq!(verified, !is_changed, "{field}");
}

/// What the platform wrote for berlin-1.
static SIGNED: LazyLock<Value> = LazyLock::new(|| {
    let new = NewEnrollFile {
        id: &AGENT.parse().unwrap(),
        endpoint: "10.0.0.4:7443",
        roots: &[PLATFORM.root.certificate_der().clone()],
        gateway_cas: &[PLATFORM.gateways.certificate_der().clone()],
        trust_sequence: 7,
        key: &ActivationKey::generate().unwrap(),
        not_before: NOW,
        not_after: UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_secs()) + hours(24)),
        signer: PLATFORM.nodes.certificate_der(),
    };
    let sign = |context: &[u8], bytes: &[u8]| PLATFORM.nodes.sign_statement(context, bytes);
    let file = EnrollFile::sign::<IssueError>(&new, sign).unwrap();
    serde_json::from_str(&file.to_json().unwrap()).unwrap()
});

/// Whether it is an enrolment file that verifies.
fn read(text: &str) -> bool {
    let file = match EnrollFile::from_json(text) {
        Ok(file) => file,
        Err(error) => {
            is_silent(text, &error);
            return false;
        }
    };
    let written = file.to_json().expect("what was read can be written");
    let (was, is): (Value, Value) = (
        serde_json::from_str(text).unwrap(),
        serde_json::from_str(&written).unwrap(),
    );
    assert_eq!(was, is, "a field was changed or lost");
    match file.verify(NOW) {
        Ok(enrollment) => {
            // Below which root, is for people to compare: another platform's file is as good.
            let expected = enrollment.gateway_expectation().expect("an agent's");
            assert_eq!(enrollment.id().tenant(), Some(&expected.tenant));
            assert_eq!(is["common_name"], enrollment.id().common_name());
            let count = is["root_fingerprints"].as_array().map(Vec::len);
            assert_eq!(count, Some(enrollment.trust().roots().len()));
            assert!(NOW <= enrollment.not_after());
            true
        }
        Err(error) => {
            is_silent(text, &error);
            false
        }
    }
}

/// The key stands in the file; whoever reads a log must not find it there.
fn is_silent(text: &str, error: &impl std::error::Error) {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return;
    };
    if let Some(Value::String(key)) = fields.get("activation_key")
        && key.len() >= 16
    {
        let is_elsewhere = fields
            .iter()
            .any(|(name, value)| name != "activation_key" && value.to_string().contains(key));
        let shown = format!("{error} {error:?}");
        assert!(is_elsewhere || !shown.contains(key), "{shown}");
    }
}
