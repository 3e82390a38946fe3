//! Whether a file is trusted: its signatures against the publishers of agent.toml. Before anything of it is compiled.

use std::fmt;
use std::path::PathBuf;

use picket_sandbox::component::signature::{Manifest, PublicKey, Signature, SignatureError, section};
use picket_sandbox::report::Descriptor;

use super::candidate::Candidate;
use super::folder;
use crate::config::{Policy, SignatureSettings};

/// Who signed a checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The policy is `off`.
    NotChecked,
    /// Nobody.
    Unsigned,
    /// Somebody whose key is not in agent.toml: what they say of themselves proves nothing.
    Unknown(Manifest, PublicKey),
    /// One of the trusted publishers.
    Publisher(Manifest),
}

impl Signer {
    /// What a trusted publisher says.
    #[must_use]
    pub fn trusted(&self) -> Option<&Manifest> {
        match self {
            Self::Publisher(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// What anybody says who signed it.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Publisher(manifest) | Self::Unknown(manifest, _) => Some(manifest),
            Self::NotChecked | Self::Unsigned => None,
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotChecked => f.write_str("not checked"),
            Self::Unsigned => f.write_str("unsigned"),
            Self::Unknown(manifest, _) => {
                write!(f, "signed by an unknown publisher ({})", manifest.publisher())
            }
            Self::Publisher(manifest) => write!(f, "signed by {}", manifest.publisher()),
        }
    }
}

/// Why a file isn't trusted, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// No signature, and the policy wants one.
    #[error(
        "it is unsigned, and [signatures] policy = \"require\" wants a trusted publisher's signature; put the publisher's \
         {sidecar} beside it, or, if you vouch for it yourself, run `agent-host checker sign {} --key KEY.pem --publisher \
         NAME`",
        file.display()
    )]
    Unsigned {
        /// The file.
        file: PathBuf,
        /// The name of the file that would hold its signature.
        sidecar: String,
    },
    /// A right signature of somebody else, and the policy wants one of ours.
    #[error(
        "it is signed by `{publisher}`, who is not a trusted publisher, and [signatures] policy = \"require\" wants one; \
         if they tell you the same key by another way, add to agent.toml: [[signatures.publisher]] name = \"{publisher}\" \
         key = \"{key}\""
    )]
    Unknown {
        /// As the signer calls themselves.
        publisher: String,
        /// What it is signed with.
        key: PublicKey,
    },
    /// Somebody else under a trusted publisher's name.
    #[error(
        "it is signed in the name of `{publisher}`, but not with a key that agent.toml has for them: expected {expected}, \
         found {found}; if they tell you the new key by another way, add it: [[signatures.publisher]] name = \
         \"{publisher}\" key = \"{found}\""
    )]
    OtherKey {
        /// In whose name.
        publisher: String,
        /// The keys in agent.toml.
        expected: String,
        /// The key that signed.
        found: PublicKey,
    },
    /// A trusted publisher's key under another name.
    #[error(
        "it is signed with the key of `{trusted}`, in the name of `{found}`; if both are the same publisher, write name = \
         \"{found}\" in its [[signatures.publisher]]"
    )]
    OtherPublisher {
        /// Whose key it is in agent.toml.
        trusted: String,
        /// In whose name it signed.
        found: String,
    },
    /// No signature, or not for these bytes.
    #[error(transparent)]
    Wrong(#[from] SignatureError),
    /// A signature that is there and can't be read.
    #[error("its signature {} can't be read: {reason}; let this user read it", path.display())]
    Unreadable {
        /// The signature's file.
        path: PathBuf,
        /// In the system's words.
        reason: String,
    },
    /// The signature is for a checker of another name or version than the component says of itself.
    #[error("it is signed as {signed}, and calls itself {found}; ask its publisher to sign it again")]
    OtherChecker {
        /// Name and version in the signature.
        signed: String,
        /// Name and version in the component.
        found: String,
    },
}

/// Looks at the signatures of a file. Each one that is there must be right; one of a trusted publisher is enough.
///
/// # Errors
/// The file may be neither compiled nor run.
pub fn judge(settings: &SignatureSettings, candidate: &Candidate) -> Result<Signer, Distrust> {
    if settings.policy == Policy::Off {
        return Ok(Signer::NotChecked);
    }
    let path = folder::sidecar(candidate.file());
    let sidecar = candidate.sidecar().map_err(|error| Distrust::Unreadable {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let split = section::split(candidate.bytes())?;
    let mut signer = Signer::Unsigned;
    for text in [sidecar, split.signature].into_iter().flatten() {
        let signature = Signature::parse(text)?;
        let manifest = signature.check(split.component)?;
        let recognised = recognise(settings, manifest, signature.key())?;
        if signer.trusted().is_none() {
            signer = recognised;
        }
    }
    match (settings.policy, signer) {
        (Policy::Require, Signer::Unsigned) => Err(Distrust::Unsigned {
            file: candidate.file().to_path_buf(),
            sidecar: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }),
        (Policy::Require, Signer::Unknown(manifest, key)) => Err(Distrust::Unknown {
            publisher: manifest.publisher().to_owned(),
            key,
        }),
        (_, signer) => Ok(signer),
    }
}

fn recognise(settings: &SignatureSettings, manifest: &Manifest, key: &PublicKey) -> Result<Signer, Distrust> {
    let publishers = &settings.publishers;
    if let Some(owner) = publishers.iter().find(|publisher| publisher.key == *key) {
        if owner.name != manifest.publisher() {
            return Err(Distrust::OtherPublisher {
                trusted: owner.name.clone(),
                found: manifest.publisher().to_owned(),
            });
        }
        return Ok(Signer::Publisher(manifest.clone()));
    }
    let namesakes: Vec<String> = publishers
        .iter()
        .filter(|publisher| publisher.name == manifest.publisher())
        .map(|publisher| publisher.key.to_string())
        .collect();
    if !namesakes.is_empty() {
        return Err(Distrust::OtherKey {
            publisher: manifest.publisher().to_owned(),
            expected: namesakes.join(" or "),
            found: *key,
        });
    }
    Ok(Signer::Unknown(manifest.clone(), *key))
}

/// Whether a component says of itself what its signature says: a publisher who signed one checker vouches for no other.
///
/// # Errors
/// It doesn't.
pub fn fits(signer: &Signer, descriptor: &Descriptor) -> Result<(), Distrust> {
    let Some(manifest) = signer.manifest() else {
        return Ok(());
    };
    if manifest.checker() == descriptor.name && manifest.version().to_string() == descriptor.version {
        return Ok(());
    }
    Err(Distrust::OtherChecker {
        signed: format!("{} {}", manifest.checker(), manifest.version()),
        found: format!("{} {}", descriptor.name, descriptor.version),
    })
}

#[cfg(test)]
mod tests;
