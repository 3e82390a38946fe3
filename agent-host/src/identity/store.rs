//! The identity as it is now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use picket_identity::UnixTime;
use picket_identity::bundle::{self, BundleError, Identity, IdentityBundle};
use picket_identity::credential::PrivateKey;
use picket_identity::tls::ServerTls;
use picket_identity::trust_update::TrustStatement;
use picket_identity::verify;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::validity::certain_time;
use super::{AgentIdentity, IdentityError, Validity};
use crate::internal_events as events;

/// How often the certificate's end is looked at, at least: clocks jump, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often trouble that goes on is told again.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The identity as it is now, for whoever signs and serves.
#[derive(Debug)]
pub struct IdentityStore {
    folder: PathBuf,
    current: watch::Sender<Arc<AgentIdentity>>,
    tls: watch::Sender<Arc<ServerTls>>,
    /// Whoever changes the folder or publishes what is in it: one at a time, so that what is published last is what lies in
    /// the folder.
    changing: Mutex<()>,
}

impl IdentityStore {
    /// Loads the folder for the first time.
    ///
    /// # Errors
    /// As [`AgentIdentity::load`].
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        let first = AgentIdentity::load(folder)?;
        events::identity_loaded(first.identity());
        let tls = watch::Sender::new(first.tls());
        Ok(Self {
            folder: folder.to_path_buf(),
            current: watch::Sender::new(Arc::new(first)),
            tls,
            changing: Mutex::default(),
        })
    }

    /// The identity now.
    #[must_use]
    pub fn current(&self) -> Arc<AgentIdentity> {
        Arc::clone(&self.current.borrow())
    }

    /// Follows the TLS snapshots.
    #[must_use]
    pub fn tls(&self) -> watch::Receiver<Arc<ServerTls>> {
        self.tls.subscribe()
    }

    /// Looks at the folder again. Where its files are good and others than before, they are published.
    pub fn reload(&self) {
        let _changing = self.change();
        let loaded = match AgentIdentity::load(&self.folder) {
            Ok(loaded) => loaded,
            Err(error) => {
                events::identity_refused(&error);
                return;
            }
        };
        let before = self.current();
        if is_same(before.identity(), loaded.identity()) {
            return;
        }
        if before.identity().id() != loaded.identity().id() {
            // The spool's results are sealed under this agent's name; another agent's identity needs a fresh start.
            events::identity_changed_name(before.identity().id(), loaded.identity().id());
            return;
        }
        self.publish(loaded);
    }

    /// Installs the next certificate with its key, and publishes it: new connections show it, old ones go on. `make` gets
    /// the identity that it takes the place of: nothing changes that one in the meantime.
    ///
    /// # Errors
    /// Anything that is wrong with it; nothing was changed then.
    pub fn renew<E: From<IdentityError>>(
        &self,
        key: &PrivateKey,
        make: impl FnOnce(&Identity, UnixTime) -> Result<IdentityBundle, E>,
    ) -> Result<Arc<AgentIdentity>, E> {
        let _changing = self.change();
        let bundle = make(self.current().identity(), self.certain_now())?;
        let (now, refused) = (verify::now(), |source| self.refused(source));
        // What can't be served with isn't installed either.
        let renewed = AgentIdentity::new(bundle.verify(key.clone(), now).map_err(refused)?, &self.folder)?;
        bundle::install_with_key(&self.folder, &bundle, key, now).map_err(refused)?;
        Ok(self.publish(renewed))
    }

    /// Takes a statement as what is trusted from now on, and publishes it: live connections are verified again. `verify`
    /// verifies it by the identity that is in force.
    ///
    /// # Errors
    /// It isn't the platform's, isn't newer than what is trusted already, or can't be in force here; nothing was changed
    /// then.
    pub fn apply_trust<E: From<IdentityError>>(
        &self,
        verify: impl FnOnce(&Identity, UnixTime) -> Result<TrustStatement, E>,
    ) -> Result<Arc<AgentIdentity>, E> {
        let _changing = self.change();
        let now = self.certain_now();
        let statement = verify(self.current().identity(), now)?;
        let applied = bundle::apply_trust(&self.folder, &statement, now);
        let identity = applied.map_err(|source| self.refused(source))?;
        Ok(self.publish(AgentIdentity::new(identity, &self.folder)?))
    }

    /// [`certain_time`], now.
    #[must_use]
    pub fn certain_now(&self) -> UnixTime {
        certain_time(verify::now(), self.current().identity())
    }

    fn refused(&self, source: BundleError) -> IdentityError {
        IdentityError::Bundle {
            folder: self.folder.clone(),
            source: Box::new(source),
        }
    }

    fn publish(&self, identity: AgentIdentity) -> Arc<AgentIdentity> {
        events::identity_loaded(identity.identity());
        let tls = identity.tls();
        let identity = Arc::new(identity);
        self.current.send_replace(Arc::clone(&identity));
        self.tls.send_replace(tls);
        identity
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        // Nothing lies behind the lock that a panic could have left half done.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when the certificate's end is near, when it has come, and when it is over; until `shutdown`.
    pub async fn watch_validity(self: Arc<Self>, shutdown: CancellationToken) {
        let mut changes = self.current.subscribe();
        let mut told: Option<(Validity, tokio::time::Instant)> = None;
        loop {
            let now = verify::now();
            let current = Arc::clone(&changes.borrow_and_update());
            let validity = Validity::of(current.identity(), now);
            events::certificate_validity(validity);
            let is_told = told.is_some_and(|(before, at)| before == validity && at.elapsed() < TELL_EVERY);
            if !is_told {
                if let Some(trouble) = super::validity::trouble(current.identity(), now) {
                    events::certificate_trouble(validity, &trouble);
                }
                told = Some((validity, tokio::time::Instant::now()));
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(until_look(current.identity(), now)) => {}
            }
        }
    }
}

/// Until a second after the certificate's last one, or until the next look.
fn until_look(identity: &Identity, now: UnixTime) -> Duration {
    let end = identity.verified().not_after().as_secs();
    match end.checked_sub(now.as_secs()) {
        Some(left) => Duration::from_secs(left + 1).min(LOOK_EVERY),
        None => LOOK_EVERY,
    }
}

fn is_same(a: &Identity, b: &Identity) -> bool {
    let ders = |identity: &Identity| -> Vec<Vec<u8>> {
        let trusted = identity.peers().cas().iter().map(|ca| ca.der().to_vec());
        let own = identity
            .credential()
            .chain()
            .iter()
            .map(|certificate| certificate.to_vec());
        trusted
            .chain(own)
            .chain(identity.peers().roots().iter().map(|root| root.to_vec()))
            .collect()
    };
    ders(a) == ders(b) && a.trust_sequence() == b.trust_sequence() && a.denied() == b.denied()
}
