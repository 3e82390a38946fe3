//! `gateway probe`.

use clap::Args;
use picket_identity::name::{AgentName, TenantSlug};

use super::ConfigArgs;
use super::exit::Failed;
use super::output::{OutputArgs, columns};
use crate::assignment::AgentKey;
use crate::platform::Link;
use crate::probe::{self, ProbeReport, Verdict, Went};

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Which agent.
    #[arg(value_name = "TENANT/AGENT", value_parser = agent_key)]
    agent: AgentKey,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn agent_key(text: &str) -> Result<AgentKey, String> {
    let (tenant, agent) = text
        .split_once('/')
        .ok_or("expected TENANT/AGENT, for example acme/berlin-1")?;
    let tenant: TenantSlug = tenant.parse().map_err(|error| format!("{error}"))?;
    let agent: AgentName = agent.parse().map_err(|error| format!("{error}"))?;
    Ok(AgentKey { tenant, agent })
}

pub(super) async fn probe(args: ProbeArgs) -> Result<(), Failed> {
    let config = args.config.load()?;
    let link = Link::open(&config).await?;
    let report = probe::probe(&link, &args.agent).await?;
    args.output.write(&report, || table(&report))?;
    let agent = &report.agent;
    match report.verdict {
        Verdict::Ok => Ok(()),
        Verdict::Problems => Err(Failed::problems(format!("{agent} answers, but not as it should"))),
        Verdict::Unavailable => Err(Failed::unavailable(format!("{agent} can't be reached"))),
        Verdict::Refused => Err(Failed::refused(format!("{agent}: an identity was refused"))),
    }
}

fn table(report: &ProbeReport) -> String {
    let mut rows = vec![["STEP", "", "FOUND"].map(str::to_owned)];
    let mut row = |step: &str, went: &str, found: &str| {
        rows.push([step.to_owned(), went.to_owned(), found.to_owned()]);
    };
    for step in &report.steps {
        let went = match step.went {
            Went::Ok => "ok",
            Went::Failed => "FAILED",
            Went::Skipped => "-",
        };
        let mut found = step.found.clone();
        if let Some(took) = step.took_ms {
            found.push_str(&format!(" ({took} ms)"));
        }
        row(step.step.as_str(), went, &found);
        if let Some(reason) = &step.reason {
            row("", "reason", reason);
        }
        if let Some(fix) = &step.fix {
            row("", "fix", fix);
        }
    }
    format!("{} at {}\n{}", report.agent, report.endpoint, columns(&rows))
}
