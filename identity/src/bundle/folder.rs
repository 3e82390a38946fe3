//! The identity folder: `identity.key`, `leaf.pem`, `issuer.pem`, `root.pem`, and the CAs of the peers.
//!
//! Several files can't be replaced in one step. A new set is first written whole to `incoming/`; renaming that to
//! `ready/` is the moment at which it counts; then its files are moved over the old ones. Whoever finds `ready/`, after
//! a crash, goes on moving. Until the rename the old set is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls_pki_types::UnixTime;

use crate::credential::PrivateKey;
use crate::pem;
use crate::store::{self, StoreError};

use super::{BundleError, Identity, IdentityBundle};

/// The private key.
pub const KEY_FILE: &str = "identity.key";
/// The request for a certificate, PEM.
pub const REQUEST_FILE: &str = "request.csr";

const LEAF: &str = "leaf.pem";
const ISSUER: &str = "issuer.pem";
const ROOT: &str = "root.pem";
const GATEWAY_CAS: &str = "gateway-cas.pem";
const PLATFORM_CAS: &str = "platform-cas.pem";
const INCOMING: &str = "incoming";
const READY: &str = "ready";

/// Where a folder's private key is.
#[must_use]
pub fn key_path(folder: &Path) -> PathBuf {
    folder.join(KEY_FILE)
}

/// Where a folder's request for a certificate is.
#[must_use]
pub fn request_path(folder: &Path) -> PathBuf {
    folder.join(REQUEST_FILE)
}

/// Whether a certificate was ever installed in the folder. Says nothing about whether it is good.
#[must_use]
pub fn has_identity(folder: &Path) -> bool {
    folder.join(LEAF).exists() || folder.join(READY).exists()
}

/// Verifies a bundle against the key in the folder, and installs it: all of it or nothing. What was there before stays
/// until the new set is complete.
///
/// # Errors
/// Anything that is wrong with the bundle, the key or the folder; the folder is then as it was.
pub fn install(folder: &Path, bundle: &IdentityBundle, now: UnixTime) -> Result<Identity, BundleError> {
    finish(folder)?;
    let key = PrivateKey::load(&key_path(folder))?;
    let identity = bundle.verify(key, now)?;
    let incoming = folder.join(INCOMING);
    remove(&incoming)?;
    store::make_folder(&incoming)?;
    let [leaf, issuer] = identity.credential.chain() else {
        return Err(crate::credential::CredentialError::NoCertificate.into());
    };
    let files = [
        (LEAF, pem::certificates([leaf])),
        (ISSUER, pem::certificates([issuer])),
        (ROOT, pem::certificates(&identity.peers.roots())),
        (
            peers_file(&identity),
            pem::certificates(identity.peers.cas().iter().map(|ca| ca.der())),
        ),
    ];
    for (name, text) in &files {
        store::write_public(&incoming.join(name), text.as_bytes())?;
    }
    rename(&incoming, &folder.join(READY))?;
    store::sync_folder(folder)?;
    finish(folder)?;
    Ok(identity)
}

/// Loads and verifies the identity in a folder.
///
/// # Errors
/// Nothing installed, files that don't belong together, a key open to others, an expired certificate.
pub fn load(folder: &Path, now: UnixTime) -> Result<Identity, BundleError> {
    finish(folder)?;
    if !folder.join(LEAF).exists() {
        return Err(BundleError::NotEnrolled(folder.to_owned()));
    }
    let key = PrivateKey::load(&key_path(folder))?;
    let read = |name: &str| store::read_public(&folder.join(name));
    let read_if_there = |name: &str| folder.join(name).exists().then(|| read(name)).transpose();
    let leaf = read(LEAF)?;
    let certificate = pem::parse_certificate(&leaf).map_err(|source| BundleError::Pem {
        field: "leaf.pem",
        source,
    })?;
    let parsed =
        crate::profile::Leaf::parse(&certificate).map_err(crate::credential::CredentialError::from)?;
    let bundle = IdentityBundle {
        version: super::VERSION,
        spiffe_id: parsed
            .uri
            .parse()
            .map_err(crate::credential::CredentialError::from)?,
        leaf,
        issuer: read(ISSUER)?,
        root: read(ROOT)?,
        gateway_cas: read_if_there(GATEWAY_CAS)?,
        platform_cas: read_if_there(PLATFORM_CAS)?,
    };
    bundle.verify(key, now)
}

fn peers_file(identity: &Identity) -> &'static str {
    match identity.id() {
        crate::spiffe::SpiffeId::Agent { .. } => GATEWAY_CAS,
        _ => PLATFORM_CAS,
    }
}

/// Moves the files of a complete new set into place, where an installation was cut short after it had counted.
fn finish(folder: &Path) -> Result<(), BundleError> {
    let ready = folder.join(READY);
    if !ready.exists() {
        return Ok(());
    }
    for name in [LEAF, ISSUER, ROOT, GATEWAY_CAS, PLATFORM_CAS] {
        let to = folder.join(name);
        match fs::rename(ready.join(name), &to) {
            // It isn't of this kind, or was moved before: perhaps by another process at this very time.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed("rename to", &to, source)),
            Ok(()) => {}
        }
    }
    store::sync_folder(folder)?;
    remove(&ready)
}

fn rename(from: &Path, to: &Path) -> Result<(), BundleError> {
    fs::rename(from, to).map_err(|source| failed("rename to", to, source))
}

fn remove(folder: &Path) -> Result<(), BundleError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder, source)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> BundleError {
    StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
    .into()
}
