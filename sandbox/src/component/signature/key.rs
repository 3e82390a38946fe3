//! The keys of publishers: Ed25519 (RFC 8032).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "picket-ed25519:";

/// Why something is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a public key's text.
    #[error(
        "expected a public key as `agent-host checker keygen` prints it, {PREFIX} and 44 characters of base64"
    )]
    NotPublic,
    /// Not a private key.
    #[error("expected an Ed25519 private key in PKCS #8, as `agent-host checker keygen` writes it")]
    NotPrivate,
    /// The system gave no randomness, or the library refused.
    #[error("the system gives no randomness for a key")]
    Unavailable,
}

/// The half of a key that verifies. `Display` is its one spelling, `picket-ed25519:BASE64`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let body = text.strip_prefix(PREFIX).ok_or(KeyError::NotPublic)?;
        // The decoder takes only padded text without spare bits, so that each key has one spelling.
        let bytes = STANDARD.decode(body).map_err(|_| KeyError::NotPublic)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::NotPublic)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The half of a key that signs. Never shown by `Debug`.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Makes a key.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate()
            .map(Self)
            .map_err(|_| KeyError::Unavailable)
    }

    /// Reads a private key in PKCS #8 (RFC 5958, either version; RFC 8410), DER.
    ///
    /// # Errors
    /// It isn't one for Ed25519.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8(der)
            .map(Self)
            .map_err(|_| KeyError::NotPrivate)
    }

    /// The private key in PKCS #8, version 1, DER: what `openssl pkey` reads, too.
    ///
    /// # Errors
    /// The library refused.
    pub fn to_pkcs8(&self) -> Result<Pkcs8V1Der<'static>, KeyError> {
        self.0.as_der().map_err(|_| KeyError::Unavailable)
    }

    /// The half that verifies.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
