//! Data on stdout: as a table for people, or as JSON for programs.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::exit::Failed;

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

/// How data is written.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct OutputArgs {
    /// How data on stdout looks.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl OutputArgs {
    /// Writes `data`, as `table` writes it for people.
    pub(super) fn write(self, data: &impl Serialize, table: impl FnOnce() -> String) -> Result<(), Failed> {
        let text = match self.format {
            Format::Table => table(),
            Format::Json => {
                let json = serde_json::to_string_pretty(data);
                json.map_err(|error| not_json(&error))? + "\n"
            }
        };
        line(&text)
    }

    /// The same, with the JSON on one line.
    pub(super) fn write_line(
        self,
        data: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> Result<(), Failed> {
        match self.format {
            Format::Table => line(&table()),
            Format::Json => json_line(data),
        }
    }
}

/// Writes `data` as one line of JSON.
pub(super) fn json_line(data: &impl Serialize) -> Result<(), Failed> {
    let json = serde_json::to_string(data).map_err(|error| not_json(&error))?;
    line(&(json + "\n"))
}

fn not_json(error: &serde_json::Error) -> Failed {
    Failed::misconfigured(format!("the data can't be written as JSON: {error}"))
}

/// Writes text to stdout as it is.
pub(super) fn line(text: &str) -> Result<(), Failed> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        // Whoever read it has read enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failed::unavailable(format!("stdout can't be written: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Rows with their columns aligned.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            let padding = width - cell.chars().count() + 2;
            line.extend(std::iter::repeat_n(' ', padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(columns(&[row("a", "x"), row("long", "")]), "a     x\nlong\n");
    }
}
