//! `platform gateway`.

use super::super::arguments::GatewayCommand;
use super::super::{CliError, Site, actor, output};
use crate::store;

/// Adds, revokes or lists.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: GatewayCommand) -> Result<(), CliError> {
    match command {
        GatewayCommand::Add {
            name,
            csr,
            out,
            workload_api: _,
            replace,
            at,
        } => {
            let site = Site::open(&at.config).await?;
            // The command line has both of them, or --workload-api.
            let (Some(csr), Some(out)) = (csr, out) else {
                let id = site
                    .authority
                    .add_gateway_by_workload_api(&name, replace, &actor())
                    .await?;
                return output::line(&id.to_string());
            };
            let request = super::read_request(&csr)?;
            output::require_writable(&out)?;
            let bundle = site
                .authority
                .add_gateway(&name, &request, replace, &actor())
                .await?;
            super::write_bundle(&out, &bundle)
        }
        GatewayCommand::Revoke { name, at } => {
            let site = Site::open(&at.config).await?;
            site.authority.revoke_gateway(&name, &actor()).await?;
            output::line(&format!("{name} is revoked"))
        }
        GatewayCommand::List(listing) => {
            let site = Site::open(&listing.at.config).await?;
            let gateways = store::gateways::list(&mut *site.store.read().await?).await?;
            let row = |gateway: &store::gateways::Gateway| {
                vec![
                    gateway.name.clone().into(),
                    gateway.pool.clone().into(),
                    state(gateway).into(),
                    gateway.version.clone().into(),
                    gateway.agents.into(),
                    gateway.spiffe_id.clone().into(),
                    gateway.trust_sequence.into(),
                ]
            };
            let rows: Vec<_> = gateways.iter().map(row).collect();
            output::rows(
                listing.output,
                &[
                    "name",
                    "pool",
                    "state",
                    "version",
                    "agents",
                    "spiffe_id",
                    "trust_sequence",
                ],
                &rows,
            )
        }
    }
}

fn state(gateway: &store::gateways::Gateway) -> String {
    if gateway.revoked_at.is_some() {
        return "revoked".to_owned();
    }
    gateway.state.clone()
}
