//! The tables and keys of a TOML file, with their places: what a key may be, what stands there, and what nobody knows.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use miette::NamedSource;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigError, Problem};

/// The least likeness (Jaro–Winkler) of two keys for one to be offered for the other: `trust_domian` is 0.98 like
/// `trust_domain`, unrelated keys stay below 0.7.
const ALIKE: f64 = 0.8;

/// Reads a text with `fields`, which returns `None` where it has reported why.
///
/// # Errors
/// [`ConfigError::Invalid`] with everything that is wrong.
pub fn read<T>(
    text: &str,
    path: &Path,
    fields: impl FnOnce(&mut Table<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let invalid = |mut problems: Vec<Problem>| {
        problems.sort_by_key(|problem| problem.at.start);
        ConfigError::Invalid {
            path: path.to_owned(),
            text: Box::new(NamedSource::new(path.display().to_string(), text.to_owned())),
            problems,
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: toml::de::Error| Problem {
            message: error.message().to_owned(),
            at: error.span().unwrap_or(0..0),
        };
        return Err(invalid(errors.into_iter().map(problem).collect()));
    }
    let mut problems = Vec::new();
    let mut table = Table {
        place: 0..0,
        name: String::new(),
        entries: Some(document.get_ref()),
        known: BTreeSet::new(),
        problems: &mut problems,
    };
    let value = fields(&mut table);
    table.report_unknown();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(invalid(problems)),
    }
}

/// One table of the file. What is asked of it is known; the rest is reported at the end.
#[derive(Debug)]
pub struct Table<'a> {
    place: Range<usize>,
    name: String,
    entries: Option<&'a DeTable<'a>>,
    known: BTreeSet<&'static str>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Table<'a> {
    fn entry(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        self.entries?
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    fn report(&mut self, at: Range<usize>, message: String) {
        self.problems.push(Problem { message, at });
    }

    /// Reports that what stands at a key can't be.
    pub fn refuse(&mut self, key: &'static str, message: &str) {
        let at = self.entry(key).map_or(self.place.clone(), Spanned::span);
        self.report(at, message.to_owned());
    }

    fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = value.get_ref().type_str();
        self.report(value.span(), format!("`{key}` is {expected}; found {found}"));
    }

    /// A text; `None` where it is missing without a default, or no text, which is then reported.
    pub fn text(&mut self, key: &'static str, default: Option<&str>) -> Option<String> {
        match (self.entry(key), default) {
            (Some(value), _) => match value.get_ref().as_str() {
                Some(text) => Some(text.to_owned()),
                None => {
                    self.wrong_type(key, value, "a text");
                    None
                }
            },
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => {
                let place = self.place.clone();
                let within = if self.name.is_empty() {
                    String::new()
                } else {
                    format!(" in [{}]", self.name)
                };
                self.report(place, format!("`{key}` is missing{within}"));
                None
            }
        }
    }

    /// A text that may be left out.
    pub fn optional_text(&mut self, key: &'static str) -> Option<String> {
        self.entry(key)?;
        self.text(key, None)
    }

    /// A text that is read as something.
    pub fn parsed<T>(&mut self, key: &'static str, default: Option<&str>, example: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(key, default)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(
                    key,
                    &format!("`{key}` = {text:?}: {error}; for example {example:?}"),
                );
                None
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str, default: &[&str]) -> Option<Vec<String>> {
        let Some(value) = self.entry(key) else {
            return Some(default.iter().map(|&text| text.to_owned()).collect());
        };
        let texts: Option<Vec<String>> = value.get_ref().as_array().and_then(|array| {
            array
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect()
        });
        if texts.is_none() {
            self.wrong_type(key, value, "a list of texts");
        }
        texts
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str, default: bool) -> Option<bool> {
        let Some(value) = self.entry(key) else {
            return Some(default);
        };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        flag
    }

    /// A number of days, from 1 to 36,500.
    pub fn days(&mut self, key: &'static str, default: u32) -> u32 {
        let Some(value) = self.entry(key) else {
            return default;
        };
        let days = value
            .get_ref()
            .as_integer()
            .and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok());
        match days {
            Some(days @ 1..=36_500) => days,
            _ => {
                self.report(
                    value.span(),
                    format!("`{key}` is a whole number of days from 1 to 36500"),
                );
                default
            }
        }
    }

    /// A table below this one; an empty one where it is missing.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        fields: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.entry(key);
        let entries = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, entries) {
            self.wrong_type(key, value, "a table");
            return None;
        }
        let mut table = Table {
            place: value.map_or(self.place.clone(), Spanned::span),
            name: key.to_owned(),
            entries,
            known: BTreeSet::new(),
            problems: &mut *self.problems,
        };
        let read = fields(&mut table);
        table.report_unknown();
        read
    }

    fn report_unknown(&mut self) {
        for (name, _) in self.entries.into_iter().flatten() {
            let name_text: &str = name.get_ref();
            if self.known.contains(name_text) {
                continue;
            }
            let likeness = |known: &&&'static str| strsim::jaro_winkler(known, name_text);
            let nearest = self
                .known
                .iter()
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let hint = match nearest.filter(|known| likeness(known) >= ALIKE) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!(
                    "known here: {}",
                    self.known.iter().copied().collect::<Vec<_>>().join(", ")
                ),
            };
            self.problems.push(Problem {
                message: format!("nobody knows `{name_text}`; {hint}"),
                at: name.span(),
            });
        }
    }
}
