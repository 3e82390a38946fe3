//! Private keys, the certificates that belong to them, and what they sign.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::profile::{Leaf, ProfileError};
use crate::spiffe::{SpiffeError, SpiffeId};
use crate::store::{self, StoreError};

/// Keys, credentials and signatures.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The key file can't be read or written, or is open to others.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a P-256 private key.
    #[error("{0} isn't a P-256 private key in PKCS #8 PEM")]
    NotAKey(String),
    /// The system gave no randomness, or the library refused.
    #[error("the key can't be used: {0}")]
    Crypto(String),
    /// A chain without a certificate.
    #[error("a credential without a certificate: expected the leaf first")]
    NoCertificate,
    /// The leaf isn't one of ours.
    #[error("own certificate: {0}")]
    Profile(#[from] ProfileError),
    /// The leaf has no ID of ours.
    #[error("own certificate: {0}")]
    Id(#[from] SpiffeError),
    /// The certificate is for another key.
    #[error(
        "the certificate of {id} isn't for this private key; enrol again with a request made from this key"
    )]
    KeyMismatch {
        /// Whose certificate it is.
        id: String,
    },
    /// A signature isn't by the key in the certificate.
    #[error("the signature isn't by the key of the certificate")]
    BadSignature,
}

/// A P-256 private key. Cheap to clone; never shown by `Debug`; wiped from memory with the last clone.
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

struct Inner {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl PrivateKey {
    /// Makes a key.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate() -> Result<Self, CredentialError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|error| CredentialError::Crypto(error.to_string()))?;
        Self::from_pkcs8(document.as_ref(), "the new key")
    }

    /// Takes a key that came over a Workload API's socket (PKCS #8, DER). `what` names it where it isn't a P-256 one.
    ///
    /// # Errors
    /// Not a P-256 key.
    pub fn from_workload_api(pkcs8: &[u8], what: &str) -> Result<Self, CredentialError> {
        Self::from_pkcs8(pkcs8, what)
    }

    fn from_pkcs8(pkcs8: &[u8], what: &str) -> Result<Self, CredentialError> {
        let not_a_key = || CredentialError::NotAKey(what.to_owned());
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).map_err(|_| not_a_key())?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| not_a_key())?;
        let spki = spki.as_ref().to_vec();
        Ok(Self(Arc::new(Inner {
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
            pair,
            spki,
        })))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// A symlink, a file or folder that others can read, or not a P-256 key.
    pub fn load(path: &Path) -> Result<Self, CredentialError> {
        let text = store::read_secret(path)?;
        let shown = path.display().to_string();
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| CredentialError::NotAKey(shown.clone()))?;
        Self::from_pkcs8(der.secret_pkcs8_der(), &shown)
    }

    /// Writes the key to a file that only its owner can read, whole or not at all. Makes the folder where there is
    /// none.
    ///
    /// # Errors
    /// The file or folder can't be written, or is a symlink, or others can read the folder.
    pub fn store(&self, path: &Path) -> Result<(), CredentialError> {
        let text = crate::pem::private_key(&self.0.pkcs8);
        store::write_secret(path, text.as_bytes())?;
        Ok(())
    }

    /// A request for a certificate (PKCS #10, DER). The common name is for people: issuing takes nothing from a request
    /// but the public key.
    ///
    /// # Errors
    /// The library refused.
    pub fn csr(&self, common_name: &str) -> Result<Vec<u8>, CredentialError> {
        let crypto = |error: rcgen::Error| CredentialError::Crypto(error.to_string());
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.pkcs8.as_slice()));
        let pair =
            rcgen::KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, common_name);
        let request = parameters.serialize_request(&pair).map_err(crypto)?;
        Ok(request.der().to_vec())
    }

    /// Signs `context` followed by `bytes`: ECDSA P-256 with SHA-256, ASN.1 form. The context names what is signed, so
    /// that a signature for one purpose is never one for another; no context may be the beginning of another.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn sign(&self, context: &[u8], bytes: &[u8]) -> Result<Vec<u8>, CredentialError> {
        let message = [context, bytes].concat();
        let signature = self
            .0
            .pair
            .sign(&SystemRandom::new(), &message)
            .map_err(|error| CredentialError::Crypto(error.to_string()))?;
        Ok(signature.as_ref().to_vec())
    }

    /// The public key as `SubjectPublicKeyInfo`, DER.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.0.spki
    }

    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.pkcs8.to_vec()))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Verifies a signature that [`PrivateKey::sign`] made, by the key in a certificate. Says nothing about whether the
/// certificate itself is to be trusted.
///
/// # Errors
/// The certificate isn't a leaf of ours, or the signature isn't by its key over exactly these bytes.
pub fn verify_signature(
    leaf: &CertificateDer<'_>,
    context: &[u8],
    bytes: &[u8],
    signature: &[u8],
) -> Result<(), CredentialError> {
    let leaf = Leaf::parse(leaf)?;
    verify_signature_by_key(&leaf.spki, context, bytes, signature)
}

/// As [`verify_signature`], by a public key (`SubjectPublicKeyInfo`, DER).
///
/// # Errors
/// The signature isn't by this key over exactly these bytes.
pub fn verify_signature_by_key(
    spki: &[u8],
    context: &[u8],
    bytes: &[u8],
    signature: &[u8],
) -> Result<(), CredentialError> {
    let message = [context, bytes].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki)
        .verify(&message, signature)
        .map_err(|_| CredentialError::BadSignature)
}

/// A private key and the chain that belongs to it: leaf first, then the CA that issued it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credential {
    key: PrivateKey,
    chain: Arc<[CertificateDer<'static>]>,
    id: SpiffeId,
    leaf: Arc<Leaf>,
}

impl Credential {
    /// Puts key and chain together.
    ///
    /// # Errors
    /// A chain without a leaf of ours, or one for another key.
    pub fn new(key: PrivateKey, chain: Vec<CertificateDer<'static>>) -> Result<Self, CredentialError> {
        Self::with(Leaf::parse, key, chain)
    }

    /// Puts a key and an X.509-SVID of a Workload API together: leaf first, then what stands between it and an authority.
    ///
    /// # Errors
    /// A chain without an SVID for an ID of ours, or one for another key.
    pub fn of_svid(key: PrivateKey, chain: Vec<CertificateDer<'static>>) -> Result<Self, CredentialError> {
        Self::with(Leaf::parse_svid, key, chain)
    }

    fn with(
        parse: fn(&[u8]) -> Result<Leaf, ProfileError>,
        key: PrivateKey,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, CredentialError> {
        let leaf = parse(chain.first().ok_or(CredentialError::NoCertificate)?)?;
        if leaf.spki != key.public_key() {
            return Err(CredentialError::KeyMismatch { id: leaf.uri });
        }
        let id = leaf.uri.parse()?;
        Ok(Self {
            key,
            chain: chain.into(),
            id,
            leaf: Arc::new(leaf),
        })
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The certificates, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Our own identity.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Our own certificate, parsed.
    #[must_use]
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The last second in which our own certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.leaf.not_after
    }
}
