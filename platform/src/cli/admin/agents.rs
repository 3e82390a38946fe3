//! `platform agent`.

use picket_identity::name::TenantSlug;

use super::super::arguments::{AgentAdd, AgentCommand, AgentSet, Format, Listing};
use super::super::{CliError, Site, actor, output};
use crate::authority::onboarding::{AgentChange, NewAgent};
use crate::store::views::MAX_PAGE;
use crate::store::views::agent::{Agent, agents};

/// Adds, revokes, approves or lists.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: AgentCommand) -> Result<(), CliError> {
    match command {
        AgentCommand::Add(arguments) => add(arguments).await,
        AgentCommand::Set(arguments) => set(arguments).await,
        AgentCommand::Revoke { agent, serial, at } => {
            let site = Site::open(&at.config).await?;
            let serial = serial.map(|serial| serial.to_string());
            let revoked = site
                .authority
                .revoke_agent(&agent.tenant, &agent.name, serial.as_deref(), &actor())
                .await?;
            for serial in &revoked {
                output::line(serial)?;
            }
            Ok(())
        }
        AgentCommand::Approve { agent, at } => {
            let site = Site::open(&at.config).await?;
            site.authority
                .approve_agent(&agent.tenant, &agent.name, &actor())
                .await?;
            output::line(&format!("{agent} may have a new certificate"))
        }
        AgentCommand::List { tenant, listing } => list(tenant.as_ref(), &listing).await,
    }
}

async fn add(arguments: AgentAdd) -> Result<(), CliError> {
    let site = Site::open(&arguments.at.config).await?;
    output::require_writable(&arguments.out)?;
    let new = NewAgent {
        tenant: arguments.tenant,
        name: arguments.name,
        endpoint: arguments.endpoint,
        interval: arguments.interval,
        unreachable_after: arguments.unreachable_after,
        replace: arguments.replace,
    };
    let file = site.authority.add_agent(&new, &actor()).await?;
    let text = file
        .to_json()
        .map_err(|error| CliError::Runtime(error.to_string()))?;
    output::replace_secret(&arguments.out, &text)?;
    output::line(&arguments.out.display().to_string())
}

async fn set(arguments: AgentSet) -> Result<(), CliError> {
    let site = Site::open(&arguments.at.config).await?;
    let change = AgentChange {
        endpoint: arguments.endpoint,
        interval: arguments.interval,
        unreachable_after: arguments.unreachable_after,
    };
    let agent = arguments.agent;
    site.authority
        .set_agent(&agent.tenant, &agent.name, &change, &actor())
        .await?;
    output::line(&agent.to_string())
}

const HEAD: [&str; 14] = [
    "tenant",
    "name",
    "endpoint",
    "reachability",
    "interval_ms",
    "identity",
    "certificate_ends",
    "renewal",
    "trust_sequence",
    "cause",
    "correlation_id",
    "detail",
    "certificate_serial",
    "spiffe_id",
];

/// As many as a person can read beside each other; JSON has the rest too.
const TABLE_COLUMNS: usize = 11;

async fn list(tenant: Option<&TenantSlug>, listing: &Listing) -> Result<(), CliError> {
    let site = Site::open(&listing.at.config).await?;
    let now = site.store.now().await?;
    let mut rows = Vec::new();
    let mut after = (String::new(), String::new());
    loop {
        let page = agents(
            &site.store,
            tenant.map(TenantSlug::as_str),
            (&after.0, &after.1),
            MAX_PAGE,
        )
        .await?;
        let Some(last) = page.last() else { break };
        after = (last.tenant.clone(), last.name.clone());
        rows.extend(page.iter().map(|agent| row(agent, now)));
    }
    let columns = match listing.output {
        Format::Table => TABLE_COLUMNS,
        Format::Json => HEAD.len(),
    };
    rows.iter_mut().for_each(|row| row.truncate(columns));
    output::rows(listing.output, HEAD.get(..columns).unwrap_or_default(), &rows)
}

fn row(agent: &Agent, now: i64) -> Vec<serde_json::Value> {
    let state = agent.identity_state(now);
    let problem = agent.identity_problem();
    vec![
        agent.tenant.clone().into(),
        agent.name.clone().into(),
        agent.endpoint.clone().into(),
        agent.reach_word().into(),
        agent.interval_ms.into(),
        state.as_str().into(),
        agent.certificate_not_after_at.map(output::time).into(),
        agent.renewal(now).as_str().into(),
        agent.trust_sequence.into(),
        problem.map(|problem| problem.cause).into(),
        problem.map(|problem| problem.correlation_id).into(),
        problem.map(|problem| problem.detail).into(),
        agent.certificate_serial.clone().into(),
        agent.spiffe_id.clone().into(),
    ]
}
