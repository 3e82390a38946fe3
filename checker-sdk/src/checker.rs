//! What a checker is, apart from how it is exported.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::picket::checker::types;
use crate::{Context, Error, Need, Report, config};

/// A checker. `#[checker]` implements it.
pub trait Checker {
    /// The configuration of one check.
    type Config: DeserializeOwned + JsonSchema;

    /// What the checker says of itself.
    const DESCRIPTION: Description;

    /// The grants that `config` needs: no more, no fewer.
    fn needs(config: &Self::Config) -> Vec<Need>;

    /// Runs once.
    ///
    /// # Errors
    ///
    /// Only where the checker can't tell how its target is; a target that is down is a report.
    fn run(context: &mut Context, config: Self::Config) -> Result<Report, Error>;
}

/// The constant part of a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 40 bytes.
    pub name: &'static str,
    /// A semantic version.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// How often it runs where the operator says nothing, in milliseconds.
    pub interval_ms: u64,
    /// How long it may take where the operator says nothing, in milliseconds.
    pub timeout_ms: u64,
}

/// Compiles only for a checker; `#[checker]` calls it.
#[doc(hidden)]
pub const fn assert_checker<C: Checker>() {}

/// The whole descriptor of `C`, with the JSON Schema of its configuration.
#[must_use]
pub fn describe<C: Checker>() -> types::Descriptor {
    let Description {
        name,
        version,
        summary,
        interval_ms,
        timeout_ms,
    } = C::DESCRIPTION;
    types::Descriptor {
        name: name.to_owned(),
        version: version.to_owned(),
        summary: summary.to_owned(),
        config_schema: config::schema::<C::Config>(),
        default_interval_ms: interval_ms,
        default_timeout_ms: timeout_ms,
        extra: Vec::new(),
    }
}

/// The grants that a configuration (a JSON object) needs.
///
/// # Errors
///
/// The configuration isn't one that the checker can run with.
pub fn needs<C: Checker>(config: &str) -> Result<Vec<Need>, Error> {
    let config = config::parse::<C::Config>(config)?;
    let mut needs = C::needs(&config);
    let mut seen = std::collections::BTreeSet::new();
    needs.retain(|need| seen.insert(need.grant.clone()));
    Ok(needs)
}
