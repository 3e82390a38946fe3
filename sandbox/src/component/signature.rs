//! Signatures of checkers: who says that these bytes are this checker in this version.
//!
//! A signature is a text of eight lines, each with one spelling:
//!
//! ```text
//! picket-checker-signature 1
//! checker http
//! version 1.4.0
//! sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! publisher Acme Monitoring
//! key picket-ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
//! signed-at 1790000000
//! signature 7I3f…
//! ```
//!
//! The first seven lines are the manifest; the last one is an Ed25519 signature (RFC 8032) over exactly their bytes, which
//! begin with a line that nothing else of Picket's signs. The text is in a file beside the component (`http.wasm.sig`), or
//! in a [section] of the component; the digest is that of the component without this section.
//!
//! Whether the key is to be trusted is for others to say: the key in the text only proves that the text is whole.
//!
//! * [`key`]: the two halves of a key, and their spelling.
//! * [`section`]: where a component carries its signature.

pub mod key;
mod parse;
pub mod section;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use semver::Version;

pub use key::{KeyError, PublicKey, SigningKey};

/// Bytes of a signature; the longest that there can be has some 420.
pub const MAX_BYTES: usize = 1024;
/// What a component's file name gets added for its signature: `http.wasm.sig`.
pub const SIDECAR: &str = "sig";
/// How many seconds since 1970 a signature may say: the last one of the year 9999.
const LATEST: u64 = 253_402_300_799;
const FORMAT: &str = "picket-checker-signature 1";

/// Why a signature isn't one, or isn't for these bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// More bytes than any signature has.
    #[error("the signature is longer than {MAX_BYTES} bytes; get the publisher's signature again")]
    TooLong,
    /// Not the text that it should be.
    #[error(
        "the signature is damaged: expected {expected}, found {found}; get the publisher's signature again"
    )]
    Malformed {
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A later format, or something else entirely.
    #[error(
        "the signature is of another format: expected a first line `{FORMAT}`, found {found}; update agent-host, or get \
         a signature of this format"
    )]
    OtherFormat {
        /// The first line.
        found: String,
    },
    /// The component is another one than the one that was signed.
    #[error(
        "the component isn't the one that {publisher} signed: expected sha256 {signed}, found {found}; it was changed or \
         damaged on its way, get it again"
    )]
    OtherComponent {
        /// Who signed.
        publisher: String,
        /// The digest that is signed, hexadecimal.
        signed: String,
        /// The component's, hexadecimal.
        found: String,
    },
    /// The text was changed after it was signed.
    #[error(
        "the signature isn't by the key that it names ({key}): the text was changed after signing, or was never signed \
         by it; get the publisher's signature again"
    )]
    Forged {
        /// The key.
        key: PublicKey,
    },
    /// Which of them counts would be a matter of taste.
    #[error("the component has {found} signature sections, expected one; get it again from its publisher")]
    SeveralSections {
        /// How many.
        found: usize,
    },
    /// What follows the section isn't signed.
    #[error(
        "the component goes on after its signature section, and what follows isn't signed; get it again from its \
         publisher"
    )]
    SectionNotLast,
}

/// What a signature can't be made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't sign {what} {found}: expected {expected}")]
pub struct Unsignable {
    what: &'static str,
    found: String,
    expected: &'static str,
}

/// What a publisher says about a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    checker: String,
    version: Version,
    sha256: [u8; 32],
    publisher: String,
    signed_at: u64,
}

impl Manifest {
    /// Puts a manifest together. `component` has no signature section; `signed_at` is in seconds since 1970.
    ///
    /// # Errors
    /// A text that a manifest can't hold.
    pub fn new(
        checker: &str,
        version: &str,
        component: &[u8],
        publisher: &str,
        signed_at: u64,
    ) -> Result<Self, Unsignable> {
        let unsignable = |what, found: &str, expected| Unsignable {
            what,
            found: format!("{found:?}"),
            expected,
        };
        if !parse::is_checker(checker) {
            return Err(unsignable("the checker", checker, parse::CHECKER));
        }
        if !is_publisher(publisher) {
            return Err(unsignable("as the publisher", publisher, PUBLISHER));
        }
        let Some(parsed) = parse::version(version) else {
            return Err(unsignable("the version", version, parse::VERSION));
        };
        if signed_at > LATEST {
            return Err(unsignable("at the time", &signed_at.to_string(), parse::TIME));
        }
        Ok(Self {
            checker: checker.to_owned(),
            version: parsed,
            sha256: super::cache::sha256(component),
            publisher: publisher.to_owned(),
            signed_at,
        })
    }

    /// The name that the checker describes itself with.
    #[must_use]
    pub fn checker(&self) -> &str {
        &self.checker
    }

    /// The checker's version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// SHA-256 of the component without its signature section.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The publisher, as they call themselves.
    #[must_use]
    pub fn publisher(&self) -> &str {
        &self.publisher
    }

    /// When it was signed by the signer's clock, in seconds since 1970. At most the end of the year 9999.
    #[must_use]
    pub fn signed_at(&self) -> u64 {
        self.signed_at
    }

    /// The bytes that are signed.
    fn encode(&self, key: &PublicKey) -> String {
        format!(
            "{FORMAT}\nchecker {}\nversion {}\nsha256 {}\npublisher {}\nkey {key}\nsigned-at {}\n",
            self.checker,
            self.version,
            super::cache::hex(&self.sha256),
            self.publisher,
            self.signed_at,
        )
    }
}

/// What a publisher's name may be.
pub const PUBLISHER: &str =
    "1 to 64 letters, digits, dots, underscores, hyphens and single spaces between them";

/// Whether a text is a publisher's name: [`PUBLISHER`], of ASCII alone, so that no two look alike.
#[must_use]
pub fn is_publisher(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b' ');
    (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && text.trim_matches(' ') == text
        && !text.contains("  ")
}

/// A manifest with the signature over it. That it was parsed says nothing yet: see [`check`](Self::check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    manifest: Manifest,
    key: PublicKey,
    signature: [u8; 64],
}

impl Signature {
    /// Signs a manifest.
    #[must_use]
    pub fn sign(manifest: Manifest, key: &SigningKey) -> Self {
        let public = key.public_key();
        let signature = key.sign(manifest.encode(&public).as_bytes());
        Self {
            manifest,
            key: public,
            signature,
        }
    }

    /// Reads a signature: a pure function of bytes that anybody may have written.
    ///
    /// # Errors
    /// Anything but the one spelling of a signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let (manifest, key, signature) = parse::parse(bytes)?;
        Ok(Self {
            manifest,
            key,
            signature,
        })
    }

    /// The text that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let manifest = self.manifest.encode(&self.key);
        format!("{manifest}signature {}\n", STANDARD.encode(self.signature))
    }

    /// Whether the signature is by the key that it names, over this component. Not whether that key is trusted.
    ///
    /// # Errors
    /// It isn't, and why.
    pub fn check(&self, component: &[u8]) -> Result<&Manifest, SignatureError> {
        let message = self.manifest.encode(&self.key);
        if !self.key.has_signed(message.as_bytes(), &self.signature) {
            return Err(SignatureError::Forged { key: self.key });
        }
        let found = super::cache::sha256(component);
        if found != self.manifest.sha256 {
            return Err(SignatureError::OtherComponent {
                publisher: self.manifest.publisher.clone(),
                signed: super::cache::hex(&self.manifest.sha256),
                found: super::cache::hex(&found),
            });
        }
        Ok(&self.manifest)
    }

    /// The key that it names.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

#[cfg(test)]
mod tests;
