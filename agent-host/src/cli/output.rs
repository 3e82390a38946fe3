//! Data on stdout, as a table or as JSON.

use std::io::{self, Write};

use serde::Serialize;

/// Writes a line.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref().as_bytes())?;
    out.write_all(b"\n")
}

/// Writes JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string_pretty(value).map_err(io::Error::other)?)
}

/// Writes rows under headings, each column as wide as it must be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(headings.get(column).map(|heading| heading.len()))
            .max()
            .unwrap_or(0)
    };
    let show = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(
                ' ',
                width(column).saturating_sub(cell.chars().count()) + 2,
            ));
        }
        line(text.trim_end())
    };
    show(&mut headings.iter().copied())?;
    for row in rows {
        show(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

/// A time for people, in UTC.
pub(crate) fn time(unix_ms: i64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    humantime::format_rfc3339_seconds(at).to_string()
}
