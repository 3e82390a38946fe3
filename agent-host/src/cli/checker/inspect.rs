//! `agent-host checker inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use picket_sandbox::component::{ChildCompiler, Compiler, Import, inspect};
use picket_sandbox::engine::{EngineConfig, SandboxEngine};
use picket_sandbox::grant::GrantSet;
use picket_sandbox::report::Need;
use serde_json::json;

use super::abilities::{ABILITIES, NOBODY};
use super::asked::{self, Asked};
use crate::app::StartError;
use crate::catalogue::candidate::Candidate;
use crate::catalogue::loaded::{CheckerError, Loaded, Loader, NeedsError};
use crate::catalogue::trust::Signer;
use crate::cli::error::REFUSED;
use crate::cli::{CliError, Format, OutputArg, output};
use crate::config::quantity::show_size;
use crate::config::{AgentConfig, SandboxSettings, SignatureSettings};
use crate::runner::prepared;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A .wasm file
    file: PathBuf,
    /// A configuration to ask about: a JSON object, a .toml file, or the name of a check
    #[arg(long, value_name = "FILE.toml|JSON|CHECK")]
    config: Option<String>,
    /// The agent's configuration file, for its publishers and its checks [default: agent.toml, where there is one]
    #[arg(long, value_name = "FILE", env = "AGENT_HOST_CONFIG")]
    agent_config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// What a configuration needs, against what it is granted.
struct Answer {
    asked: Asked,
    needs: Vec<(Need, bool)>,
}

impl Answer {
    fn missing(&self) -> Vec<&Need> {
        let missing = self.needs.iter().filter(|(_, is_granted)| !is_granted);
        missing.map(|(need, _)| need).collect()
    }

    fn line(&self) -> String {
        prepared::allow_line(&self.asked.allow, &self.missing())
    }
}

pub(super) async fn inspect(args: &Args) -> Result<ExitCode, CliError> {
    let agent = agent(args.agent_config.as_deref())?;
    let asked = match &args.config {
        Some(text) => Some(asked::read(text, agent.as_ref())?),
        None => None,
    };
    let failed = |source: CheckerError| CliError::Checker {
        path: args.file.clone(),
        source,
    };
    let candidate = Arc::new(Candidate::read(&args.file).map_err(|error| failed(error.into()))?);
    let (signatures, sandbox) =
        agent.map_or_else(Default::default, |agent| (agent.signatures, agent.sandbox));
    let loaded = match loader(signatures, sandbox)?.admit(&candidate).await {
        Ok(loaded) => loaded,
        // Its imports can be read without running anything of it; what it says of itself can't.
        Err(error @ CheckerError::Untrusted(_)) => return distrusted(args, &candidate, &error),
        Err(error) => return Err(failed(error)),
    };
    let answer = match asked {
        Some(asked) => Some(answer(&loaded, asked).await?),
        None => None,
    };
    match args.output.output {
        Format::Json => output::json(&to_json(&loaded, answer.as_ref()))?,
        Format::Table => {
            show(&loaded)?;
            if let Some(answer) = &answer {
                show_answer(answer)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn agent(named: Option<&Path>) -> Result<Option<AgentConfig>, CliError> {
    let usual = Path::new("agent.toml");
    match named {
        Some(path) => Ok(Some(AgentConfig::load(path)?)),
        None if usual.exists() => Ok(Some(AgentConfig::load(usual)?)),
        None => Ok(None),
    }
}

/// For a file that need not be any agent's: compiled by a child all the same, and kept in no cache.
pub(super) fn loader(signatures: SignatureSettings, sandbox: SandboxSettings) -> Result<Loader, CliError> {
    let engine = SandboxEngine::new(EngineConfig {
        execution: sandbox.engine,
        compiler: Compiler::Child(ChildCompiler::of_this_program(sandbox.compile)),
        ..EngineConfig::default()
    })
    .map_err(StartError::from)?;
    Ok(Loader::new(engine, None, signatures))
}

async fn answer(loaded: &Loaded, asked: Asked) -> Result<Answer, CliError> {
    let needs = loaded.checker.needs(&asked.config.to_string()).await;
    let needs = needs.map_err(|error| {
        CliError::Asked(match error {
            NeedsError::InvalidConfig(message) => format!("the checker refuses the configuration: {message}"),
            NeedsError::Failed(_, message) => message,
        })
    })?;
    // Read from checks.d, where a line that is no grant was refused already.
    let grants = GrantSet::parse(&asked.allow).unwrap_or_default();
    let judged = needs.into_iter().map(|need| {
        let is_granted = grants.satisfies(&need.grant).is_ok();
        (need, is_granted)
    });
    Ok(Answer {
        needs: judged.collect(),
        asked,
    })
}

/// What can be said of a file that the policy forbids to compile.
fn distrusted(args: &Args, candidate: &Candidate, refusal: &CheckerError) -> Result<ExitCode, CliError> {
    let inspected = inspect::inspect(candidate.component()).map_err(|error| CliError::Checker {
        path: args.file.clone(),
        source: error.into(),
    })?;
    match args.output.output {
        Format::Json => output::json(&json!({
            "refused": refusal.to_string(),
            "size": candidate.component().len(),
            "imports": names(&inspected.imports),
            "cannot": abilities(&inspected.imports, false),
        }))?,
        Format::Table => {
            output::line(format!("{}: {refusal}", args.file.display()))?;
            output::line("nothing of it was compiled or run; what its imports prove:")?;
            show_imports(&inspected.imports)?;
        }
    }
    Ok(ExitCode::from(REFUSED))
}

fn names(imports: &[Import]) -> Vec<&str> {
    imports.iter().map(|import| import.name.as_str()).collect()
}

fn abilities(imports: &[Import], can: bool) -> Vec<&'static str> {
    ABILITIES
        .iter()
        .filter(|ability| ability.is_in(imports) == can)
        .map(|ability| ability.what)
        .collect()
}

/// What there is to know before it is installed, too.
pub(super) fn show(loaded: &Loaded) -> Result<(), CliError> {
    let (checker, descriptor) = (&loaded.checker, loaded.checker.descriptor());
    output::line(format!(
        "{} {}: {}",
        descriptor.name, descriptor.version, descriptor.summary
    ))?;
    output::line(signer_line(&loaded.signer))?;
    output::line(format!(
        "sha256 {}, {}",
        checker.digest(),
        show_size(checker.size() as u64)
    ))?;
    show_imports(checker.imports())
}

fn signer_line(signer: &Signer) -> String {
    match (signer, signer.manifest()) {
        (Signer::NotChecked, _) => "signature not checked: [signatures] policy = \"off\"".to_owned(),
        (Signer::Unknown(_, key), Some(manifest)) => {
            format!(
                "{signer} with {key}, {}",
                output::time(signed_at_ms(manifest.signed_at()))
            )
        }
        (signer, Some(manifest)) => format!("{signer}, {}", output::time(signed_at_ms(manifest.signed_at()))),
        (signer, None) => signer.to_string(),
    }
}

fn signed_at_ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

fn show_imports(imports: &[Import]) -> Result<(), CliError> {
    for (heading, can) in [("may ask to", true), ("can't", false)] {
        let list = abilities(imports, can);
        let list = if list.is_empty() {
            "nothing".to_owned()
        } else {
            list.join(", ")
        };
        output::line(format!("{heading}: {list}"))?;
    }
    output::line(format!("no checker can: {NOBODY}"))?;
    output::line("imports:")?;
    for import in imports {
        output::line(format!("  {}", import.name))?;
    }
    Ok(())
}

fn show_answer(answer: &Answer) -> Result<(), CliError> {
    output::line("")?;
    if answer.needs.is_empty() {
        output::line("with this configuration it needs no grant")?;
        return Ok(());
    }
    let rows: Vec<_> = answer
        .needs
        .iter()
        .map(|(need, is_granted)| {
            let granted = if *is_granted { "yes" } else { "no" };
            vec![need.grant.to_string(), granted.to_owned(), need.reason.clone()]
        })
        .collect();
    output::table(&["NEEDS", "GRANTED", "FOR"], &rows)?;
    output::line("")?;
    if answer.missing().is_empty() {
        output::line("everything that it needs is granted")?;
    } else {
        output::line(format!("write into {}:", answer.asked.place))?;
        output::line(answer.line())?;
    }
    Ok(())
}

fn to_json(loaded: &Loaded, answer: Option<&Answer>) -> serde_json::Value {
    let (checker, descriptor) = (&loaded.checker, loaded.checker.descriptor());
    let schema: serde_json::Value = serde_json::from_str(&descriptor.config_schema).unwrap_or_default();
    let signature = loaded.signer.manifest().map(|manifest| {
        json!({
            "publisher": manifest.publisher(),
            "trusted": loaded.signer.trusted().is_some(),
            "signed_at_unix_ms": signed_at_ms(manifest.signed_at()),
        })
    });
    let asks = answer.map(|answer| {
        let needs: Vec<_> = answer
            .needs
            .iter()
            .map(|(need, is_granted)| {
                json!({ "grant": need.grant.to_string(), "reason": need.reason, "granted": is_granted })
            })
            .collect();
        json!({ "needs": needs, "write": answer.line(), "into": answer.asked.place })
    });
    json!({
        "name": descriptor.name, "version": descriptor.version, "summary": descriptor.summary,
        "digest": checker.digest(), "size": checker.size(),
        "signer": loaded.signer.to_string(), "signature": signature,
        "default_interval_ms": descriptor.default_interval_ms,
        "default_timeout_ms": descriptor.default_timeout_ms,
        "imports": names(checker.imports()),
        "cannot": abilities(checker.imports(), false),
        "config_schema": schema,
        "asks": asks,
    })
}
