//! One test case of x509-limbo (its schema is in its `limbo-schema.json`).

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use picket_identity::verify::path_alone;
use picket_identity::{CertificateDer, UnixTime, pem};
use serde_json::Value;

pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) intermediates: Vec<CertificateDer<'static>>,
    /// Whether the path is expected to be good.
    pub(crate) is_good: bool,
    is_for_a_server: bool,
    at: Option<UnixTime>,
}

/// All cases of the file.
pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Case>> {
    let file: Value = serde_json::from_str(text)?;
    let cases = file["testcases"].as_array().context("no `testcases`")?;
    ensure!(!cases.is_empty(), "`testcases` is empty");
    cases.iter().map(Case::read).collect()
}

impl Case {
    fn read(case: &Value) -> anyhow::Result<Self> {
        let id = case["id"].as_str().context("a case without `id`")?.to_owned();
        let named = || format!("case {id}");
        let certificates = |field: &str| -> anyhow::Result<Vec<CertificateDer<'static>>> {
            let texts = case[field].as_array().with_context(named)?.iter();
            texts.map(|text| certificate(text).with_context(named)).collect()
        };
        Ok(Self {
            leaf: certificate(&case["peer_certificate"]).with_context(named)?,
            roots: certificates("trusted_certs")?,
            intermediates: certificates("untrusted_intermediates")?,
            is_good: case["expected_result"] == "SUCCESS",
            is_for_a_server: case["validation_kind"] == "SERVER",
            at: case["validation_time"]
                .as_str()
                .map(time)
                .transpose()
                .with_context(named)?,
            id,
        })
    }

    /// How many CAs the path has that our path building finds.
    pub(crate) fn path(&self, now: UnixTime) -> Result<usize, String> {
        let at = self.at.unwrap_or(now);
        path_alone(
            &self.leaf,
            &self.roots,
            &self.intermediates,
            at,
            self.is_for_a_server,
        )
    }

    /// The name without its last part.
    pub(crate) fn group(&self) -> &str {
        self.id
            .rsplit_once("::")
            .map_or(self.id.as_str(), |(group, _)| group)
    }
}

fn certificate(text: &Value) -> anyhow::Result<CertificateDer<'static>> {
    Ok(pem::parse_certificate(text.as_str().context("no text")?)?)
}

fn time(text: &str) -> anyhow::Result<UnixTime> {
    let at = humantime::parse_rfc3339(&text.replace("+00:00", "Z"))?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(since.as_secs())))
}
