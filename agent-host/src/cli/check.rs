//! `agent-host check config|list|run`.

use std::process::ExitCode;
use std::sync::Arc;

use picket_identity::name::CheckName;
use picket_proto::agent::v1::{CheckResult, Metric, Status};
use serde_json::json;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::app;
use crate::config::quantity::show_size;
use crate::config::{AgentConfig, CheckConfig, CheckSet, nearest};
use crate::control::client::Client;
use crate::control::result::ResultModel;
use crate::reload::Reloader;
use crate::runner::prepared::Prepared;
use crate::runner::secrets::FileSecrets;
use crate::runner::state::FileState;
use crate::runner::{Executor, convert};
use crate::schedule::unix_ms;

mod learn;
mod nagios;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Find every mistake in agent.toml and checks.d
    Config(ConfigArgs),
    /// Every check, and what keeps it from running
    List(ListArgs),
    /// Run one check now and show its result, which goes nowhere unless the agent runs it
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Show what every setting comes to
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The check
    name: CheckName,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    /// One line and the exit code of a Nagios plugin: 0 ok, 1 warning, 2 critical, 3 unknown
    #[arg(long, conflicts_with = "output")]
    nagios: bool,
    /// Have the running agent run it; its result goes to the platform, too
    #[arg(long)]
    on_agent: bool,
    /// Run it with as much reach as it asks for, and propose the least grants that it needed. Secrets, files and addresses
    /// that hand out credentials stay as they are granted
    #[arg(long, conflicts_with_all = ["nagios", "on_agent"])]
    learn: bool,
}

pub(super) async fn check(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Config(args) => check_config(&args),
        Command::List(args) => list(&args).await,
        Command::Run(args) => run(&args).await,
    }
}

fn check_config(args: &ConfigArgs) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let mut set = CheckSet::default();
    if config.checks_dir.exists() {
        set.reload(&config.checks_dir).map_err(|source| CliError::Io {
            action: "read",
            path: config.checks_dir.clone(),
            source,
        })?;
    }
    if !set.problems().is_empty() || !set.unreadable().is_empty() {
        let problems = set.problems().iter().cloned().collect();
        return Err(CliError::Checks {
            problems,
            unreadable: set.unreadable().to_vec(),
        });
    }
    if args.explain {
        explain(&config, &set)?;
    } else {
        output::line(format!(
            "{} and {} checks are right",
            args.config.config.display(),
            set.checks().len()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(config: &AgentConfig, set: &CheckSet) -> Result<(), CliError> {
    let metrics = config
        .metrics
        .map_or_else(|| "off".to_owned(), |address| address.to_string());
    let publishers: Vec<_> = config
        .signatures
        .publishers
        .iter()
        .map(|publisher| format!("{} {}", publisher.name, publisher.key))
        .collect();
    let settings = [
        ("listen", config.listen.to_string()),
        ("data_dir", config.data_dir.display().to_string()),
        ("checkers_dir", config.checkers_dir.display().to_string()),
        ("checks_dir", config.checks_dir.display().to_string()),
        ("identity_dir", config.identity_dir.display().to_string()),
        ("secrets_dir", config.secrets_dir.display().to_string()),
        ("spool.quota", show_size(config.spool.quota)),
        (
            "limits.concurrent_runs",
            config.limits.concurrent_runs.to_string(),
        ),
        ("limits.memory", show_size(config.limits.memory)),
        (
            "limits.cpu",
            humantime::format_duration(config.limits.cpu).to_string(),
        ),
        ("limits.bytes", show_size(config.limits.bytes)),
        ("signatures.policy", config.signatures.policy.to_string()),
        ("signatures.publisher", publishers.join(", ")),
        ("metrics.listen", metrics),
    ];
    let rows: Vec<_> = settings
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    output::table(&["SETTING", "VALUE"], &rows)?;
    output::line("")?;
    let rows: Vec<_> = set
        .checks()
        .values()
        .filter_map(|configured| configured.check.as_ref())
        .map(|check| {
            vec![
                check.name.to_string(),
                check.checker.clone(),
                check.rhythm(),
                humantime::format_duration(check.timeout).to_string(),
                humantime::format_duration(check.jitter).to_string(),
                check.allow.join(" "),
                check.config.to_string(),
            ]
        })
        .collect();
    output::table(
        &[
            "CHECK", "CHECKER", "INTERVAL", "TIMEOUT", "JITTER", "ALLOW", "CONFIG",
        ],
        &rows,
    )?;
    Ok(())
}

/// Reads checks and checkers as `run` would.
pub(super) async fn look(config: &AgentConfig) -> Result<Reloader, CliError> {
    let mut reloader = Reloader::new(config.clone(), app::loader(config, super::compiler(config))?);
    reloader.look().await;
    Ok(reloader)
}

async fn list(args: &ListArgs) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let reloader = look(&config).await?;
    let checks = reloader.inventory().checks.load_full();
    let problems =
        checks.values().filter(|check| check.problem().is_some()).count() + reloader.set().unreadable().len();
    match args.output.output {
        Format::Json => {
            let items: Vec<_> = checks.values().map(|check| describe(check)).collect();
            output::json(&json!({ "items": items }))?;
        }
        Format::Table => {
            let rows: Vec<_> = checks
                .values()
                .map(|check| {
                    vec![
                        check.name.to_string(),
                        check.checker_name().to_owned(),
                        check.checker_version().to_owned(),
                        check
                            .config
                            .as_ref()
                            .map_or_else(|| "-".to_owned(), CheckConfig::rhythm),
                        check.problem().unwrap_or("-").to_owned(),
                    ]
                })
                .collect();
            output::table(&["CHECK", "CHECKER", "VERSION", "INTERVAL", "PROBLEM"], &rows)?;
        }
    }
    Ok(ExitCode::from(if problems == 0 {
        0
    } else {
        super::error::FOUND_PROBLEMS
    }))
}

fn describe(check: &Prepared) -> serde_json::Value {
    json!({
        "name": check.name.as_str(),
        "checker": check.checker_name(),
        "checker_version": check.checker_version(),
        "cron": check.config.as_ref().and_then(|config| config.timing.cron.as_ref()).map(ToString::to_string),
        "interval_ms": u64::try_from(check.interval.as_millis()).unwrap_or(u64::MAX),
        "timeout_ms": u64::try_from(check.timeout.as_millis()).unwrap_or(u64::MAX),
        "allow": check.config.as_ref().map(|config| config.allow.as_slice()).unwrap_or_default(),
        "problem": check.problem(),
    })
}

async fn run(args: &RunArgs) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    if args.on_agent {
        let ran = Client::new(&config.data_dir)?.run(&args.name).await?;
        return answer(args, &CheckResult::from(ran.result));
    }
    let reloader = look(&config).await?;
    let checks = reloader.inventory().checks.load_full();
    let Some(prepared) = checks.get(&args.name) else {
        let near = nearest(args.name.as_str(), checks.keys().map(CheckName::as_str));
        let hint = near
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        return Err(CliError::Unknown(format!(
            "there is no check `{}` in {}{hint}",
            args.name,
            config.checks_dir.display()
        )));
    };
    let executor = executor(&config)?;
    if args.learn {
        return learn::learn(&executor, prepared, args.output.output).await;
    }
    answer(args, &executor.execute(prepared, unix_ms(), 0).await)
}

fn answer(args: &RunArgs, result: &CheckResult) -> Result<ExitCode, CliError> {
    if args.nagios {
        output::line(nagios::line(result))?;
        return Ok(ExitCode::from(nagios::exit_code(result.status())));
    }
    match args.output.output {
        Format::Json => output::json(&ResultModel::from(result))?,
        Format::Table => show(result)?,
    }
    Ok(ExitCode::from(if result.status() == Status::Ok {
        0
    } else {
        super::error::FOUND_PROBLEMS
    }))
}

/// Runs checks beside an agent that may be running: it touches neither its spool nor the state that its runs keep.
fn executor(config: &AgentConfig) -> Result<Executor, CliError> {
    let state = FileState::open(&config.data_dir.join("state")).map_err(|source| CliError::Io {
        action: "open",
        path: config.data_dir.join("state"),
        source,
    })?;
    let secrets = Arc::new(FileSecrets::new(&config.secrets_dir).with_credentials_of_this_service());
    let guests = tokio::runtime::Handle::current();
    Ok(Executor::new(
        config.limits.clone(),
        Arc::new(state.read_only()),
        secrets,
        guests,
    ))
}

fn show(result: &CheckResult) -> std::io::Result<()> {
    output::line(format!(
        "{}: {}",
        convert::status_word(result.status()),
        result.summary
    ))?;
    if let Some(class) = convert::failure_word(result.failure()) {
        output::line(format!("failure: {class}"))?;
    }
    if !result.details.is_empty() {
        output::line(&result.details)?;
    }
    let rows: Vec<_> = result.metrics.iter().map(metric_row).collect();
    if !rows.is_empty() {
        output::line("")?;
        output::table(
            &["METRIC", "VALUE", "UNIT", "WARNING", "CRITICAL", "LABELS"],
            &rows,
        )?;
    }
    for evidence in &result.evidence {
        output::line(format!(
            "\n{} ({})\n{}",
            evidence.title, evidence.kind, evidence.body
        ))?;
    }
    if let Some(usage) = &result.usage {
        output::line(format!(
            "\ncpu {:.1} ms of {} ms, wall {:.1} ms of {} ms, memory {} of {}",
            usage.cpu_us as f64 / 1e3,
            usage.cpu_limit_us / 1_000,
            usage.wall_us as f64 / 1e3,
            usage.wall_limit_us / 1_000,
            show_size(usage.peak_memory_bytes),
            show_size(usage.memory_limit_bytes),
        ))?;
    }
    Ok(())
}

fn metric_row(metric: &Metric) -> Vec<String> {
    let mut labels: Vec<_> = metric
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.sort();
    vec![
        metric.name.clone(),
        metric.value.to_string(),
        metric.unit.clone(),
        metric.warning.clone().unwrap_or_default(),
        metric.critical.clone().unwrap_or_default(),
        labels.join(" "),
    ]
}
