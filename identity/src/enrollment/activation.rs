//! The one-time key, and what it signs.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::channel_binding::ChannelBinding;
use crate::spiffe::SpiffeId;

/// What is signed begins with this.
pub const CONTEXT: &[u8] = b"picket-enroll-1";

/// An activation that can't be used, or proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ActivationError {
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// Not a key.
    #[error("the activation key isn't 32 bytes in base64")]
    NotAKey,
    /// By another key, over another connection, request or identity.
    #[error("the signature isn't by the activation key over this connection, this request and this identity")]
    BadSignature,
}

/// An Ed25519 key for one enrolment. Never shown by `Debug`; wiped from memory when it is dropped.
pub struct ActivationKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl ActivationKey {
    /// Makes a key.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate() -> Result<Self, ActivationError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(seed.as_mut())
            .map_err(|_| ActivationError::Randomness)?;
        Self::from_seed(seed)
    }

    fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, ActivationError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| ActivationError::NotAKey)?;
        Ok(Self { seed, pair })
    }

    /// Reads a key from its text.
    ///
    /// # Errors
    /// Not 32 bytes in base64.
    pub fn from_text(text: &str) -> Result<Self, ActivationError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| ActivationError::NotAKey)?);
        let seed: [u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| ActivationError::NotAKey)?;
        Self::from_seed(Zeroizing::new(seed))
    }

    /// The key as text: a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.seed.as_ref()))
    }

    /// The public half, 32 bytes: all that the platform keeps.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Proves, on one connection, that a request is the holder's.
    #[must_use]
    pub fn sign(&self, binding: &ChannelBinding, csr: &[u8], id: &SpiffeId) -> Vec<u8> {
        self.pair.sign(&message(binding, csr, id)).as_ref().to_vec()
    }
}

impl fmt::Debug for ActivationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActivationKey(..)")
    }
}

/// All parts but the last have a fixed length: no two sets of them give the same bytes.
fn message(binding: &ChannelBinding, csr: &[u8], id: &SpiffeId) -> Vec<u8> {
    let request = digest(&SHA256, csr);
    [
        CONTEXT,
        binding.as_bytes().as_slice(),
        request.as_ref(),
        id.to_string().as_bytes(),
    ]
    .concat()
}

/// Verifies a proof by the public half of the activation key. `binding` is what the *gateway* computed for its connection
/// to the agent.
///
/// # Errors
/// The proof is by another key, or for another connection, request or identity.
pub fn verify_activation(
    public_key: &[u8],
    binding: &ChannelBinding,
    csr: &[u8],
    id: &SpiffeId,
    signature: &[u8],
) -> Result<(), ActivationError> {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(&message(binding, csr, id), signature)
        .map_err(|_| ActivationError::BadSignature)
}
