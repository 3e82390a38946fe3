//! Commands: programs that print a Nagios line, run as checkers.
//!
//! * [`config`]: what a check may configure of one.
//! * [`hint`]: the grants that a program seems to lack which never asked the host.

mod config;
mod hint;

use wasmtime::Store;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::call::{Guest, with_denials};
use super::store::RunState;
use super::{Failure, FailureClass, RunOutcome, RunSpec};
use crate::component::Checker;
use crate::host::state::StateView;
use crate::nagios::{self, Exit, MAX_OUTPUT};
use crate::report::limits::DETAILS;
use crate::report::{Descriptor, Report, Status};
use crate::wasi::exit::Ended;
use crate::wasi::stdio::{Capture, CommandIo};
use config::CommandConfig;

/// What plugins are run by elsewhere: every minute, for ten seconds at most.
const DEFAULT_INTERVAL_MS: u64 = 60_000;
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
/// Bytes of a checker's name.
const MAX_NAME: usize = 40;

/// A name for a command from its file's: lower case, other characters as hyphens. `None` where nothing is left.
pub(crate) fn command_name(stem: &str) -> Option<String> {
    let plain = |char: char| {
        if char.is_ascii_alphanumeric() {
            char.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    // `NAME@VERSION` is how a second version of a file is kept.
    let stem = stem.split('@').next().unwrap_or(stem);
    let name: String = stem.trim().chars().map(plain).take(MAX_NAME).collect();
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

/// What the host says of a command, which can't say it itself.
pub(super) fn describe(checker: &Checker) -> Descriptor {
    Descriptor {
        name: checker.name().to_owned(),
        version: checker.version().unwrap_or("0.0.0").to_owned(),
        summary: "a command that prints a Nagios line".to_owned(),
        config_schema: config::SCHEMA.to_owned(),
        default_interval_ms: DEFAULT_INTERVAL_MS,
        default_timeout_ms: DEFAULT_TIMEOUT_MS,
        extra: Vec::new(),
    }
}

/// Looks a configuration over. What a command needs can't be told from it.
pub(super) fn check_config(config: &str) -> Result<(), Failure> {
    CommandConfig::parse(config).map(|_| ()).map_err(invalid)
}

fn invalid(sentence: String) -> Failure {
    Failure::new(FailureClass::InvalidConfig, sentence)
}

pub(super) async fn run(checker: &Checker, command: &CommandPre<RunState>, spec: RunSpec) -> RunOutcome {
    let config = match CommandConfig::parse(&spec.config) {
        Ok(config) => config,
        Err(sentence) => return RunOutcome::refused(invalid(sentence)),
    };
    let (grants, arguments) = (spec.grants.clone(), config.arguments.clone());
    // One byte more than is read shows that there was more.
    let stdout = Capture::keeping(MAX_OUTPUT + 1);
    let guest = Guest {
        checker,
        grants: spec.grants,
        limits: spec.limits,
        state: StateView::new(spec.check, spec.state),
        secrets: spec.secrets,
        command: Some(CommandIo {
            arguments: std::iter::once(checker.name().to_owned())
                .chain(config.arguments)
                .collect(),
            stdin: config.stdin.unwrap_or_default().into(),
            stdout: stdout.clone(),
        }),
    };
    let (exit, run) = guest.call(async |store| ended(command, store).await).await;
    let result = match exit.map(|exit| nagios::parse(&stdout.bytes(), exit)) {
        Ok(Ok(report)) if report.status == Status::Ok => Ok(report),
        Ok(Ok(report)) => {
            let hints = hint::ungranted_files(checker.imports(), &arguments, &grants).await;
            Ok(hinted(report, &hints))
        }
        Ok(Err(nothing)) => {
            let sentence = with_stderr(nothing.to_string(), &run.logs.stderr);
            let failure = Failure::new(FailureClass::BadOutput, sentence);
            Err(with_denials(failure, &run.denials))
        }
        Err(failure) => Err(failure),
    };
    let keeps_state = result.is_ok();
    run.finish(result, keeps_state).await
}

/// How the program ended: by returning from `run`, or by leaving it.
async fn ended(command: &CommandPre<RunState>, store: &mut Store<RunState>) -> wasmtime::Result<Exit> {
    let run = async {
        let command = command.instantiate_async(&mut *store).await?;
        command.wasi_cli_run().call_run(&mut *store).await
    };
    match run.await {
        Ok(Ok(())) => Ok(Exit::Code(0)),
        Ok(Err(())) => Ok(Exit::Failed),
        Err(error) => match error.downcast_ref::<Ended>() {
            Some(Ended(exit)) => Ok(*exit),
            None => Err(error),
        },
    }
}

/// Programs that don't understand their arguments say so on standard error.
fn with_stderr(sentence: String, stderr: &str) -> String {
    let said: String = stderr
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .chars()
        .filter(|char| !char.is_control())
        .take(500)
        .collect();
    if said.is_empty() {
        sentence
    } else {
        format!("{sentence}; on standard error it said: {said}")
    }
}

fn hinted(mut report: Report, hints: &[String]) -> Report {
    for hint in hints {
        let details = report.details.get_or_insert_default();
        if details.len() + hint.len() + 1 > DETAILS {
            break;
        }
        if !details.is_empty() {
            details.push('\n');
        }
        details.push_str(hint);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_after_its_file() {
        for (stem, name) in [
            ("check_file_age", Some("check-file-age")),
            ("Check Disk!", Some("check-disk")),
            ("_x_", Some("x")),
            ("check_port@1.2.0", Some("check-port")),
            ("日本", None),
            ("", None),
        ] {
            assert_eq!(command_name(stem).as_deref(), name, "{stem}");
        }
        assert_eq!(command_name(&"a".repeat(100)).unwrap().len(), MAX_NAME);
    }

    #[test]
    fn usage_on_standard_error_explains_an_empty_output() {
        assert_eq!(
            with_stderr("nothing".to_owned(), "\n usage: x -w N\nmore"),
            "nothing; on standard error it said: usage: x -w N"
        );
        assert_eq!(with_stderr("nothing".to_owned(), " \n"), "nothing");
    }
}
