//! How an authority takes another's place, without a visit to any agent: prepare → distribute → activate → taint → revoke.
//!
//! - [`decision`]: what comes next; a pure function.
//! - [`facts`]: what it decides by.
//!
//! An operator prepares; a job goes on from there as soon as nobody would be cut off. Each step is one transaction with its
//! audit row, and makes agents and gateways look again at what they are to trust.

pub mod decision;
mod facts;

use picket_identity::name::TenantSlug;
use picket_issuing::{CertificateAuthority, Intermediate, Role};

use super::{Authority, AuthorityError, tenants, unix_ms, unix_time};
use crate::clock::UnixMs;
use crate::jobs::authority_rotation;
use crate::metrics::authority as report;
use crate::store::authorities::{Ca, NewCa};
use crate::store::{self, Write};
use decision::{Decision, State, Step};

/// Who verifies takes a handful of roots, and a dozen authorities of a kind: more don't help anybody.
const MAX_ROOTS: usize = 3;
const MAX_OF_A_KIND: usize = 8;

/// Why an authority can't take a step.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// One is prepared.
    #[error(
        "another {authority} is prepared already; `platform ca show` says what it waits for, `--step revoke` gives it up"
    )]
    Prepared {
        /// Which.
        authority: String,
    },
    /// A root is on its way, or something below it.
    #[error(
        "the rotation of the {0} is under way: expected one at a time where the root takes part; wait for it, or give it up"
    )]
    UnderWay(String),
    /// Too many at once.
    #[error(
        "there are {found} {authority}s that aren't revoked: expected at most {max}; wait until the old ones are gone"
    )]
    TooMany {
        /// Which.
        authority: String,
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// No authority is where this step begins.
    #[error("there is no {authority} to {step}; `platform ca show` says where each of them stands")]
    Nothing {
        /// Which.
        authority: String,
        /// The step.
        step: &'static str,
    },
    /// Not yet.
    #[error("the {authority} can't {step} yet, it waits for {reasons}{hint}")]
    NotYet {
        /// Which.
        authority: String,
        /// The step.
        step: &'static str,
        /// For what.
        reasons: String,
        /// What to do.
        hint: &'static str,
    },
}

/// An authority and what is to come.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The authority.
    pub ca: Ca,
    /// What comes next.
    pub next: Decision,
}

/// The kind of an authority, as the database has it, and its tenant.
fn columns(role: &Role) -> (&'static str, Option<&TenantSlug>) {
    match role {
        Role::Root => ("root", None),
        Role::Gateway => ("gateway", None),
        Role::Platform => ("platform", None),
        Role::Tenant(tenant) => ("tenant", Some(tenant)),
    }
}

fn is_of(ca: &Ca, role: &Role) -> bool {
    let (kind, tenant) = columns(role);
    ca.kind == kind && ca.tenant.as_deref() == tenant.map(TenantSlug::as_str)
}

impl Authority {
    /// Prepares an authority that is to take the present one's place: from now on it is trusted, and as soon as everybody
    /// knows it a job goes on.
    ///
    /// # Errors
    /// [`AuthorityError`]: one is prepared already, or the root's key isn't here.
    pub async fn prepare_rotation(&self, role: &Role, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let (kind, tenant) = columns(role);
        if let Some(tenant) = tenant {
            tenants::require_active(&mut write, tenant.as_str()).await?;
        }
        require_room(role, &store::authorities::list(&mut write).await?)?;
        let (authority, issuer) = self.next_authority(&mut write, role).await?;
        let key_ref = self.0.keys.store(kind, tenant, &authority)?;
        let trusted_from = store::installation::bump_trust(&mut write).await?;
        let new = NewCa {
            kind,
            tenant: tenant.map(TenantSlug::as_str),
            certificate: authority.certificate_der(),
            key_ref: &key_ref,
            state: "prepared",
            not_after_at: unix_ms(authority.not_after()),
            issuer,
            trusted_from,
        };
        let id = store::authorities::insert(&mut write, &new, now).await?;
        store::audit::record(
            &mut write,
            now,
            actor,
            "ca.prepare",
            new.tenant,
            &role.to_string(),
            &format!("authority {id}"),
        )
        .await?;
        authority_rotation::enqueue(&mut write, now).await?;
        write.commit().await?;
        report::rotated(&role.to_string(), "prepare");
        Ok(())
    }

    async fn next_authority(
        &self,
        write: &mut Write,
        role: &Role,
    ) -> Result<(CertificateAuthority, Option<i64>), AuthorityError> {
        let at = unix_time(write.now());
        let kind = match role {
            Role::Root => return Ok((CertificateAuthority::new_root(&self.0.trust_domain, at)?, None)),
            Role::Gateway => Intermediate::Gateway,
            Role::Platform => Intermediate::Platform,
            Role::Tenant(tenant) => Intermediate::Tenant(tenant.clone()),
        };
        let (ca, root) = self.issuer(write, "root", None).await?;
        Ok((root.new_intermediate(kind, at)?, Some(ca.id)))
    }

    /// Where each authority stands, oldest first.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn standings(&self) -> Result<Vec<Standing>, AuthorityError> {
        let now = self.0.store.now().await?;
        let mut read = self.0.store.snapshot().await?;
        let all = store::authorities::list(&mut read).await?;
        let mut standings = Vec::with_capacity(all.len());
        for ca in &all {
            let facts = facts::read(&mut read, ca, &all, self.0.keys.has(ca), now).await?;
            standings.push(Standing {
                ca: ca.clone(),
                next: decision::decide(State::of_word(&ca.state), &facts, now),
            });
        }
        Ok(standings)
    }

    /// Takes every step that nothing stands in the way of; of one authority one at a time. True where more is to come.
    ///
    /// # Errors
    /// [`AuthorityError`]: the database. An authority whose step fails is left as it is, and the others go on.
    pub async fn advance_rotations(&self) -> Result<bool, AuthorityError> {
        for standing in self.standings().await? {
            let Decision::Take(step) = standing.next else {
                continue;
            };
            let mut write = self.0.store.write().await?;
            // Looked at again by the writer: since then somebody may have come, or an operator have taken the step.
            let now = write.now();
            let all = store::authorities::list(&mut write).await?;
            let Some(ca) = all.iter().find(|ca| ca.id == standing.ca.id) else {
                continue;
            };
            let facts = facts::read(&mut write, ca, &all, self.0.keys.has(ca), now).await?;
            if decision::decide(State::of_word(&ca.state), &facts, now) != Decision::Take(step) {
                continue;
            }
            if let Err(error) = self.take(write, ca, &all, step, "platform", "").await {
                report::rotation_failed(&ca.to_string(), step.as_str(), &error);
            }
        }
        let mut read = self.0.store.read().await?;
        let all = store::authorities::list(&mut read).await?;
        Ok(all.iter().any(|ca| facts::is_under_way(&all, ca)))
    }

    /// Has an authority take a step now. With `force`, whoever it would wait for is left behind.
    ///
    /// # Errors
    /// [`AuthorityError`]: no authority is there to take it, or something stands in the way.
    pub async fn rotate_by_hand(
        &self,
        role: &Role,
        step: Step,
        force: bool,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let all = store::authorities::list(&mut write).await?;
        // The oldest first: it has waited longest. One that was only prepared is given up where no other is to go.
        let mut candidates: Vec<&Ca> = all
            .iter()
            .filter(|ca| is_of(ca, role) && decision::can_take(State::of_word(&ca.state), step))
            .collect();
        candidates.sort_by_key(|ca| (ca.state == "prepared", ca.id));
        let ca = *candidates.first().ok_or_else(|| RotationError::Nothing {
            authority: role.to_string(),
            step: step.as_str(),
        })?;
        // An operator who brings a root's key by hand has it, wherever it is.
        let has_key = ca.kind == "root" && self.0.keys.load(ca).is_ok() || self.0.keys.has(ca);
        let facts = facts::read(&mut write, ca, &all, has_key, now).await?;
        let mut reasons = decision::in_the_way(State::of_word(&ca.state), step, &facts, now);
        let said: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        if force {
            reasons.retain(|reason| !reason.can_be_forced());
        }
        if !reasons.is_empty() {
            let can_be_forced = reasons.iter().all(decision::Reason::can_be_forced);
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            return Err(RotationError::NotYet {
                authority: role.to_string(),
                step: step.as_str(),
                reasons: reasons.join("; "),
                hint: if can_be_forced {
                    "; --force leaves them behind"
                } else {
                    ""
                },
            }
            .into());
        }
        let left = if said.is_empty() {
            String::new()
        } else {
            format!(", without waiting for {}", said.join("; "))
        };
        authority_rotation::enqueue(&mut write, now).await?;
        self.take(write, ca, &all, step, actor, &left).await
    }

    /// Takes a step, in a transaction that it ends.
    async fn take(
        &self,
        mut write: Write,
        ca: &Ca,
        all: &[Ca],
        step: Step,
        actor: &str,
        left: &str,
    ) -> Result<(), AuthorityError> {
        let now = write.now();
        match step {
            Step::Activate => {
                let trusted_from = store::installation::bump_trust(&mut write).await?;
                if ca.kind == "root" {
                    self.sign_anew(&mut write, ca, all, trusted_from).await?;
                }
                store::authorities::set_state(&mut write, ca.id, "active", now).await?;
            }
            Step::Taint => {
                store::authorities::set_state(&mut write, ca.id, "retiring", now).await?;
                store::installation::bump_trust(&mut write).await?;
            }
            Step::Revoke => {
                store::authorities::set_state(&mut write, ca.id, "revoked", now).await?;
                store::rotation::revoke_issued(&mut write, ca.id).await?;
                store::installation::bump_trust(&mut write).await?;
            }
        }
        store::audit::record(
            &mut write,
            now,
            actor,
            &format!("ca.{}", step.as_str()),
            ca.tenant.as_deref(),
            &ca.to_string(),
            &format!("authority {}{left}", ca.id),
        )
        .await?;
        write.commit().await?;
        report::rotated(&ca.to_string(), step.as_str());
        // The key of a revoked one is good for nothing but harm; unless another certificate is for it too.
        let is_shared = all
            .iter()
            .any(|other| other.id != ca.id && other.key_ref == ca.key_ref && other.state != "revoked");
        if step == Step::Revoke && !is_shared {
            self.0.keys.destroy(&ca.key_ref)?;
        }
        Ok(())
    }

    /// Gives every authority that issues a new certificate for its same key, by the new root. The one by the old root
    /// retires. Nobody has to know the new ones first: what they issue is good under the old ones too.
    async fn sign_anew(
        &self,
        write: &mut Write,
        root: &Ca,
        all: &[Ca],
        trusted_from: i64,
    ) -> Result<(), AuthorityError> {
        let now: UnixMs = write.now();
        let signer = self.0.keys.load(root)?;
        let issuing = all.iter().filter(|ca| {
            ca.kind != "root" && facts::issuer(all, ca).is_some_and(|issuer| issuer.id == ca.id)
        });
        for ca in issuing {
            let reissued = signer.reissue(&self.0.keys.load(ca)?, unix_time(now))?;
            let new = NewCa {
                kind: &ca.kind,
                tenant: ca.tenant.as_deref(),
                certificate: reissued.certificate_der(),
                key_ref: &ca.key_ref,
                state: "active",
                not_after_at: unix_ms(reissued.not_after()),
                issuer: Some(root.id),
                trusted_from,
            };
            store::authorities::insert(write, &new, now).await?;
            store::authorities::set_state(write, ca.id, "retiring", now).await?;
        }
        Ok(())
    }
}

/// Whether one more may be prepared.
fn require_room(role: &Role, all: &[Ca]) -> Result<(), RotationError> {
    let mut alive = all.iter().filter(|ca| ca.state != "revoked");
    let same: Vec<&Ca> = alive.clone().filter(|ca| is_of(ca, role)).collect();
    if same.iter().any(|ca| ca.state == "prepared") {
        return Err(RotationError::Prepared {
            authority: role.to_string(),
        });
    }
    let root_takes_part = |ca: &&Ca| match role {
        Role::Root => ca.kind != "root" && ca.state != "retiring" && facts::is_under_way(all, ca),
        _ => ca.kind == "root" && ca.state == "prepared",
    };
    if let Some(other) = alive.find(root_takes_part) {
        return Err(RotationError::UnderWay(other.to_string()));
    }
    let max = if *role == Role::Root {
        MAX_ROOTS
    } else {
        MAX_OF_A_KIND
    };
    if same.len() >= max {
        return Err(RotationError::TooMany {
            authority: role.to_string(),
            found: same.len(),
            max,
        });
    }
    Ok(())
}
