//! How the authorities' private keys lie on the disk: encrypted with AES-256-GCM under one key of the installation, which
//! lives somewhere else. A copy of the data folder is worth nothing without it.
//!
//! A key file is text:
//!
//! ```text
//! picket-ca-key 1
//! with 3f2a91c04be07d55
//! <base64 of nonce, ciphertext and tag>
//! ```
//!
//! The second line says which encryption key it needs. Both lines and the file's name are authenticated too, so a file
//! under another's name opens for nobody.
//!
//! - [`source`]: where the encryption key comes from.

pub mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_identity::store::StoreError;
use picket_issuing::IssueError;
use zeroize::Zeroizing;

pub use source::Sources;

/// The first line of every version.
const MAGIC: &str = "picket-ca-key ";
/// What this program writes and reads.
const VERSION: &str = "1";

/// Why a key of an authority can't be had, or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody says what the keys are encrypted with.
    #[error(
        "the authorities' keys are encrypted, and there is no key to open them with: give it by `encryption_key_file` in \
         [keys], by the systemd credential picket-ca-key, or by the variable PICKET_CA_KEY"
    )]
    NoKey,
    /// Several say it.
    #[error(
        "the key that the authorities' keys are encrypted with is given by {0}: expected exactly one; take the others away"
    )]
    SeveralKeys(String),
    /// Its place can't be read.
    #[error("{from}: {source}; without this key no authority can issue, bring it back from where it is kept")]
    NoKeyThere {
        /// Which source.
        from: String,
        /// What is wrong with it.
        source: StoreError,
    },
    /// It isn't one.
    #[error("{from} holds no encryption key: expected the base64 of 32 random bytes (44 characters)")]
    NotAKey {
        /// Which source.
        from: String,
    },
    /// It would be in every backup, beside what it protects.
    #[error(
        "{} is inside of the data folder {}: a copy of the folder would hold the authorities' keys and what opens them; \
         put it elsewhere",
        path.display(), folder.display()
    )]
    InsideData {
        /// Where it is.
        path: PathBuf,
        /// The data folder.
        folder: PathBuf,
    },
    /// There is no key file.
    #[error("the key of the {authority} isn't in the key folder ({}); {hint}", path.display())]
    Absent {
        /// Whose.
        authority: String,
        /// Where it would be.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// An older version wrote it.
    #[error(
        "{} holds an authority's key in the clear, as older versions wrote it: run `platform ca encrypt`, and destroy the \
         backups that it is in",
        .0.display()
    )]
    InTheClear(PathBuf),
    /// A newer version wrote it.
    #[error("{} has format {found:?}: expected {VERSION}; a newer program wrote it, use that one", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The wrong encryption key.
    #[error("{} was encrypted with key {found}: expected {expected}, the one that is given; give that other one", path.display())]
    OtherKey {
        /// Which file.
        path: PathBuf,
        /// With which key it was encrypted.
        found: String,
        /// Which key we have.
        expected: String,
    },
    /// Not what was written under this name.
    #[error(
        "{} is damaged, or another authority's key under this name; bring the right file back from a backup",
        .0.display()
    )]
    Damaged(PathBuf),
    /// A file can't be read or written, or is open to others.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in it isn't the authority's.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: IssueError,
    },
    /// There is a file already.
    #[error("{} exists already; nothing was changed", .0.display())]
    Exists(PathBuf),
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

/// What the authorities' keys are encrypted with: 256 bits. Never shown, wiped from memory in the end.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<[u8; 32]>);

impl EncryptionKey {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
        Ok(Self(bytes))
    }

    /// Reads it as base64; `None` where it isn't one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        // Whoever pipes a key through a shell adds a line end.
        let decoded = Zeroizing::new(STANDARD.decode(text.trim_ascii()).ok()?);
        if decoded.len() != bytes.len() {
            return None;
        }
        bytes.copy_from_slice(&decoded);
        Some(Self(bytes))
    }

    /// The text for a file: a secret.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", *Zeroizing::new(STANDARD.encode(*self.0))))
    }

    /// Which key this is, for people: it says nothing about the key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let named = Zeroizing::new([b"picket-ca-key-fingerprint-1".as_slice(), self.0.as_slice()].concat());
        let sum = digest(&SHA256, &named);
        sum.as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, KeyError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| KeyError::Randomness)
    }

    /// Encrypts an authority's key for the file of that name.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn seal(&self, name: &str, secret: &[u8]) -> Result<String, KeyError> {
        let head = head(&self.fingerprint());
        // Room for the tag, so that growing leaves no copy of the secret behind.
        let mut sealed = Zeroizing::new(Vec::with_capacity(secret.len() + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(secret);
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(Aad::from(associated(&head, name)), &mut *sealed)
            .map_err(|_| KeyError::Randomness)?;
        let body = STANDARD.encode([nonce.as_ref().as_slice(), sealed.as_slice()].concat());
        Ok(format!("{head}{body}\n"))
    }

    /// Opens what [`EncryptionKey::seal`] made for that name; `path` is named in errors.
    ///
    /// # Errors
    /// [`KeyError`]: in the clear, another key's, damaged, or another name's.
    pub fn open(&self, name: &str, file: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let damaged = || KeyError::Damaged(path.to_owned());
        if is_in_the_clear(file) {
            return Err(KeyError::InTheClear(path.to_owned()));
        }
        let text = std::str::from_utf8(file).map_err(|_| damaged())?;
        let mut lines = text.lines();
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix(MAGIC))
            .ok_or_else(damaged)?;
        if version != VERSION {
            return Err(KeyError::Version {
                path: path.to_owned(),
                found: version.chars().take(20).collect(),
            });
        }
        let found = lines
            .next()
            .and_then(|line| line.strip_prefix("with "))
            .ok_or_else(damaged)?;
        let expected = self.fingerprint();
        if found != expected {
            return Err(KeyError::OtherKey {
                path: path.to_owned(),
                found: found.chars().take(16).collect(),
                expected,
            });
        }
        let body = STANDARD
            .decode(lines.next().ok_or_else(damaged)?)
            .map_err(|_| damaged())?;
        if lines.next().is_some() {
            return Err(damaged());
        }
        let (nonce, sealed) = body.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let opened = self
            .cipher()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated(&head(found), name)),
                &mut sealed,
            )
            .map_err(|_| damaged())?
            .len();
        sealed.truncate(opened);
        Ok(sealed)
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(..)")
    }
}

/// Whether a file is a key as it is, in PEM or in DER.
#[must_use]
pub fn is_in_the_clear(file: &[u8]) -> bool {
    const PEM: &[u8] = b"-----BEGIN";
    file.windows(PEM.len()).any(|window| window == PEM) || file.first() == Some(&0x30)
}

fn head(fingerprint: &str) -> String {
    format!("{MAGIC}{VERSION}\nwith {fingerprint}\n")
}

/// What is authenticated besides the secret: no head has a NUL in it, so head and name can't run into each other.
fn associated(head: &str, name: &str) -> String {
    format!("{head}\0{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"\x30\x81\x87 as secret as a private key";

    fn at() -> &'static Path {
        Path::new("/keys/root-1.key")
    }

    fn key() -> EncryptionKey {
        EncryptionKey::generate().unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_its_name_and_key() {
        let key = key();
        let sealed = key.seal("root-1", SECRET).unwrap();
        assert_eq!(*key.open("root-1", sealed.as_bytes(), at()).unwrap(), SECRET);
        let again = EncryptionKey::parse(key.reveal().as_bytes()).unwrap();
        assert_eq!(*again.open("root-1", sealed.as_bytes(), at()).unwrap(), SECRET);
    }

    #[test]
    fn the_same_secret_is_never_sealed_twice_the_same() {
        let key = key();
        assert_ne!(
            key.seal("root-1", SECRET).unwrap(),
            key.seal("root-1", SECRET).unwrap()
        );
    }

    #[test]
    fn a_file_under_another_name_is_refused() {
        let key = key();
        let sealed = key.seal("tenant-acme-1", SECRET).unwrap();
        let refused = key.open("tenant-globex-1", sealed.as_bytes(), at());
        assert!(matches!(refused, Err(KeyError::Damaged(_))));
    }

    #[test]
    fn another_key_is_refused_and_named() {
        let (right, wrong) = (key(), key());
        let sealed = right.seal("root-1", SECRET).unwrap();
        match wrong.open("root-1", sealed.as_bytes(), at()).unwrap_err() {
            KeyError::OtherKey { found, expected, .. } => {
                assert_eq!((found, expected), (right.fingerprint(), wrong.fingerprint()));
            }
            other => panic!("{other}"),
        }
        // Whoever writes the other fingerprint over it gets no further.
        let forged = sealed.replace(&right.fingerprint(), &wrong.fingerprint());
        let refused = wrong.open("root-1", forged.as_bytes(), at());
        assert!(matches!(refused, Err(KeyError::Damaged(_))));
    }

    #[test]
    fn a_change_anywhere_in_the_file_is_refused() {
        let key = key();
        let sealed = key.seal("root-1", SECRET).unwrap();
        for at_byte in 0..sealed.len() - 1 {
            let mut changed = sealed.clone().into_bytes();
            changed[at_byte] ^= 1;
            assert!(key.open("root-1", &changed, at()).is_err(), "byte {at_byte}");
        }
        for end in 0..sealed.len() - 1 {
            assert!(
                key.open("root-1", &sealed.as_bytes()[..end], at()).is_err(),
                "{end} bytes"
            );
        }
        let longer = format!("{sealed}more\n");
        assert!(key.open("root-1", longer.as_bytes(), at()).is_err());
    }

    #[test]
    fn a_key_in_the_clear_is_refused_and_says_what_to_do() {
        let pem = b"-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\n";
        for file in [pem.as_slice(), SECRET] {
            let refused = key().open("root-1", file, at()).unwrap_err();
            assert!(matches!(refused, KeyError::InTheClear(_)), "{refused}");
            assert!(refused.to_string().contains("platform ca encrypt"));
        }
    }

    #[test]
    fn a_newer_format_is_not_called_damaged() {
        let refused = key().open("root-1", b"picket-ca-key 2\nsomething\n", at());
        assert!(matches!(refused, Err(KeyError::Version { .. })));
    }

    #[test]
    fn only_32_bytes_of_base64_are_a_key() {
        let good = STANDARD.encode([7; 32]);
        assert!(EncryptionKey::parse(good.as_bytes()).is_some());
        assert!(EncryptionKey::parse(format!(" {good}\n").as_bytes()).is_some());
        for bad in [
            STANDARD.encode([7; 31]),
            STANDARD.encode([7; 33]),
            String::new(),
            good.replace('B', "-"),
        ] {
            assert!(EncryptionKey::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn neither_debug_output_nor_errors_hold_a_key() {
        let key = key();
        let text = key.reveal();
        assert_eq!(format!("{key:?}"), "EncryptionKey(..)");
        let refused = key.open("root-1", text.as_bytes(), at()).unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains(text.trim()));
    }
}
