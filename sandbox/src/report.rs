//! What checkers say, in the crate's own words: independent of the contract's line that a component was built for.

pub mod limits;

/// The four states of the Nagios plugin convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// All is well.
    Ok,
    /// Something wants attention.
    Warning,
    /// Something is broken.
    Critical,
    /// The checker ran but could not tell.
    Unknown,
}

/// One number that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// At most 128 bytes of `[a-zA-Z0-9_.:/-]`, unique in its report together with `labels`.
    pub name: String,
    /// Finite.
    pub value: f64,
    /// A UCUM unit.
    pub unit: String,
    /// A counter only ever rises until it is reset; anything else is a gauge.
    pub counter: bool,
    /// The warning range, in the syntax of the Nagios plugin guidelines.
    pub warning: Option<String>,
    /// The critical range, in the same syntax.
    pub critical: Option<String>,
    /// The least possible value.
    pub min: Option<f64>,
    /// The greatest possible value.
    pub max: Option<f64>,
    /// What tells this metric from others of its name.
    pub labels: Vec<(String, String)>,
}

/// Something that backs up the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What it is, for example `certificates`.
    pub kind: String,
    /// One line for people.
    pub title: String,
    /// A JSON text.
    pub body: String,
}

/// What one run found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The verdict.
    pub status: Status,
    /// One line.
    pub summary: String,
    /// More lines.
    pub details: Option<String>,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// What is worth filtering results by.
    pub labels: Vec<(String, String)>,
    /// What backs up the verdict.
    pub evidence: Vec<Evidence>,
    /// Names that this host doesn't know are carried on, not interpreted.
    pub extra: Vec<(String, String)>,
}

/// What a checker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 40 bytes.
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// A JSON Schema (2020-12) whose root describes an object.
    pub config_schema: String,
    /// In milliseconds.
    pub default_interval_ms: u64,
    /// In milliseconds.
    pub default_timeout_ms: u64,
    /// Names that this host doesn't know are carried on, not interpreted.
    pub extra: Vec<(String, String)>,
}

/// One capability that a configuration needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The grant, in canonical spelling.
    pub grant: crate::grant::Grant,
    /// Why, in a few words for the operator.
    pub reason: String,
}
