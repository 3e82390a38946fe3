//! The gRPC service that gives gateways their certificates, and, through them, agents theirs.

use picket_identity::name::{GatewayName, TenantSlug};
use picket_identity::verify::Vouching;
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::platform::v1::registry_server::Registry;
use picket_proto::platform::v1::{
    EnrollAgentRequest, GetAgentRequest, GetAgentResponse, IssueAgentCertificateResponse,
    IssueTenantCertificateRequest, IssueTenantCertificateResponse, RenewAgentRequest, RenewGatewayRequest,
    RenewGatewayResponse,
};
use tonic::{Request, Response, Status};

use super::step::Refused;
use super::{AuthorityError, peer};
use crate::app::Services;
use crate::store;

/// The service.
#[derive(Debug, Clone)]
pub struct RegistryService(Services);

impl RegistryService {
    /// A service of this process.
    #[must_use]
    pub const fn new(services: Services) -> Self {
        Self(services)
    }

    async fn agent(
        &self,
        gateway: &str,
        request: &GetAgentRequest,
    ) -> Result<GetAgentResponse, AuthorityError> {
        let GetAgentRequest { tenant, agent } = request;
        let mut read = self.0.store.snapshot().await?;
        let missing = || AuthorityError::NotFound {
            kind: "agent",
            name: format!("{tenant}/{agent}"),
        };
        let registered = store::agents::find(&mut read, tenant, agent)
            .await?
            .ok_or_else(missing)?;
        // A gateway of another pool is told the same as about an agent that isn't there.
        let pool = store::gateways::find(&mut read, gateway)
            .await?
            .map(|gateway| gateway.pool);
        if pool.as_deref() != Some(registered.pool.as_str()) {
            return Err(missing());
        }
        let certificates = store::certificates::active_of_agent(&mut read, tenant, agent).await?;
        let cas = store::authorities::trusted(&mut read, "tenant", Some(tenant)).await?;
        let roots = self.0.authority.roots(&mut read).await?;
        Ok(GetAgentResponse {
            endpoint: registered.endpoint,
            spiffe_id: registered.spiffe_id,
            common_name: registered.common_name,
            active_serials: certificates
                .into_iter()
                .map(|certificate| certificate.serial)
                .collect(),
            tenant_cas: cas.into_iter().map(|ca| ca.certificate.into()).collect(),
            roots: roots.into_iter().map(|root| root.to_vec().into()).collect(),
        })
    }
}

#[tonic::async_trait]
impl Registry for RegistryService {
    async fn issue_tenant_certificate(
        &self,
        request: Request<IssueTenantCertificateRequest>,
    ) -> Result<Response<IssueTenantCertificateResponse>, Status> {
        let gateway = peer::registered_gateway(&self.0, request.extensions()).await?;
        let request = request.into_inner();
        let wrong = |error: picket_identity::name::NameError| Status::invalid_argument(error.to_string());
        let gateway: GatewayName = gateway.name.parse().map_err(wrong)?;
        let tenant: TenantSlug = request.tenant.parse().map_err(wrong)?;
        let issued = self
            .0
            .authority
            .issue_for_tenant(&gateway, &tenant, &request.csr)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(IssueTenantCertificateResponse {
            leaf: issued.certificate.to_vec().into(),
            issuer: issued.issuer.to_vec().into(),
            not_after_unix_s: issued.not_after.as_secs(),
        }))
    }

    async fn enroll_agent(
        &self,
        request: Request<EnrollAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        let gateway = peer::registered_gateway(&self.0, request.extensions()).await?;
        let outcome = self
            .0
            .authority
            .enroll_agent(&gateway.name, request.get_ref())
            .await;
        answer(outcome)
    }

    async fn renew_agent(
        &self,
        request: Request<RenewAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        let gateway = peer::registered_gateway(&self.0, request.extensions()).await?;
        let outcome = self
            .0
            .authority
            .renew_agent(&gateway.name, request.get_ref())
            .await;
        answer(outcome)
    }

    async fn renew_gateway(
        &self,
        request: Request<RenewGatewayRequest>,
    ) -> Result<Response<RenewGatewayResponse>, Status> {
        let gateway = peer::registered_gateway(&self.0, request.extensions()).await?;
        if gateway.vouching == Vouching::Bundle {
            return Err(Status::failed_precondition(format!(
                "the certificates of gateway {} come from its Workload API, which renews them",
                gateway.name
            )));
        }
        let wrong = |error: picket_identity::name::NameError| Status::invalid_argument(error.to_string());
        let gateway: GatewayName = gateway.name.parse().map_err(wrong)?;
        let renewed = self
            .0
            .authority
            .renew_gateway(&gateway, &request.get_ref().csr)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(renewed))
    }

    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        let gateway = peer::registered_gateway(&self.0, request.extensions()).await?;
        let agent = self
            .agent(&gateway.name, request.get_ref())
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(agent))
    }
}

fn answer(
    outcome: Result<Result<IssuedCertificate, Refused>, AuthorityError>,
) -> Result<Response<IssueAgentCertificateResponse>, Status> {
    let (issued, failed) = match outcome.map_err(|error| status(&error))? {
        Ok(issued) => (Some(issued), None),
        Err(refused) => (None, Some(refused.into())),
    };
    Ok(Response::new(IssueAgentCertificateResponse { issued, failed }))
}

/// What a gateway is told.
fn status(error: &AuthorityError) -> Status {
    match error {
        AuthorityError::ForeignTenant { .. } | AuthorityError::TenantSuspended(_) => {
            Status::permission_denied(error.to_string())
        }
        AuthorityError::NotFound { .. } => Status::not_found(error.to_string()),
        AuthorityError::TooMany { .. } => Status::resource_exhausted(error.to_string()),
        AuthorityError::Setting(_)
        | AuthorityError::Issue(_)
        | AuthorityError::Request(_)
        | AuthorityError::Name(_) => Status::invalid_argument(error.to_string()),
        AuthorityError::Store(error) if error.is_transient() => Status::unavailable(error.to_string()),
        // What is wrong inside is for our log and not for a peer.
        _ => {
            tracing::error!(%error, "the registry could not answer a gateway");
            Status::internal("the platform could not answer; its log says why")
        }
    }
}
