//! The configuration that a checker is asked about: a text, a file, or a check that there is already.

use std::path::Path;

use picket_identity::name::CheckName;
use serde_json::{Map, Value};

use crate::cli::CliError;
use crate::config::check_file::{self, CheckConfig};
use crate::config::{AgentConfig, CheckSet, LoadError, Problems, Source, nearest};

/// A configuration, with what is granted beside it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) config: Value,
    pub(super) allow: Vec<String>,
    /// Where the grants are to be written: `[check.web] of checks.d/web.toml`.
    pub(super) place: String,
}

impl Asked {
    fn of(check: &CheckConfig) -> Self {
        Self {
            config: check.config.clone(),
            allow: check.allow.clone(),
            place: format!("[check.{}] of {}", check.name, check.file.display()),
        }
    }

    fn alone(config: Value) -> Self {
        Self {
            config,
            allow: Vec::new(),
            place: "the check".to_owned(),
        }
    }
}

/// Reads what follows `--config`.
pub(super) fn read(text: &str, agent: Option<&AgentConfig>) -> Result<Asked, CliError> {
    if text.trim_start().starts_with('{') {
        let config: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| CliError::Asked(format!("--config: this is no JSON object: {error}")))?;
        return Ok(Asked::alone(Value::Object(config)));
    }
    if text.ends_with(".toml") {
        return read_file(Path::new(text));
    }
    let Some(agent) = agent else {
        return Err(CliError::Asked(format!(
            "--config {text}: expected a JSON object, a file that ends in .toml, or, with --agent-config agent.toml, a \
             check's name"
        )));
    };
    read_check(text, agent)
}

fn read_file(path: &Path) -> Result<Asked, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| CliError::Io {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    let source = Source::new(path, text);
    let file = check_file::parse(&source);
    match (file.checks.as_slice(), file.broken.is_empty()) {
        ([check], true) => return Ok(Asked::of(check)),
        ([], true) => {}
        (_, false) => return Err(wrong(file.problems.into_iter().collect())),
        (several, true) => {
            let names: Vec<_> = several.iter().map(|check| check.name.as_str()).collect();
            return Err(CliError::Asked(format!(
                "{} has several checks: ask about one of them by name, as in --config {}",
                path.display(),
                names.join(" or --config "),
            )));
        }
    }
    check_file::parse_config(&source).map(Asked::alone).map_err(wrong)
}

fn wrong(problems: Problems) -> CliError {
    CliError::Config(LoadError::Problems(problems))
}

fn read_check(text: &str, agent: &AgentConfig) -> Result<Asked, CliError> {
    let mut set = CheckSet::default();
    set.reload(&agent.checks_dir).map_err(|source| CliError::Io {
        action: "read",
        path: agent.checks_dir.clone(),
        source,
    })?;
    let found = text
        .parse::<CheckName>()
        .ok()
        .and_then(|name| set.checks().get(&name));
    match found {
        Some(configured) => match &configured.check {
            Some(check) => Ok(Asked::of(check)),
            None => Err(CliError::Asked(configured.problem.clone().unwrap_or_default())),
        },
        None => {
            let near = nearest(text, set.checks().keys().map(CheckName::as_str));
            let hint = near
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            Err(CliError::Unknown(format!(
                "there is no check `{text}` in {}{hint}",
                agent.checks_dir.display()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Asked, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.toml");
        std::fs::write(&path, text).unwrap();
        read(&path.display().to_string(), None)
    }

    #[test]
    fn a_json_object_is_a_configuration_and_other_json_is_not() {
        let asked = read(r#"{"url": "https://a.example/"}"#, None).unwrap();
        assert_eq!(asked.config["url"], "https://a.example/");
        assert!(asked.allow.is_empty());
        assert!(read("{]", None).unwrap_err().to_string().contains("JSON object"));
    }

    #[test]
    fn a_file_of_one_check_is_taken_with_its_grants() {
        let asked = file(
            "[check.web]\nchecker = \"http\"\ninterval = \"30s\"\nallow = [\"http:a.example:443\"]\n\
             [check.web.config]\nurl = \"https://a.example/\"\n",
        )
        .unwrap();
        assert_eq!(asked.allow, ["http:a.example:443"]);
        assert_eq!(asked.config["url"], "https://a.example/");
        assert!(asked.place.starts_with("[check.web] of "), "{}", asked.place);
    }

    #[test]
    fn a_file_without_checks_is_the_configuration_itself() {
        assert_eq!(
            file("url = \"https://a.example/\"\n").unwrap().config["url"],
            "https://a.example/"
        );
    }

    #[test]
    fn a_file_of_several_checks_or_a_broken_one_says_what_to_do() {
        let check = |name: &str| format!("[check.{name}]\nchecker = \"http\"\ninterval = \"30s\"\n");
        let error = file(&(check("a") + &check("b"))).unwrap_err().to_string();
        assert!(error.contains("--config a or --config b"), "{error}");
        let error = file(&check("a").replace("interval", "intervall"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `interval`?"), "{error}");
        assert!(file("url = ").unwrap_err().to_string().contains("not TOML"));
    }

    #[test]
    fn a_word_without_an_agent_says_what_is_expected() {
        let error = read("web", None).unwrap_err().to_string();
        assert!(error.contains("--agent-config"), "{error}");
    }
}
