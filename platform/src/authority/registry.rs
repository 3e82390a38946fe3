//! The gRPC service that gives gateways their certificates for tenants.

use picket_identity::name::{GatewayName, TenantSlug};
use picket_proto::platform::v1::registry_server::Registry;
use picket_proto::platform::v1::{
    EnrollAgentRequest, GetAgentRequest, GetAgentResponse, IssueAgentCertificateResponse,
    IssueTenantCertificateRequest, IssueTenantCertificateResponse, RenewAgentRequest, RenewGatewayRequest,
    RenewGatewayResponse,
};
use tonic::{Request, Response, Status};

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
        Ok(GetAgentResponse {
            endpoint: registered.endpoint,
            spiffe_id: registered.spiffe_id,
            common_name: registered.common_name,
            active_serials: certificates
                .into_iter()
                .map(|certificate| certificate.serial)
                .collect(),
            tenant_cas: cas.into_iter().map(|ca| ca.certificate.into()).collect(),
            roots: vec![self.0.authority.root().to_vec().into()],
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
        let gateway: GatewayName = gateway.parse().map_err(wrong)?;
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
        _request: Request<EnrollAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        Err(Status::unimplemented("not here yet"))
    }

    async fn renew_agent(
        &self,
        _request: Request<RenewAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        Err(Status::unimplemented("not here yet"))
    }

    async fn renew_gateway(
        &self,
        _request: Request<RenewGatewayRequest>,
    ) -> Result<Response<RenewGatewayResponse>, Status> {
        Err(Status::unimplemented("not here yet"))
    }

    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        let gateway = peer::registered_gateway(&self.0, request.extensions()).await?;
        let agent = self
            .agent(&gateway, request.get_ref())
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(agent))
    }
}

/// What a gateway is told.
fn status(error: &AuthorityError) -> Status {
    match error {
        AuthorityError::ForeignTenant { .. } | AuthorityError::TenantSuspended(_) => {
            Status::permission_denied(error.to_string())
        }
        AuthorityError::NotFound { .. } => Status::not_found(error.to_string()),
        AuthorityError::Issue(_) | AuthorityError::Request(_) | AuthorityError::Name(_) => {
            Status::invalid_argument(error.to_string())
        }
        AuthorityError::Store(error) if error.is_transient() => Status::unavailable(error.to_string()),
        // What is wrong inside is for our log and not for a peer.
        _ => {
            tracing::error!(%error, "the registry could not answer a gateway");
            Status::internal("the platform could not answer; its log says why")
        }
    }
}
