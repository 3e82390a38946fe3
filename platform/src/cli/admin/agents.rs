//! `platform agent`.

use picket_identity::name::TenantSlug;

use super::super::arguments::{AgentAdd, AgentCommand};
use super::super::{CliError, Site, actor, output};
use crate::authority::onboarding::NewAgent;
use crate::store;

/// Adds or lists.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: AgentCommand) -> Result<(), CliError> {
    match command {
        AgentCommand::Add(arguments) => add(arguments).await,
        AgentCommand::List { tenant, listing } => {
            let site = Site::open(&listing.at.config).await?;
            let mut read = site.store.snapshot().await?;
            let agents = store::agents::list(&mut read, tenant.as_ref().map(TenantSlug::as_str)).await?;
            let mut rows = Vec::with_capacity(agents.len());
            for agent in agents {
                let reach = store::reach::find(&mut read, &agent.tenant, &agent.name).await?;
                let certificates =
                    store::certificates::active_of_agent(&mut read, &agent.tenant, &agent.name).await?;
                let ends = certificates
                    .first()
                    .map(|certificate| output::time(certificate.not_after_at));
                rows.push(vec![
                    agent.tenant.into(),
                    agent.name.into(),
                    agent.endpoint.into(),
                    reach
                        .map_or_else(|| "pending".to_owned(), |reach| reach.state)
                        .into(),
                    agent.interval_ms.into(),
                    ends.into(),
                    agent.spiffe_id.into(),
                ]);
            }
            let head = [
                "tenant",
                "name",
                "endpoint",
                "reachability",
                "interval_ms",
                "certificate_ends",
                "spiffe_id",
            ];
            output::rows(listing.output, &head, &rows)
        }
    }
}

async fn add(arguments: AgentAdd) -> Result<(), CliError> {
    let site = Site::open(&arguments.at.config).await?;
    let request = super::read_request(&arguments.csr)?;
    output::require_writable(&arguments.out)?;
    let new = NewAgent {
        tenant: arguments.tenant,
        name: arguments.name,
        endpoint: arguments.endpoint,
        interval: arguments.interval,
        unreachable_after: arguments.unreachable_after,
        request,
        replace: arguments.replace,
    };
    let bundle = site.authority.add_agent(&new, &actor()).await?;
    super::write_bundle(&arguments.out, &bundle)
}
