//! A configured check with its checker, its grants, and what it lacks.

use std::sync::Arc;
use std::time::Duration;

use picket_identity::name::CheckName;
use picket_proto::agent::v1::FailureClass;
use picket_sandbox::grant::GrantSet;
use picket_sandbox::report::Need;

use crate::catalogue::loaded::{LoadedChecker, NeedsError};
use crate::catalogue::{Catalogue, NoChecker};
use crate::config::{CheckConfig, Configured};
use crate::schedule::plan;

/// Why a check can't run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No checker, or a broken one.
    NoChecker(String),
    /// Its checker is being compiled.
    Loading(String),
    /// Grants that its configuration needs and that `allow` doesn't give.
    Denied(String),
    /// The checker refuses the configuration.
    InvalidConfig(String),
    /// `needs` failed in another way.
    Failed(FailureClass, String),
    /// The configuration on disk was never right.
    Broken(String),
}

/// A check, ready to run or with the reason why it isn't.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its name.
    pub name: CheckName,
    /// What it was made of; `None` where the configuration was never right.
    pub config: Option<CheckConfig>,
    /// The checker.
    pub checker: Option<Arc<LoadedChecker>>,
    /// What it may use.
    pub grants: Arc<GrantSet>,
    /// From run to run.
    pub interval: Duration,
    /// For one run.
    pub timeout: Duration,
    obstacle: Option<Obstacle>,
    /// What is wrong with the configuration on disk, while the last good version goes on.
    stale: Option<String>,
}

impl Prepared {
    /// Puts a check together with what the catalogue has. Takes `before` over where nothing about it changed.
    pub async fn make(
        name: &CheckName,
        configured: &Configured,
        catalogue: &Catalogue,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let Some(config) = &configured.check else {
            let problem = configured.problem.clone().unwrap_or_default();
            return Arc::new(Self::broken(name, problem));
        };
        let found = catalogue.find(&config.checker);
        if let (Some(before), Ok(checker)) = (before, &found)
            && before.is_made_of(config, checker)
        {
            if before.stale == configured.problem {
                return Arc::clone(before);
            }
            return Arc::new(Self {
                stale: configured.problem.clone(),
                ..Self::clone(before)
            });
        }
        // Parsed once already when the file was read.
        let grants = Arc::new(GrantSet::parse(&config.allow).unwrap_or_default());
        let (checker, obstacle) = match found {
            Ok(checker) => {
                let obstacle = missing(name, config, &grants, &checker).await;
                (Some(checker), obstacle)
            }
            Err(NoChecker::Loading(sentence)) => (None, Some(Obstacle::Loading(sentence))),
            Err(error) => (None, Some(Obstacle::NoChecker(error.to_string()))),
        };
        Arc::new(Self {
            name: name.clone(),
            config: Some(config.clone()),
            checker,
            grants,
            interval: config.interval,
            timeout: config.timeout,
            obstacle,
            stale: configured.problem.clone(),
        })
    }

    fn broken(name: &CheckName, problem: String) -> Self {
        Self {
            name: name.clone(),
            config: None,
            checker: None,
            grants: Arc::default(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            obstacle: Some(Obstacle::Broken(problem)),
            stale: None,
        }
    }

    fn is_made_of(&self, config: &CheckConfig, checker: &Arc<LoadedChecker>) -> bool {
        self.config.as_ref() == Some(config)
            && self
                .checker
                .as_ref()
                .is_some_and(|mine| Arc::ptr_eq(mine, checker))
    }

    /// Why it can't run as it should, in words; `None` where all is well.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match &self.obstacle {
            Some(
                Obstacle::NoChecker(text)
                | Obstacle::Loading(text)
                | Obstacle::Denied(text)
                | Obstacle::InvalidConfig(text)
                | Obstacle::Failed(_, text)
                | Obstacle::Broken(text),
            ) => Some(text),
            None => self.stale.as_deref(),
        }
    }

    /// Whether it waits for its checker to be compiled.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        matches!(self.obstacle, Some(Obstacle::Loading(_)))
    }

    /// What stops it from running, as a result says it.
    #[must_use]
    pub fn obstacle(&self) -> Option<(FailureClass, String)> {
        let (class, text) = match self.obstacle.as_ref()? {
            Obstacle::NoChecker(text) | Obstacle::Loading(text) => (FailureClass::NoChecker, text),
            Obstacle::Denied(text) => (FailureClass::Denied, text),
            Obstacle::InvalidConfig(text) | Obstacle::Broken(text) => (FailureClass::InvalidConfig, text),
            Obstacle::Failed(class, text) => (*class, text),
        };
        Some((class, text.clone()))
    }

    /// The checker as results name it: what it describes itself as, else what the check calls it.
    #[must_use]
    pub fn checker_name(&self) -> &str {
        match (&self.checker, &self.config) {
            (Some(checker), _) => &checker.descriptor().name,
            (None, Some(config)) => &config.checker,
            (None, None) => "",
        }
    }

    /// The checker's version; empty where there is none.
    #[must_use]
    pub fn checker_version(&self) -> &str {
        self.checker
            .as_ref()
            .map_or("", |checker| &checker.descriptor().version)
    }

    /// What is run, as a number that changes with the checker and its configuration: what is known about how an old one
    /// does says nothing about a new one.
    #[must_use]
    pub fn subject(&self) -> u64 {
        let digest = self.checker.as_ref().map_or("", |checker| checker.digest());
        plan::hash(plan::hash(0, digest.as_bytes()), self.config_json().as_bytes())
    }

    /// The configuration that the checker is given.
    #[must_use]
    pub fn config_json(&self) -> String {
        self.config
            .as_ref()
            .map_or_else(|| "{}".to_owned(), |config| config.config.to_string())
    }
}

async fn missing(
    name: &CheckName,
    config: &CheckConfig,
    grants: &GrantSet,
    checker: &LoadedChecker,
) -> Option<Obstacle> {
    let needs = match checker.needs(&config.config.to_string()).await {
        Ok(needs) => needs,
        Err(NeedsError::InvalidConfig(message)) => {
            return Some(Obstacle::InvalidConfig(format!(
                "check `{name}`, [check.{name}.config]: {message}"
            )));
        }
        Err(NeedsError::Failed(class, message)) => {
            return Some(Obstacle::Failed(class, format!("check `{name}`: {message}")));
        }
    };
    denied(name, config, grants, &needs).map(Obstacle::Denied)
}

/// What `allow` lacks, with the line to write; `None` where it lacks nothing.
fn denied(name: &CheckName, config: &CheckConfig, grants: &GrantSet, needs: &[Need]) -> Option<String> {
    let missing: Vec<_> = needs
        .iter()
        .filter(|need| grants.satisfies(&need.grant).is_err())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let reasons: Vec<String> = missing
        .iter()
        .map(|need| format!("{} ({})", need.grant, need.reason))
        .collect();
    Some(format!(
        "check `{name}` needs what it isn't granted: {}; write `{}` in [check.{name}] of {}",
        reasons.join(", "),
        allow_line(&config.allow, &missing),
        config.file.display(),
    ))
}

/// The line of a check that grants what it grants now, and what is missing.
pub(crate) fn allow_line(allow: &[String], missing: &[&Need]) -> String {
    let missing = missing.iter().map(|need| need.grant.to_string());
    let lines: Vec<String> = allow
        .iter()
        .cloned()
        .chain(missing)
        .map(|line| format!("{line:?}"))
        .collect();
    format!("allow = [{}]", lines.join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn config(allow: &[&str]) -> CheckConfig {
        CheckConfig {
            name: "web".parse().unwrap(),
            checker: "http".to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            jitter: Duration::ZERO,
            timing: crate::config::Timing::default(),
            allow: allow.iter().map(|&line| line.to_owned()).collect(),
            grants: Vec::new(),
            config: serde_json::json!({}),
            file: PathBuf::from("checks.d/web.toml"),
        }
    }

    #[test]
    fn a_missing_grant_is_named_with_the_whole_line_to_write() {
        let config = config(&["host-facts:cpu"]);
        let grants = GrantSet::parse(&config.allow).unwrap();
        let need = |grant: &str| Need {
            grant: grant.parse().unwrap(),
            reason: "the page".to_owned(),
        };
        let sentence = denied(
            &config.name,
            &config,
            &grants,
            &[need("http:example.com:443"), need("host-facts:cpu")],
        );
        assert_eq!(
            sentence.unwrap(),
            "check `web` needs what it isn't granted: http:example.com:443 (the page); write \
             `allow = [\"host-facts:cpu\", \"http:example.com:443\"]` in [check.web] of checks.d/web.toml"
        );
        assert_eq!(
            denied(&config.name, &config, &grants, &[need("host-facts:cpu")]),
            None
        );
    }

    #[tokio::test]
    async fn a_check_whose_configuration_was_never_right_has_that_as_its_obstacle() {
        let configured = Configured {
            check: None,
            problem: Some("x.toml:1:1: wrong".to_owned()),
            file: PathBuf::from("x.toml"),
        };
        let prepared =
            Prepared::make(&"web".parse().unwrap(), &configured, &Catalogue::default(), None).await;
        assert_eq!(prepared.problem(), Some("x.toml:1:1: wrong"));
        assert!(matches!(
            prepared.obstacle(),
            Some((FailureClass::InvalidConfig, _))
        ));
    }

    #[tokio::test]
    async fn a_check_that_goes_on_with_its_last_good_version_shows_what_is_wrong_and_has_no_obstacle_for_it()
    {
        let problem = Some("x.toml:1:1: wrong".to_owned());
        let configured = Configured {
            check: Some(config(&[])),
            problem,
            file: PathBuf::from("x.toml"),
        };
        let prepared =
            Prepared::make(&"web".parse().unwrap(), &configured, &Catalogue::default(), None).await;
        // There is no checker, which stops it; the file's mistake alone wouldn't.
        assert!(matches!(prepared.obstacle(), Some((FailureClass::NoChecker, _))));
        assert_eq!(prepared.stale.as_deref(), Some("x.toml:1:1: wrong"));
    }
}
