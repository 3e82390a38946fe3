//! Data to stdout, and words for people to stderr.

use std::io::Write as _;
use std::path::Path;

use super::CliError;
use super::arguments::Format;

/// Writes a text and a line end.
///
/// # Errors
/// [`CliError::Output`].
pub fn line(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(CliError::Output)
}

/// Writes what a person has to know, and no program reads, to standard error.
///
/// # Errors
/// [`CliError::Output`].
pub fn note(text: &str) -> Result<(), CliError> {
    writeln!(std::io::stderr().lock(), "{text}").map_err(CliError::Output)
}

/// Writes rows: a table with a head, or `{"items": [..]}` with the head's names as keys. What is a number or absent in
/// JSON is so there too.
///
/// # Errors
/// [`CliError::Output`].
pub fn rows(format: Format, head: &[&str], rows: &[Vec<serde_json::Value>]) -> Result<(), CliError> {
    match format {
        Format::Json => {
            let items: Vec<serde_json::Value> = rows
                .iter()
                .map(|row| {
                    head.iter()
                        .map(|name| (*name).to_owned())
                        .zip(row.iter().cloned())
                        .collect()
                })
                .map(serde_json::Value::Object)
                .collect();
            line(&serde_json::json!({ "items": items }).to_string())
        }
        Format::Table => line(table(head, rows).trim_end()),
    }
}

fn table(head: &[&str], rows: &[Vec<serde_json::Value>]) -> String {
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if text.is_empty() => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|name| name.to_uppercase()).collect()];
    lines.extend(rows.iter().map(|row| row.iter().map(cell).collect()));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|text| text.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A time of the database as people and programs read it (RFC 3339, UTC).
#[must_use]
pub fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    )
}

/// Writes a file whole or not at all: whoever waits for it may read it at once.
///
/// # Errors
/// [`CliError::File`].
pub fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    replace_with_mode(path, text, 0o666)
}

/// As [`replace`], for a file that only its owner may read.
///
/// # Errors
/// [`CliError::File`].
pub fn replace_secret(path: &Path, text: &str) -> Result<(), CliError> {
    replace_with_mode(path, text, 0o600)
}

fn replace_with_mode(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        // New, so that it has this mode, and is no link to elsewhere.
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&temporary, path)
    };
    let written = write();
    written.map_err(|source| {
        // What was half written is worth nothing, and an error in removing it would hide the real one.
        let _ignored = std::fs::remove_file(&temporary);
        CliError::File {
            action: "write",
            path: path.to_owned(),
            source,
        }
    })
}

/// Whether a file can be written later: its folder takes a file now. Asked before something is done that the file is to
/// tell about.
///
/// # Errors
/// [`CliError::File`].
pub fn require_writable(path: &Path) -> Result<(), CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.try", std::process::id()));
    let attempt = path.with_file_name(name);
    std::fs::write(&attempt, "")
        .and_then(|()| std::fs::remove_file(&attempt))
        .map_err(|source| CliError::File {
            action: "write",
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_what_is_absent_is_a_dash() {
        let rows = [
            vec!["acme".into(), serde_json::Value::Null],
            vec!["b".into(), 12.into()],
        ];
        assert_eq!(table(&["slug", "n"], &rows), "SLUG  N\nacme  -\nb     12\n");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
    }
}
