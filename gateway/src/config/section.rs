//! One TOML table, read key by key; problems are collected, not returned.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// A table whose keys are known.
pub(super) struct Section<'t, 'p> {
    /// How people find it; empty for the root.
    name: &'static str,
    table: Option<&'t DeTable<'t>>,
    span: Option<Range<usize>>,
    problems: &'p mut Vec<Problem>,
}

impl<'t, 'p> Section<'t, 'p> {
    /// The file's own table. Keys outside `known` are reported.
    pub(super) fn root(
        table: &'t DeTable<'t>,
        known: &'static [&'static str],
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        let mut section = Self {
            name: "",
            table: Some(table),
            span: None,
            problems,
        };
        section.report_unknown(known);
        section
    }

    /// The table below `key`, which may be absent. Keys outside `known` are reported.
    pub(super) fn table<'s>(
        &'s mut self,
        key: &'static str,
        known: &'static [&'static str],
    ) -> Section<'t, 's> {
        let found = self.table.and_then(|table| table.get(key));
        let table = match found.map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => Some(table),
            Some(other) => {
                let message = format!("`{key}` is {}, expected a table [{key}]", other.type_str());
                self.problems.push(Problem {
                    message,
                    help: None,
                    span: found.map(Spanned::span),
                });
                None
            }
            None => None,
        };
        let mut section = Section {
            name: key,
            table,
            span: found.map(Spanned::span),
            problems: self.problems,
        };
        section.report_unknown(known);
        section
    }

    /// Whether the file has it.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// What `key` holds; a problem where it is absent.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let table = self.table?;
        if !table.contains_key(key) {
            let place = if self.name.is_empty() {
                String::new()
            } else {
                format!(" in [{}]", self.name)
            };
            self.problems.push(Problem {
                message: format!("`{key}` is missing{place}"),
                help: None,
                span: self.span.clone(),
            });
        }
        self.optional(key, read)
    }

    /// What `key` holds, where it is there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.table?.get(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problems.push(Problem {
                    message: format!("`{key}`: {problem}"),
                    help: None,
                    span: Some(value.span()),
                });
                None
            }
        }
    }

    fn report_unknown(&mut self, known: &'static [&'static str]) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let text = key.get_ref().as_ref();
            if known.contains(&text) {
                continue;
            }
            self.problems.push(Problem {
                message: format!("there is no setting `{text}`"),
                help: Some(match nearest(text, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("expected one of {}", known.join(", ")),
                }),
                span: Some(key.span()),
            });
        }
    }
}

fn nearest(text: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(text, candidate);
    let nearest = known
        .iter()
        .copied()
        .min_by_key(|candidate| distance(candidate))?;
    // A third of the letters may be wrong; more is another word.
    (distance(nearest) * 3 <= nearest.len().max(3)).then_some(nearest)
}

/// A string.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("found {}, expected a string", value.type_str()))
}

/// A whole number within bounds.
pub(super) fn unsigned(value: &DeValue<'_>, min: u32, max: u32) -> Result<u32, String> {
    let (found, number) = match value {
        DeValue::Integer(integer) => (
            integer.to_string(),
            u32::from_str_radix(integer.as_str(), integer.radix()).ok(),
        ),
        other => (other.type_str().to_owned(), None),
    };
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("found {found}, expected a whole number from {min} to {max}"))
}
