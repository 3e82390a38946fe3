//! `agent-host checker list|inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picket_sandbox::engine::{EngineConfig, SandboxEngine};
use serde_json::json;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::app::StartError;
use crate::catalogue::loaded::{LoadedChecker, Loader};
use crate::config::AgentConfig;
use crate::config::quantity::show_size;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Every file in the checkers folder
    List(ListArgs),
    /// What a file is, and what it can't do
    Inspect(InspectArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// A .wasm file
    file: PathBuf,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn checker(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::List(args) => list(&args).await,
        Command::Inspect(args) => inspect(&args).await,
    }
}

async fn list(args: &ListArgs) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let reloader = super::check::look(&config).await?;
    let catalogue = reloader.inventory().catalogue.load_full();
    let has_problems = catalogue.entries().values().any(|entry| entry.problem.is_some());
    let rows = catalogue
        .entries()
        .iter()
        .map(|(stem, entry)| (stem, entry.checker.as_deref(), &entry.problem));
    match args.output.output {
        Format::Json => {
            let items: Vec<_> = rows
                .map(|(stem, checker, problem)| {
                    json!({
                        "file": stem,
                        "name": checker.map(|checker| &checker.descriptor().name),
                        "version": checker.map(|checker| &checker.descriptor().version),
                        "summary": checker.map(|checker| &checker.descriptor().summary),
                        "digest": checker.map(LoadedChecker::digest),
                        "problem": problem,
                    })
                })
                .collect();
            output::json(&json!({ "items": items }))?;
        }
        Format::Table => {
            let rows: Vec<_> = rows
                .map(|(stem, checker, problem)| {
                    let known =
                        |text: fn(&LoadedChecker) -> String| checker.map_or_else(|| "-".to_owned(), text);
                    vec![
                        stem.clone(),
                        known(|checker| checker.descriptor().name.clone()),
                        known(|checker| checker.descriptor().version.clone()),
                        known(|checker| show_size(checker.size() as u64)),
                        problem.clone().unwrap_or_else(|| "-".to_owned()),
                    ]
                })
                .collect();
            output::table(&["FILE", "NAME", "VERSION", "SIZE", "PROBLEM"], &rows)?;
        }
    }
    Ok(ExitCode::from(if has_problems {
        super::error::FOUND_PROBLEMS
    } else {
        0
    }))
}

async fn inspect(args: &InspectArgs) -> Result<ExitCode, CliError> {
    let checker = load(&args.file).await?;
    let descriptor = checker.descriptor();
    let abilities: Vec<_> = ABILITIES
        .iter()
        .map(|ability| (ability.what, ability.is_in(&checker)))
        .collect();
    if args.output.output == Format::Json {
        let schema: serde_json::Value = serde_json::from_str(&descriptor.config_schema).unwrap_or_default();
        output::json(&json!({
            "name": descriptor.name, "version": descriptor.version, "summary": descriptor.summary,
            "digest": checker.digest(), "size": checker.size(),
            "default_interval_ms": descriptor.default_interval_ms,
            "default_timeout_ms": descriptor.default_timeout_ms,
            "imports": checker.imports().iter().map(|import| import.name.as_str()).collect::<Vec<_>>(),
            "cannot": abilities.iter().filter(|(_, can)| !can).map(|(what, _)| what).collect::<Vec<_>>(),
            "config_schema": schema,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!(
        "{} {}: {}",
        descriptor.name, descriptor.version, descriptor.summary
    ))?;
    output::line(format!(
        "sha256 {}, {}",
        checker.digest(),
        show_size(checker.size() as u64)
    ))?;
    for (heading, wanted) in [("may ask to", true), ("can't", false)] {
        let listed: Vec<_> = abilities
            .iter()
            .filter(|(_, can)| *can == wanted)
            .map(|(what, _)| *what)
            .collect();
        output::line(format!(
            "{heading}: {}",
            if listed.is_empty() {
                "nothing".to_owned()
            } else {
                listed.join(", ")
            }
        ))?;
    }
    output::line("imports:")?;
    for import in checker.imports() {
        output::line(format!("  {}", import.name))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn load(file: &Path) -> Result<LoadedChecker, CliError> {
    let engine = SandboxEngine::new(EngineConfig::default()).map_err(StartError::from)?;
    let loaded = Loader::new(engine, None).load(file).await;
    loaded.map_err(|source| CliError::Checker {
        path: file.to_path_buf(),
        source,
    })
}

/// What a component may be able to do, by the interfaces that it would have to import for it.
struct Ability {
    what: &'static str,
    interfaces: &'static [&'static str],
}

const ABILITIES: &[Ability] = &[
    Ability {
        what: "send HTTP requests",
        interfaces: &["picket:checker/http@"],
    },
    Ability {
        what: "open TCP connections",
        interfaces: &["wasi:sockets/tcp@"],
    },
    Ability {
        what: "send UDP datagrams",
        interfaces: &["wasi:sockets/udp@"],
    },
    Ability {
        what: "look up names",
        interfaces: &["wasi:sockets/ip-name-lookup@"],
    },
    Ability {
        what: "speak TLS",
        interfaces: &["picket:checker/tls@"],
    },
    Ability {
        what: "ping",
        interfaces: &["picket:checker/icmp@"],
    },
    Ability {
        what: "read files",
        interfaces: &["wasi:filesystem/"],
    },
    Ability {
        what: "use secrets",
        interfaces: &[
            "picket:checker/secret@",
            "picket:checker/http@",
            "picket:checker/tls@",
        ],
    },
    Ability {
        what: "read facts about this machine",
        interfaces: &["picket:checker/host-facts@"],
    },
    Ability {
        what: "keep state between runs",
        interfaces: &["picket:checker/state@"],
    },
];

impl Ability {
    fn is_in(&self, checker: &LoadedChecker) -> bool {
        let mut imports = checker.imports().iter();
        imports.any(|import| {
            self.interfaces
                .iter()
                .any(|interface| import.name.starts_with(interface))
        })
    }
}
