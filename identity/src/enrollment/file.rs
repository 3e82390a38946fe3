//! The `.enroll` file: JSON that a person can read. Its activation key is a secret; all else is public. The platform CA
//! signs all of it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ActivationError, ActivationKey, Enrollment};
use crate::pem::{self, PemError};
use crate::spiffe::SpiffeId;
use crate::statement::{self, StatementError};
use crate::verify::{Trust, TrustError};

/// What is signed begins with this.
pub const CONTEXT: &[u8] = b"picket-enroll-file-1";

/// The version of the file's format.
const VERSION: u32 = 1;
/// Two roots and a dozen gateway CAs have some 20 KiB.
const MAX_FILE: usize = 256 * 1024;

/// Why an enrolment file can't be used.
#[derive(Debug, Error)]
pub enum EnrollFileError {
    /// Larger than any.
    #[error("not an enrolment file: {0} bytes, expected at most {MAX_FILE}")]
    TooLarge(usize),
    /// Not JSON of this shape. The library's words name a place, never the text there.
    #[error(
        "not an enrolment file (`platform agent add` writes one): {problem} at line {line}, column {column}"
    )]
    Format {
        /// What kind of problem.
        problem: &'static str,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// Made by a newer platform.
    #[error("enrolment file of version {0}: this program reads version {VERSION}; use a newer agent host")]
    Version(u32),
    /// Not for an agent.
    #[error("the enrolment file is for {0}, which is no agent")]
    NotAnAgent(SpiffeId),
    /// Its parts contradict each other.
    #[error("the enrolment file contradicts itself: {what} is `{got}`, expected `{expected}`")]
    Contradiction {
        /// Which part.
        what: &'static str,
        /// By the rest.
        expected: String,
        /// There.
        got: String,
    },
    /// Certificates that can't be read.
    #[error("the enrolment file's {field}: {source}")]
    Pem {
        /// Which part.
        field: &'static str,
        /// What is wrong with it.
        source: PemError,
    },
    /// They can't be trusted.
    #[error("the enrolment file: {0}")]
    Trust(#[from] TrustError),
    /// The key isn't one.
    #[error("the enrolment file: {0}")]
    Key(#[from] ActivationError),
    /// Changed after it was written, or not the platform's.
    #[error(
        "the enrolment file was changed, or isn't the platform's: {0}; have the platform's operator make another"
    )]
    Statement(#[from] StatementError),
    /// The signature isn't base64.
    #[error("the enrolment file's signature isn't base64")]
    Signature,
    /// Too old, or the clock is wrong.
    #[error(
        "the enrolment file was good from {not_before} to {not_after} (seconds since 1970), and this machine's clock shows \
         {now}: set the clock, or have the platform's operator make another with `platform agent add --replace`"
    )]
    NotValid {
        /// Seconds since 1970.
        not_before: u64,
        /// Seconds since 1970.
        not_after: u64,
        /// By this machine's clock.
        now: u64,
    },
}

/// The file, as it stands on disk.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollFile {
    version: u32,
    /// Who the agent is to be.
    pub spiffe_id: SpiffeId,
    /// The common name that belongs to it.
    pub common_name: String,
    /// Where the gateways will look for it: for people.
    pub endpoint: String,
    /// SHA-256 of each root's DER, as [`fingerprint`] writes it: for people to compare.
    pub root_fingerprints: Vec<String>,
    roots: String,
    gateway_cas: String,
    trust_sequence: u64,
    activation_key: String,
    not_before_unix_s: u64,
    not_after_unix_s: u64,
    signer: String,
    signature: String,
}

/// What goes into a new file.
#[derive(Debug)]
pub struct NewEnrollFile<'a> {
    /// Who the agent is to be.
    pub id: &'a SpiffeId,
    /// `host:port`.
    pub endpoint: &'a str,
    /// The platform's roots.
    pub roots: &'a [CertificateDer<'static>],
    /// The CAs of the gateways that the agent will meet.
    pub gateway_cas: &'a [CertificateDer<'static>],
    /// The sequence of these.
    pub trust_sequence: u64,
    /// The one-time key.
    pub key: &'a ActivationKey,
    /// From when on it is good.
    pub not_before: UnixTime,
    /// Until when.
    pub not_after: UnixTime,
    /// The platform CA that is to sign.
    pub signer: &'a CertificateDer<'static>,
}

/// SHA-256 of a certificate, in lower-case hexadecimal.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    use std::fmt::Write as _;
    let hash = digest(&SHA256, certificate);
    hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl EnrollFile {
    /// Makes a file; `sign` signs the bytes that it is given, after [`CONTEXT`], by the signer's key.
    ///
    /// # Errors
    /// What `sign` fails with.
    pub fn sign<E>(
        new: &NewEnrollFile<'_>,
        sign: impl FnOnce(&[u8], &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut file = Self {
            version: VERSION,
            spiffe_id: new.id.clone(),
            common_name: new.id.common_name(),
            endpoint: new.endpoint.to_owned(),
            root_fingerprints: new.roots.iter().map(|root| fingerprint(root)).collect(),
            roots: pem::certificates(new.roots),
            gateway_cas: pem::certificates(new.gateway_cas),
            trust_sequence: new.trust_sequence,
            activation_key: new.key.to_text().to_string(),
            not_before_unix_s: new.not_before.as_secs(),
            not_after_unix_s: new.not_after.as_secs(),
            signer: pem::certificates([new.signer]),
            signature: String::new(),
        };
        file.signature = STANDARD.encode(sign(CONTEXT, &file.signed_bytes())?);
        Ok(file)
    }

    /// Every field but the signature, each after its length: no two files give the same bytes.
    fn signed_bytes(&self) -> Vec<u8> {
        let numbers = [
            u64::from(self.version),
            self.trust_sequence,
            self.not_before_unix_s,
            self.not_after_unix_s,
        ];
        let id = self.spiffe_id.to_string();
        let texts = [
            id.as_str(),
            &self.common_name,
            &self.endpoint,
            &self.roots,
            &self.gateway_cas,
            &self.activation_key,
            &self.signer,
        ];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let fingerprints = self.root_fingerprints.iter().map(String::as_str);
        for text in texts.into_iter().chain(fingerprints) {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    /// Reads a file. Nothing in it is to be believed before [`EnrollFile::verify`].
    ///
    /// # Errors
    /// Not an enrolment file, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, EnrollFileError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if text.len() > MAX_FILE {
            return Err(EnrollFileError::TooLarge(text.len()));
        }
        let Versioned { version } = serde_json::from_str(text).map_err(|error| format(&error))?;
        if version != VERSION {
            return Err(EnrollFileError::Version(version));
        }
        serde_json::from_str(text).map_err(|error| format(&error))
    }

    /// Writes the file: a secret, for it holds the activation key.
    ///
    /// # Errors
    /// The library refused.
    pub fn to_json(&self) -> Result<zeroize::Zeroizing<String>, EnrollFileError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| format(&error))?;
        Ok(zeroize::Zeroizing::new(text + "\n"))
    }

    /// Verifies the file: its signature, below its own root, whose fingerprint people compare; its dates; that its parts
    /// agree.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, now: UnixTime) -> Result<Enrollment, EnrollFileError> {
        let SpiffeId::Agent { platform, .. } = &self.spiffe_id else {
            return Err(EnrollFileError::NotAnAgent(self.spiffe_id.clone()));
        };
        let pem = |field| move |source| EnrollFileError::Pem { field, source };
        let roots = pem::parse_certificates(&self.roots).map_err(pem("roots"))?;
        let gateway_cas = pem::parse_certificates(&self.gateway_cas).map_err(pem("gateway_cas"))?;
        let signer = pem::parse_certificate(&self.signer).map_err(pem("signer"))?;
        let signature = STANDARD
            .decode(&self.signature)
            .map_err(|_| EnrollFileError::Signature)?;
        let bytes = self.signed_bytes();
        statement::verify(platform, &roots, &signer, (CONTEXT, &bytes), &signature, now)?;

        let same = |what, expected: String, got: String| {
            if expected == got {
                return Ok(());
            }
            Err(EnrollFileError::Contradiction { what, expected, got })
        };
        same(
            "common_name",
            self.spiffe_id.common_name(),
            self.common_name.clone(),
        )?;
        let found: Vec<String> = roots.iter().map(|root| fingerprint(root)).collect();
        same(
            "root_fingerprints",
            found.join(" "),
            self.root_fingerprints.join(" "),
        )?;
        if now.as_secs() < self.not_before_unix_s || now.as_secs() > self.not_after_unix_s {
            return Err(EnrollFileError::NotValid {
                not_before: self.not_before_unix_s,
                not_after: self.not_after_unix_s,
                now: now.as_secs(),
            });
        }
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        Ok(Enrollment {
            id: self.spiffe_id.clone(),
            trust: Trust::with_roots(roots, gateway_cas)?,
            trust_sequence: self.trust_sequence,
            key: ActivationKey::from_text(&self.activation_key)?,
            not_before: at(self.not_before_unix_s),
            not_after: at(self.not_after_unix_s),
        })
    }
}

/// The library's own words could repeat what is in the file.
fn format(error: &serde_json::Error) -> EnrollFileError {
    EnrollFileError::Format {
        problem: match error.classify() {
            serde_json::error::Category::Data => "a field that is missing, unknown or of another kind",
            serde_json::error::Category::Eof => "it ends too early",
            _ => "no JSON",
        },
        line: error.line(),
        column: error.column(),
    }
}

impl fmt::Debug for EnrollFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollFile")
            .field("spiffe_id", &self.spiffe_id)
            .field("not_after_unix_s", &self.not_after_unix_s)
            .finish_non_exhaustive()
    }
}
