//! `checks.d/*.toml`: the checks of this agent. What is right in a file is used, whatever else is wrong in it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use picket_identity::name::CheckName;
use picket_sandbox::grant::Grant;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, Source};
use super::section::{Findings, Section};
use super::timing::{self, Timing};
use crate::schedule::course::Retries;
use crate::schedule::plan::Plan;

/// One configured check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckConfig {
    /// Its name on this agent.
    pub name: CheckName,
    /// The checker: a file's stem in the checkers folder, or a described name.
    pub checker: String,
    /// From one run's start to the next one's; where `timing` has a cron, the shortest time between two of its turns.
    pub interval: Duration,
    /// The wall time of a run.
    pub timeout: Duration,
    /// How far runs are spread around their time.
    pub jitter: Duration,
    /// When it runs, beyond interval and jitter.
    pub timing: Timing,
    /// What it may use, as written.
    pub allow: Vec<String>,
    /// The same, parsed.
    pub grants: Vec<Grant>,
    /// What the checker is given: a JSON object.
    pub config: Value,
    /// Where it is configured.
    pub file: PathBuf,
}

impl CheckConfig {
    /// When it runs as a check of this agent.
    #[must_use]
    pub fn plan(&self, agent: &str) -> Plan {
        let name = self.name.as_str();
        let plan = match &self.timing.cron {
            Some(times) => Plan::cron(agent, name, times.clone(), self.jitter),
            None => Plan::new(agent, name, self.interval, self.jitter),
        };
        let plan = match self.timing.offset {
            Some(offset) => plan.with_offset(offset),
            None => plan,
        };
        let millis = |period: Duration| u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        plan.with_retries(Retries {
            attempts: self.timing.attempts,
            interval_ms: self.timing.retry_interval.map(millis),
        })
    }

    /// When it runs, in a few words: `30s`, or `cron */5 * * * *`.
    #[must_use]
    pub fn rhythm(&self) -> String {
        match &self.timing.cron {
            Some(times) => format!("cron {times}"),
            None => humantime::format_duration(self.interval).to_string(),
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct CheckFile {
    /// The checks that are right.
    pub checks: Vec<CheckConfig>,
    /// Checks that are named, but wrong, each with the first thing that is.
    pub broken: Vec<(CheckName, String)>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// The text isn't even TOML, or a whole table is misnamed: what isn't found in it isn't necessarily gone.
    pub incomplete: bool,
}

/// Reads one file's text.
#[must_use]
pub fn parse(source: &Source) -> CheckFile {
    let findings = Findings::new(source);
    let (document, syntax) = DeTable::parse_recoverable(source.text());
    let mut incomplete = !syntax.is_empty();
    for error in &syntax {
        findings.add_syntax(error);
    }
    let mut checks = Vec::new();
    let mut broken = Vec::new();
    let mut root = Section::new(&findings, document.get_ref(), 0..0, String::new());
    let tables = root.table_value("check");
    let before = findings.count();
    root.finish();
    incomplete |= findings.count() > before;
    for (key, value) in tables.iter().flat_map(|at| at.value.iter()) {
        let Some(name) = check_name(&findings, key) else {
            incomplete = true;
            continue;
        };
        let before = findings.count();
        let check = read(&findings, &name, key.span(), value, source.path());
        match check {
            Some(check) if findings.count() == before && syntax.is_empty() => checks.push(check),
            // Where nothing in the check itself is wrong, the file's syntax is: that was found first.
            _ => {
                let first = findings.sentence(if findings.count() > before { before } else { 0 });
                broken.push((name, first));
            }
        }
    }
    CheckFile {
        checks,
        broken,
        problems: findings.into_problems(),
        incomplete,
    }
}

/// Reads a text that holds nothing but a checker's configuration, what `[check.NAME.config]` holds otherwise.
///
/// # Errors
/// Everything that is wrong in it.
pub fn parse_config(source: &Source) -> Result<Value, Problems> {
    let findings = Findings::new(source);
    let (document, syntax) = DeTable::parse_recoverable(source.text());
    for error in &syntax {
        findings.add_syntax(error);
    }
    let config = table_to_json(&findings, document.get_ref());
    let problems: Problems = findings.into_problems().into_iter().collect();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

fn check_name(findings: &Findings<'_>, key: &Spanned<toml::de::DeString<'_>>) -> Option<CheckName> {
    match key.get_ref().parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let error: picket_identity::name::NameError = error;
            findings.add(key.span(), error.to_string(), "not a name");
            None
        }
    }
}

fn read(
    findings: &Findings<'_>,
    name: &CheckName,
    span: Range<usize>,
    value: &Spanned<DeValue<'_>>,
    path: &Path,
) -> Option<CheckConfig> {
    let Some(table) = value.get_ref().as_table() else {
        findings.add_with_help(
            value.span(),
            format!("check `{name}` is no table"),
            "expected a table",
            format!("write it like `[check.{name}]`"),
        );
        return None;
    };
    let mut section = Section::new(findings, table, span, format!("check.{name}"));
    let checker = section.text("checker", "http");
    section.missing("checker", "\"http\"");
    let timing = timing::read(&mut section);
    let timeout = section.duration("timeout", "10s");
    let grants = section.texts("allow", "http:example.com:443");
    let config = section.table_value("config");
    section.finish();

    let checker = checker?;
    if checker.value.is_empty() || checker.value.contains(['/', '\\']) {
        findings.add_with_help(
            checker.span,
            format!("`{}` is not a checker's name", checker.value),
            "not a name",
            "give the name of a file in the checkers folder without `.wasm`, or the name that `checker list` shows",
        );
    }
    let timing = timing?;
    let default_timeout = timing.interval.min(Duration::from_secs(10));
    if let Some(timeout) = &timeout
        && (timeout.value.is_zero() || timeout.value > Duration::from_secs(600))
    {
        findings.add(
            timeout.span.clone(),
            "`timeout` is out of range; expected 1ms to 10m",
            "out of range",
        );
    }
    let mut parsed = Vec::new();
    for grant in &grants {
        match grant.value.parse::<Grant>() {
            Ok(grant) => parsed.push(grant),
            Err(error) => findings.add(grant.span.clone(), error.to_string(), "not a grant"),
        }
    }
    let config = match config {
        Some(at) => table_to_json(findings, at.value),
        None => Value::Object(serde_json::Map::new()),
    };
    Some(CheckConfig {
        name: name.clone(),
        checker: checker.value.to_owned(),
        interval: timing.interval,
        timeout: timeout.map_or(default_timeout, |at| at.value),
        jitter: timing.jitter,
        timing: timing.rest,
        allow: grants.into_iter().map(|at| at.value.to_owned()).collect(),
        grants: parsed,
        config,
        file: path.to_path_buf(),
    })
}

fn table_to_json(findings: &Findings<'_>, table: &DeTable<'_>) -> Value {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), to_json(findings, value)))
        .collect()
}

fn to_json(findings: &Findings<'_>, value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(findings, item)).collect(),
        DeValue::Table(table) => table_to_json(findings, table),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::from(number),
            Err(_) => {
                findings.add(
                    value.span(),
                    format!("{integer} doesn't fit 64 bits"),
                    "too large",
                );
                Value::Null
            }
        },
        DeValue::Float(float) => {
            let number = float
                .as_str()
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64);
            if number.is_none() {
                findings.add(
                    value.span(),
                    format!("{float} is not a finite number"),
                    "JSON has no such number",
                );
            }
            number.map_or(Value::Null, Value::Number)
        }
    }
}
