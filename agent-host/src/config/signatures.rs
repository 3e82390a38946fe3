//! `[signatures]`: whose checkers run here.

use std::fmt;
use std::str::FromStr;

use picket_sandbox::component::signature::{self, PublicKey};

use super::section::{At, Section, nearest};

/// What becomes of a checker that no trusted publisher signed. A signature that is there and wrong is refused under both
/// `require` and `warn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It isn't even compiled.
    Require,
    /// It runs, and everybody sees that it is so.
    #[default]
    Warn,
    /// Nobody looks.
    Off,
}

impl Policy {
    const ALL: [Self; 3] = [Self::Require, Self::Warn, Self::Off];

    /// As it is written in agent.toml.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a policy; expected `require`, `warn` or `off`{}", near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct NotAPolicy {
    found: String,
    near: Option<&'static str>,
}

impl FromStr for Policy {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, NotAPolicy> {
        let policies = Self::ALL.into_iter();
        policies
            .clone()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| NotAPolicy {
                found: text.to_owned(),
                near: nearest(text, policies.map(Self::as_str)),
            })
    }
}

/// `[[signatures.publisher]]`: somebody whose checkers are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// As they name themselves in their signatures.
    pub name: String,
    /// What they sign with.
    pub key: PublicKey,
}

/// `[signatures]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureSettings {
    /// What becomes of a checker that none of the publishers signed.
    pub policy: Policy,
    /// Who is trusted. One may be here with several keys.
    pub publishers: Vec<Publisher>,
}

pub(super) fn read(mut section: Section<'_>) -> SignatureSettings {
    let policy = section.parsed::<Policy>("policy", "require");
    let tables = section.sections("publisher");
    let is_empty = tables.is_empty();
    let mut settings = SignatureSettings {
        policy: policy.as_ref().map(|at| at.value).unwrap_or_default(),
        publishers: Vec::new(),
    };
    for table in tables {
        if let Some(publisher) = read_publisher(table, &settings.publishers) {
            settings.publishers.push(publisher);
        }
    }
    if let (Some(policy), true) = (policy, is_empty)
        && policy.value == Policy::Require
    {
        section.findings().add_with_help(
            policy.span,
            "`policy` of [signatures] is `require`, and there is no [[signatures.publisher]]: no checker could run",
            "nobody is trusted",
            "add `[[signatures.publisher]]` with `name = \"…\"` and `key = \"picket-ed25519:…\"`, as the publisher tells them",
        );
    }
    section.finish();
    settings
}

fn read_publisher(mut section: Section<'_>, before: &[Publisher]) -> Option<Publisher> {
    let name = section.text("name", "Acme Monitoring");
    section.missing("name", "\"Acme Monitoring\"");
    let key = section.parsed::<PublicKey>("key", "picket-ed25519:…");
    section.missing("key", "\"picket-ed25519:…\"");
    let findings = section.findings();
    if let Some(At { value, span }) = &name
        && !signature::is_publisher(value)
    {
        findings.add(
            span.clone(),
            format!(
                "{value:?} is not a publisher's name; expected {}",
                signature::PUBLISHER
            ),
            "not a name",
        );
    }
    if let Some(At { value, span }) = &key
        && let Some(first) = before.iter().find(|publisher| publisher.key == *value)
    {
        // With one key for two names it would be open who signed.
        findings.add_with_help(
            span.clone(),
            format!("this key is already that of publisher `{}`", first.name),
            "a second time",
            "remove one of the two",
        );
    }
    section.finish();
    Some(Publisher {
        name: name?.value.to_owned(),
        key: key?.value,
    })
}

#[cfg(test)]
mod tests {
    use picket_sandbox::component::signature::SigningKey;

    use super::*;
    use crate::config::{AgentConfig, Problem, Source};

    fn key() -> String {
        SigningKey::generate().unwrap().public_key().to_string()
    }

    fn parse(text: &str) -> Result<SignatureSettings, Vec<String>> {
        let text = format!("listen = \"127.0.0.1:0\"\n{text}");
        AgentConfig::parse(&Source::new("agent.toml", text))
            .map(|config| config.signatures)
            .map_err(|problems| problems.iter().map(Problem::sentence).collect())
    }

    #[test]
    fn an_agent_without_the_section_warns_and_trusts_nobody() {
        assert_eq!(parse("").unwrap(), SignatureSettings::default());
        assert_eq!(SignatureSettings::default().policy, Policy::Warn);
    }

    #[test]
    fn a_policy_and_its_publishers_are_read() {
        let (old, new) = (key(), key());
        let settings = parse(&format!(
            "[signatures]\npolicy = \"require\"\n[[signatures.publisher]]\nname = \"Acme\"\nkey = \"{old}\"\n\
             [[signatures.publisher]]\nname = \"Acme\"\nkey = \"{new}\"\n"
        ))
        .unwrap();
        assert_eq!(settings.policy, Policy::Require);
        let keys: Vec<_> = settings
            .publishers
            .iter()
            .map(|publisher| publisher.key.to_string())
            .collect();
        assert_eq!(keys, [old, new]);
    }

    #[test]
    fn every_mistake_is_reported_with_what_to_do() {
        let key = key();
        let problems = parse(&format!(
            "[signatures]\npolicy = \"requires\"\npubliser = 1\n[[signatures.publisher]]\nnam = \"Acme\"\nkey = \"{key}\"\n\
             [[signatures.publisher]]\nname = \"A\\nB\"\nkey = \"ed25519:x\"\n[[signatures.publisher]]\nname = \"Eve\"\nkey = \"{key}\"\n"
        ))
        .unwrap_err();
        assert_eq!(problems.len(), 6, "{problems:#?}");
        for (problem, words) in problems.iter().zip([
            "did you mean `require`?",
            "did you mean `publisher`?",
            "`name` of [signatures.publisher] is missing",
            "did you mean `name`?",
            "is not a publisher's name",
            "checker keygen",
        ]) {
            assert!(problem.contains(words), "{words}: {problem}");
        }
    }

    #[test]
    fn one_key_for_two_publishers_is_refused() {
        let key = key();
        let problems = parse(&format!(
            "[signatures]\n[[signatures.publisher]]\nname = \"Acme\"\nkey = \"{key}\"\n\
             [[signatures.publisher]]\nname = \"Eve\"\nkey = \"{key}\"\n"
        ))
        .unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].contains("already that of publisher `Acme`"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_policy_that_would_refuse_every_checker_is_a_mistake() {
        let problems = parse("[signatures]\npolicy = \"require\"\n").unwrap_err();
        assert!(problems[0].contains("no checker could run"), "{problems:?}");
    }
}
