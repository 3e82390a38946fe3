//! What a command prints, read as the Nagios plugin development guidelines have it (§2 plugin output, §2.6 performance
//! data): pure, total, and never beyond the limits of the contract.
//!
//! ```text
//! TEXT | PERFDATA
//! LONG TEXT
//! LONG TEXT | PERFDATA
//! PERFDATA
//! ```
//!
//! Nothing is lost in silence: what can't be read as performance data stands in the report's details as it was printed,
//! with the reason, and the rest is used.
//!
//! * `perfdata`: `label=value[unit];[warning];[critical];[min];[max]` as typed metrics.
//! * `range`: which texts are alert ranges.
//! * [`unit`]: units of performance data and those of the contract.
//! * `word`: the status that a line begins with.
//! * `notes`: what is said about the output itself, within bounds.

mod notes;
mod perfdata;
mod range;
#[cfg(test)]
mod tests;
pub mod unit;
mod word;

use std::fmt;

use crate::report::limits::{DETAILS, SUMMARY};
use crate::report::{Report, Status};
use notes::{Notes, shortened};
use perfdata::Metrics;

pub use word::leading_status;

/// Bytes of standard output that are read. Nagios itself reads 8 KiB.
pub const MAX_OUTPUT: usize = 64 << 10;

/// The label of a metric that keeps what performance data called it, where a metric can't be named so.
pub const ORIGINAL_LABEL: &str = "nagios-label";

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With a code; a plain return from `main` is code 0.
    Code(u8),
    /// As failed, without a code: all that `wasi:cli/exit` 0.2.0 can say.
    Failed,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "with code {code}"),
            Self::Failed => f.write_str("as failed, without a code"),
        }
    }
}

/// A command that printed nothing said nothing, whatever its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command printed nothing and ended {0}; expected a line such as `OK: all is well | time=3ms`")]
pub struct NoOutput(pub Exit);

/// Reads what a command printed. The report is within the contract's limits.
///
/// | exit | status |
/// |---|---|
/// | code 0, 1, 2, 3 | ok, warning, critical, unknown; whatever the line says |
/// | another code | unknown |
/// | failed without a code | the status word that the line begins with; unknown where that is `OK` or there is none |
///
/// # Errors
/// There is nothing to read.
pub fn parse(stdout: &[u8], exit: Exit) -> Result<Report, NoOutput> {
    let mut notes = Notes::default();
    let text = decoded(stdout, &mut notes);
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    let first = lines.next().ok_or(NoOutput(exit))?;
    let mut metrics = Metrics::default();
    let (said, data) = parts(first);
    metrics.read(data.unwrap_or_default(), &mut notes);
    let said = said.trim();
    let long = long_text(lines, &mut metrics, &mut notes);
    let status = verdict(said, exit, &mut notes);
    let summary = if said.is_empty() {
        "the command printed performance data, and no text"
    } else {
        said
    };
    let whole = shortened(summary, SUMMARY);
    // A line that is too long for a summary is in the details from its beginning.
    let kept = if whole.len() == summary.len() {
        long
    } else {
        format!("{summary}\n{long}")
    };
    Ok(Report {
        status,
        summary: whole.into_owned(),
        details: notes.below(kept.trim_end(), DETAILS),
        metrics: metrics.finish(),
        labels: Vec::new(),
        evidence: Vec::new(),
        extra: Vec::new(),
    })
}

/// The text, without what terminals and logs would stumble over.
fn decoded(stdout: &[u8], notes: &mut Notes) -> String {
    let read = if stdout.len() > MAX_OUTPUT {
        notes.add(&format!(
            "the command printed more than {MAX_OUTPUT} bytes, the rest wasn't read"
        ));
        let read = &stdout[..MAX_OUTPUT];
        // Half a number would be a wrong one.
        let whole = read.iter().rposition(u8::is_ascii_whitespace);
        &read[..whole.unwrap_or(read.len())]
    } else {
        stdout
    };
    let text = String::from_utf8_lossy(read);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        notes.add("bytes that aren't UTF-8 were replaced");
    }
    let plain = |char: char| {
        if char.is_control() && char != '\n' {
            ' '
        } else {
            char
        }
    };
    text.replace("\r\n", "\n").chars().map(plain).collect()
}

/// Text and performance data of one line.
fn parts(line: &str) -> (&str, Option<&str>) {
    match line.split_once('|') {
        Some((text, data)) => (text, Some(data)),
        None => (line, None),
    }
}

/// The lines after the first: text up to a bar, performance data from there to the end.
fn long_text<'a>(lines: impl Iterator<Item = &'a str>, metrics: &mut Metrics, notes: &mut Notes) -> String {
    let mut long = String::new();
    let mut in_perfdata = false;
    for line in lines {
        if in_perfdata {
            metrics.read(line, notes);
            continue;
        }
        let (text, data) = parts(line);
        long.push_str(text.trim_end());
        long.push('\n');
        if let Some(data) = data {
            in_perfdata = true;
            metrics.read(data, notes);
        }
    }
    long
}

fn verdict(line: &str, exit: Exit, notes: &mut Notes) -> Status {
    let word = leading_status(line);
    let of_code = match exit {
        Exit::Code(0) => Status::Ok,
        Exit::Code(1) => Status::Warning,
        Exit::Code(2) => Status::Critical,
        Exit::Code(3) => Status::Unknown,
        Exit::Code(code) => {
            notes.add(&format!(
                "the command ended with code {code}; a plugin ends with 0, 1, 2 or 3"
            ));
            return Status::Unknown;
        }
        Exit::Failed => {
            return match word {
                Some(Status::Ok) => {
                    notes.add("the line says OK, and the command ended as failed: that counts");
                    Status::Unknown
                }
                Some(status) => status,
                None => {
                    notes.add("the command ended as failed without a code, and its line doesn't begin with WARNING, CRITICAL or \
                         UNKNOWN");
                    Status::Unknown
                }
            };
        }
    };
    if let Some(word) = word
        && word != of_code
    {
        notes.add(&format!(
            "the line says {}, and the command ended {exit}: the code counts",
            word::printed(word)
        ));
    }
    of_code
}
