//! Reads one TOML table key by key, and keeps every problem instead of stopping at the first.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Source};
use super::quantity;

/// The problems of one file, as they are found.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    source: &'a Source,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self {
            source,
            problems: RefCell::default(),
        }
    }

    pub(crate) fn add(&self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.push(Problem::new(self.source, span, message, label));
    }

    pub(crate) fn add_with_help(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Problem::new(self.source, span, message, label).with_help(help));
    }

    /// What the TOML parser refuses.
    pub(crate) fn add_syntax(&self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        self.add(span, format!("this is not TOML: {}", error.message()), "here");
    }

    fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// The problem that was found as number `index`, in one line.
    pub(crate) fn sentence(&self, index: usize) -> String {
        self.problems
            .borrow()
            .get(index)
            .map(Problem::sentence)
            .unwrap_or_default()
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(Problem::start);
        problems
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// One table, with the keys that were asked for so far: what is left over at [`Section::finish`] is unknown.
pub(crate) struct Section<'a> {
    findings: &'a Findings<'a>,
    table: &'a DeTable<'a>,
    /// Where the table stands: for what it lacks.
    span: Range<usize>,
    /// As in `check.web`; empty for the document.
    name: String,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        findings: &'a Findings<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        name: String,
    ) -> Self {
        Self {
            findings,
            table,
            span,
            name,
            known: Vec::new(),
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table
            .iter()
            .find(|(k, _)| k.get_ref() == key)
            .map(|(_, value)| value)
    }

    fn label(&self, key: &str) -> String {
        if self.name.is_empty() {
            format!("`{key}`")
        } else {
            format!("`{key}` of [{}]", self.name)
        }
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str, example: &str) {
        self.findings.add_with_help(
            value.span(),
            format!(
                "{} is {} {}; expected {expected}",
                self.label(key),
                article(value),
                value.get_ref().type_str()
            ),
            format!("expected {expected}"),
            format!("write it like `{key} = {example}`"),
        );
    }

    pub(crate) fn text(&mut self, key: &'static str, example: &str) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a text in quotes", &format!("\"{example}\""));
            return None;
        };
        Some(At {
            value: text,
            span: value.span(),
        })
    }

    /// A text that is something more; `example` is one that would do.
    pub(crate) fn parsed<T>(&mut self, key: &'static str, example: &str) -> Option<At<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(key, example)?;
        match text.value.parse() {
            Ok(value) => Some(At {
                value,
                span: text.span,
            }),
            Err(error) => {
                self.findings.add_with_help(
                    text.span,
                    format!("{}: {error}", self.label(key)),
                    "not accepted",
                    format!("write it like `{key} = \"{example}\"`"),
                );
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, key: &'static str, example: &str) -> Option<At<Duration>> {
        self.parsed::<quantity::Period>(key, example).map(|at| At {
            value: at.value.0,
            span: at.span,
        })
    }

    pub(crate) fn size(&mut self, key: &'static str, example: &str) -> Option<At<u64>> {
        self.parsed::<quantity::Size>(key, example).map(|at| At {
            value: at.value.0,
            span: at.span,
        })
    }

    pub(crate) fn address(&mut self, key: &'static str, example: &str) -> Option<At<SocketAddr>> {
        self.parsed::<quantity::ListenAddress>(key, example).map(|at| At {
            value: at.value.0,
            span: at.span,
        })
    }

    pub(crate) fn whole_number(&mut self, key: &'static str, range: Range<u64>) -> Option<At<u64>> {
        let value = self.get(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number", &range.start.to_string());
            return None;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(At {
                value: number,
                span: value.span(),
            }),
            _ => {
                self.findings.add(
                    value.span(),
                    format!(
                        "{} is {integer}; expected {} to {}",
                        self.label(key),
                        range.start,
                        range.end - 1
                    ),
                    "out of range",
                );
                None
            }
        }
    }

    pub(crate) fn texts(&mut self, key: &'static str, example: &str) -> Vec<At<&'a str>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let example = format!("[\"{example}\"]");
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts", &example);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At {
                    value: text,
                    span: item.span(),
                }),
                None => self.wrong_type(key, item, "a text in quotes", &example),
            }
        }
        texts
    }

    pub(crate) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let table = self.table_value(key)?;
        let name = if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        };
        Some(Section::new(self.findings, table.value, table.span, name))
    }

    /// An array of tables, as `[[signatures.publisher]]` writes one.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let name = if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        };
        let items = value.get_ref().as_array().map(|array| array.iter().collect());
        let items: Vec<_> = items.unwrap_or_else(|| vec![value]);
        let is_array = value.get_ref().as_array().is_some();
        let mut sections = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) if is_array => {
                    sections.push(Section::new(self.findings, table, item.span(), name.clone()));
                }
                _ => self.findings.add_with_help(
                    item.span(),
                    format!(
                        "{} is {} {}; expected a list of tables",
                        self.label(key),
                        article(item),
                        item.get_ref().type_str()
                    ),
                    "expected a list of tables",
                    format!("write each one like `[[{name}]]`"),
                ),
            }
        }
        sections
    }

    pub(crate) fn table_value(&mut self, key: &'static str) -> Option<At<&'a DeTable<'a>>> {
        let value = self.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            let header = if self.name.is_empty() {
                key.to_owned()
            } else {
                format!("{}.{key}", self.name)
            };
            self.findings.add_with_help(
                value.span(),
                format!(
                    "{} is {} {}; expected a table",
                    self.label(key),
                    article(value),
                    value.get_ref().type_str()
                ),
                "expected a table",
                format!("write it like `[{header}]`"),
            );
            return None;
        };
        Some(At {
            value: table,
            span: value.span(),
        })
    }

    /// Says that `key`, which must be there, isn't.
    pub(crate) fn missing(&self, key: &str, example: &str) {
        if self.has(key) {
            return;
        }
        self.add_here(
            format!("{} is missing", self.label(key)),
            format!("add `{key} = {example}`"),
        );
    }

    /// Whether the key is there, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(k, _)| k.get_ref() == key)
    }

    /// Says what is wrong with the table as a whole.
    pub(crate) fn add_here(&self, message: impl Into<String>, help: impl Into<String>) {
        self.findings
            .add_with_help(self.span.clone(), message, "here", help);
    }

    pub(crate) fn findings(&self) -> &'a Findings<'a> {
        self.findings
    }

    /// Refuses every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in self.table.iter() {
            if self.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let help = match nearest(key.get_ref(), self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", list(&self.known)),
            };
            self.findings.add_with_help(
                key.span(),
                format!("there is no setting {}", self.label(key.get_ref())),
                "unknown key",
                help,
            );
        }
    }
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        // A third of the letters may be wrong: more is another word.
        .filter(|&(distance, candidate)| distance <= candidate.len().max(word.len()) / 3)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn list(keys: &[&str]) -> String {
    keys.iter()
        .map(|key| format!("`{key}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn article(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::Integer(_) | DeValue::Array(_) => "an",
        _ => "a",
    }
}
