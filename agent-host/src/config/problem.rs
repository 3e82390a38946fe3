//! What is wrong in a configuration file: where, in which words, and what to do.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Report, Severity,
    SourceCode,
};

/// A configuration file's text, shared by the problems found in it.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: Arc<str>,
}

impl Source {
    /// A file's text. `path` is only shown.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column, from 1, of a byte offset. Columns count characters.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// One thing that is wrong in one place.
#[derive(Clone, Debug)]
pub struct Problem {
    source: Source,
    span: Range<usize>,
    message: String,
    label: String,
    help: Option<String>,
}

impl Problem {
    /// `message` is the sentence; `label` stands under the marked snippet.
    pub fn new(
        source: &Source,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            source: source.clone(),
            span,
            message: message.into(),
            label: label.into(),
            help: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The file it is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Where it starts in its file, in bytes.
    pub(crate) fn start(&self) -> usize {
        self.span.start
    }

    /// One line for a log or a status: `file:line:column: message (help)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (line, column) = self.source.position(self.span.start);
        let help = self
            .help
            .as_ref()
            .map(|help| format!("; {help}"))
            .unwrap_or_default();
        format!(
            "{}:{line}:{column}: {}{help}",
            self.source.path().display(),
            self.message
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.label.clone()), self.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

/// Everything that is wrong in a configuration, found in one go.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One by one, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things are wrong.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// With snippets, as people see them on a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(110)
            .with_links(false);
        let mut out = String::new();
        for problem in &self.0 {
            let named = NamedSource::new(
                problem.path().display().to_string(),
                problem.source.text().to_owned(),
            );
            if !out.is_empty() {
                out.push('\n');
            }
            let report = Report::new(problem.clone()).with_source_code(AtLeastOneLine(named));
            // Writing to a String can't fail; a snippet that can't be read leaves the sentence.
            if handler.render_report(&mut out, report.as_ref()).is_err() {
                out.push_str(&problem.sentence());
                out.push('\n');
            }
        }
        out
    }
}

/// A source whose spans may stand at its very end, as those of an unfinished document do.
#[derive(Debug)]
struct AtLeastOneLine(NamedSource<String>);

impl SourceCode for AtLeastOneLine {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let end = self.0.inner().len();
        let clamped = (
            span.offset().min(end),
            span.len().min(end.saturating_sub(span.offset())),
        );
        self.0.read_span(&clamped.into(), before, after)
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&problem.sentence())?;
        }
        Ok(())
    }
}

impl Error for Problems {}
