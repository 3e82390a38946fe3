//! The identity folder: `identity.key`, `leaf.pem`, `issuer.pem`, `root.pem`, the CAs of the peers, and `trust.json` with
//! the sequence of these and the peers that are denied.
//!
//! Several files can't be replaced in one step. A new set is first written whole to `incoming/`; renaming that to
//! `ready/` is the moment at which it counts; then its files are moved over the old ones. Whoever finds `ready/`, after
//! a crash, goes on moving. Until the rename the old set is whole. Whoever reads or installs holds a lock on the folder:
//! a command that looks at it while the program installs never sees half of each set.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustls_pki_types::UnixTime;

use crate::credential::PrivateKey;
use crate::pem;
use crate::profile::Leaf;
use crate::spiffe::SpiffeId;
use crate::store::{self, StoreError};
use crate::trust_update::TrustStatement;
use crate::verify::Denied;

use super::{BundleError, Dates, Identity, IdentityBundle};

/// The private key.
pub const KEY_FILE: &str = "identity.key";
/// The request for a certificate, PEM.
pub const REQUEST_FILE: &str = "request.csr";

const LEAF: &str = "leaf.pem";
const ISSUER: &str = "issuer.pem";
const ROOT: &str = "root.pem";
const GATEWAY_CAS: &str = "gateway-cas.pem";
const PLATFORM_CAS: &str = "platform-cas.pem";
const TRUST: &str = "trust.json";
const INCOMING: &str = "incoming";
const READY: &str = "ready";

/// Others hold the lock for as long as a few small files take. A process that was stopped while it held it is not waited
/// for.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

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

/// Whose certificate the folder holds, however old it is, and whether or not it is good. `None` where it holds none that
/// can be read.
#[must_use]
pub fn installed_id(folder: &Path) -> Option<SpiffeId> {
    let text = store::read_public(&folder.join(LEAF)).ok()?;
    let leaf = pem::parse_certificate(&text).ok()?;
    Leaf::parse(&leaf).ok()?.uri.parse().ok()
}

/// What `trust.json` holds.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    sequence: u64,
    denied: Vec<Denied>,
}

/// Verifies a bundle against the key in the folder, and installs it: all of it or nothing. What was there before stays
/// until the new set is complete.
///
/// # Errors
/// Anything that is wrong with the bundle, the key or the folder; the folder is then as it was.
pub fn install(folder: &Path, bundle: &IdentityBundle, now: UnixTime) -> Result<Identity, BundleError> {
    let _held = lock(folder)?;
    finish(folder)?;
    let key = PrivateKey::load(&key_path(folder))?;
    let identity = bundle.verify(key, now)?;
    write(folder, &identity, None)?;
    Ok(identity)
}

/// Verifies a bundle against a new key, and installs both together: all of it or nothing. There is no moment at which the
/// folder has one without the other.
///
/// # Errors
/// Anything that is wrong with the bundle, the key or the folder; the folder is then as it was.
pub fn install_with_key(
    folder: &Path,
    bundle: &IdentityBundle,
    key: &PrivateKey,
    now: UnixTime,
) -> Result<Identity, BundleError> {
    let identity = bundle.verify(key.clone(), now)?;
    store::make_folder(folder)?;
    let _held = lock(folder)?;
    finish(folder)?;
    write(folder, &identity, Some(key))?;
    Ok(identity)
}

/// Takes a verified statement as what the agent in this folder trusts from now on, if it is newer than what it trusts
/// already and its own certificate is good under it. Key and certificate stay.
///
/// # Errors
/// The statement is no newer, or the own certificate would not be good under it; the folder is then as it was.
pub fn apply_trust(
    folder: &Path,
    statement: &TrustStatement,
    now: UnixTime,
) -> Result<Identity, BundleError> {
    let _held = lock(folder)?;
    let (bundle, key) = read(folder)?;
    let current = bundle.verify_dated(key, now, Dates::OwnMayHaveEnded)?;
    if statement.sequence <= current.trust_sequence {
        return Err(BundleError::NotNewer {
            known: current.trust_sequence,
            got: statement.sequence,
        });
    }
    let trust = statement.trust()?;
    let bundle = IdentityBundle {
        root: pem::certificates(&trust.roots()),
        gateway_cas: Some(pem::certificates(trust.cas().iter().map(|ca| ca.der()))),
        trust_sequence: statement.sequence,
        denied: statement.denied.clone(),
        ..current.to_bundle()
    };
    let key = current.credential.key().clone();
    let identity = bundle.verify_dated(key, now, Dates::OwnMayHaveEnded)?;
    write(folder, &identity, None)?;
    Ok(identity)
}

fn write(folder: &Path, identity: &Identity, key: Option<&PrivateKey>) -> Result<(), BundleError> {
    let incoming = folder.join(INCOMING);
    remove(&incoming)?;
    store::make_folder(&incoming)?;
    let [leaf, issuer] = identity.credential.chain() else {
        return Err(crate::credential::CredentialError::NoCertificate.into());
    };
    let trust = TrustFile {
        sequence: identity.trust_sequence,
        denied: identity.denied.clone(),
    };
    let files = [
        (LEAF, pem::certificates([leaf])),
        (ISSUER, pem::certificates([issuer])),
        (ROOT, pem::certificates(&identity.peers.roots())),
        (
            peers_file(identity),
            pem::certificates(identity.peers.cas().iter().map(|ca| ca.der())),
        ),
        (TRUST, serde_json::to_string(&trust)?),
    ];
    for (name, text) in &files {
        store::write_public(&incoming.join(name), text.as_bytes())?;
    }
    if let Some(key) = key {
        key.store(&key_path(&incoming))?;
    }
    rename(&incoming, &folder.join(READY))?;
    store::sync_folder(folder)?;
    finish(folder)
}

/// Loads and verifies the identity in a folder.
///
/// # Errors
/// Nothing installed, files that don't belong together, a key open to others, an expired certificate.
pub fn load(folder: &Path, now: UnixTime) -> Result<Identity, BundleError> {
    let (bundle, key) = read_locked(folder)?;
    bundle.verify(key, now)
}

/// As [`load`], but the own certificate may have ended: for an agent that goes on with its work and waits for its recovery.
/// [`Identity::is_expired`] says whether it has.
///
/// # Errors
/// As [`load`], but for that.
pub fn load_even_expired(folder: &Path, now: UnixTime) -> Result<Identity, BundleError> {
    let (bundle, key) = read_locked(folder)?;
    bundle.verify_dated(key, now, Dates::OwnMayHaveEnded)
}

fn read_locked(folder: &Path) -> Result<(IdentityBundle, PrivateKey), BundleError> {
    if !folder.exists() {
        return Err(BundleError::NotEnrolled(folder.to_owned()));
    }
    let _held = lock(folder)?;
    read(folder)
}

fn read(folder: &Path) -> Result<(IdentityBundle, PrivateKey), BundleError> {
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
    let parsed = Leaf::parse(&certificate).map_err(crate::credential::CredentialError::from)?;
    let trust: TrustFile = match read_if_there(TRUST)? {
        Some(text) => serde_json::from_str(&text)?,
        None => TrustFile::default(),
    };
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
        trust_sequence: trust.sequence,
        denied: trust.denied,
    };
    Ok((bundle, key))
}

fn peers_file(identity: &Identity) -> &'static str {
    match identity.id() {
        SpiffeId::Agent { .. } => GATEWAY_CAS,
        _ => PLATFORM_CAS,
    }
}

/// Ends with the returned value, and with the process. Also threads of one process wait for each other.
fn lock(folder: &Path) -> Result<File, BundleError> {
    let refused = |source| failed("lock", folder, source);
    let opened = File::open(folder).map_err(|source| failed("open", folder, source))?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(opened),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(refused(error.into())),
        }
    }
    Err(refused(io::Error::new(
        io::ErrorKind::TimedOut,
        "another process holds it; look for one that was stopped while it read this folder",
    )))
}

/// Moves the files of a complete new set into place, where an installation was cut short after it had counted.
fn finish(folder: &Path) -> Result<(), BundleError> {
    let ready = folder.join(READY);
    if !ready.exists() {
        return Ok(());
    }
    for name in [KEY_FILE, LEAF, ISSUER, ROOT, GATEWAY_CAS, PLATFORM_CAS, TRUST] {
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
