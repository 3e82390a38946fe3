//! The leaves. Each CA issues only what it is for.

use std::time::Duration;

use picket_identity::Serial;
use picket_identity::name::{AgentName, GatewayName, NodeName, TenantSlug};
use picket_identity::profile::MAX_LEAF_VALIDITY;
use picket_identity::spiffe::SpiffeId;
use rcgen::{CertificateParams, SerialNumber};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::authority::{CertificateAuthority, Role, dates};
use crate::template::{self, BACKDATED, Dates};
use crate::{IssueError, PublicKey, hours};

/// The longest that a gateway may dial a tenant's agents with one certificate.
pub const MAX_TENANT_LIFETIME: Duration = hours(24);

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificate of the CA that issued it.
    pub issuer: CertificateDer<'static>,
    /// Its serial number.
    pub serial: Serial,
    /// The first second in which it is valid.
    pub not_before: UnixTime,
    /// The last second in which it is valid.
    pub not_after: UnixTime,
}

impl CertificateAuthority {
    /// For an agent, by its tenant's CA.
    ///
    /// # Errors
    /// Another CA, too long a lifetime, or a common name of more than 64 characters.
    pub fn issue_agent(
        &self,
        key: &PublicKey,
        agent: &AgentName,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let Role::Tenant(tenant) = self.role() else {
            return Err(self.wrong(format!("agent {agent}"), "CA of the agent's tenant"));
        };
        let id = SpiffeId::Agent {
            platform: self.platform().clone(),
            tenant: tenant.clone(),
            agent: agent.clone(),
        };
        self.issue_id(key, &id, lifetime, now)
    }

    /// For a gateway as a client of the platform, by the gateway CA.
    ///
    /// # Errors
    /// Another CA, or too long a lifetime.
    pub fn issue_gateway(
        &self,
        key: &PublicKey,
        gateway: &GatewayName,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let id = SpiffeId::Gateway {
            platform: self.platform().clone(),
            gateway: gateway.clone(),
        };
        self.expect(&Role::Gateway, &id, "gateway CA")?;
        self.issue_id(key, &id, lifetime, now)
    }

    /// For a gateway as a client of one tenant's agents, by the gateway CA: at most 24 hours.
    ///
    /// # Errors
    /// Another CA, or too long a lifetime.
    pub fn issue_gateway_for_tenant(
        &self,
        key: &PublicKey,
        gateway: &GatewayName,
        tenant: &TenantSlug,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let id = SpiffeId::GatewayForTenant {
            platform: self.platform().clone(),
            gateway: gateway.clone(),
            tenant: tenant.clone(),
        };
        self.expect(&Role::Gateway, &id, "gateway CA")?;
        if lifetime > MAX_TENANT_LIFETIME {
            return Err(IssueError::Lifetime {
                found: lifetime,
                max: MAX_TENANT_LIFETIME,
            });
        }
        self.issue_id(key, &id, lifetime, now)
    }

    /// For a platform node, by the platform CA.
    ///
    /// # Errors
    /// Another CA, or too long a lifetime.
    pub fn issue_platform_node(
        &self,
        key: &PublicKey,
        node: &NodeName,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let id = SpiffeId::Platform {
            platform: self.platform().clone(),
            node: node.clone(),
        };
        self.expect(&Role::Platform, &id, "platform CA")?;
        self.issue_id(key, &id, lifetime, now)
    }

    /// For the platform's web server, by the platform CA: an ordinary certificate with DNS names and IP addresses, which
    /// is nobody's identity inside.
    ///
    /// # Errors
    /// Another CA, no names or bad ones, or too long a lifetime.
    pub fn issue_web_server(
        &self,
        key: &PublicKey,
        names: &[String],
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        if *self.role() != Role::Platform {
            return Err(self.wrong("a web server's certificate".to_owned(), "platform CA"));
        }
        self.issue(key, lifetime, now, |serial, dates| {
            template::web_server(names, serial, dates)
        })
    }

    fn expect(&self, role: &Role, id: &SpiffeId, expected: &'static str) -> Result<(), IssueError> {
        if self.role() == role {
            return Ok(());
        }
        Err(self.wrong(id.to_string(), expected))
    }

    fn issue_id(
        &self,
        key: &PublicKey,
        id: &SpiffeId,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        self.issue(key, lifetime, now, |serial, dates| {
            template::leaf(id, serial, dates)
        })
    }

    fn issue(
        &self,
        key: &PublicKey,
        lifetime: Duration,
        now: UnixTime,
        template: impl FnOnce(SerialNumber, &Dates) -> Result<CertificateParams, IssueError>,
    ) -> Result<Issued, IssueError> {
        let max = MAX_LEAF_VALIDITY.saturating_sub(BACKDATED);
        if lifetime > max {
            return Err(IssueError::Lifetime { found: lifetime, max });
        }
        let dates = self.within(dates(now, lifetime), now)?;
        let (number, serial) = template::serial()?;
        let certificate = template(number, &dates)?.signed_by(key, &self.issuer())?;
        Ok(Issued {
            certificate: certificate.der().clone(),
            issuer: self.certificate_der().clone(),
            serial,
            not_before: dates.not_before,
            not_after: dates.not_after,
        })
    }
}
