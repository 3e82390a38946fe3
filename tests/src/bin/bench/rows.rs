//! What was measured, as a table or as JSON.

use serde_json::json;

/// One figure of ours beside one of a peer, or beside a limit that we set ourselves.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) peer_name: &'static str,
    pub(crate) peer: f64,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours / self.peer
    }
}

/// One line: `{"rows":[{"what","unit","ours","peer_name","peer","ratio"}]}`.
pub(crate) fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({"what": row.what, "unit": row.unit, "ours": row.ours, "peer_name": row.peer_name, "peer": row.peer,
                   "ratio": row.ratio()})
        })
        .collect();
    json!({ "rows": rows }).to_string()
}

/// A table for people.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:<52} {:>12} {:<14} {:>12} {:>8}  BESIDE",
        "WHAT", "OURS", "UNIT", "PEER", "RATIO"
    );
    for row in rows {
        println!(
            "{:<52} {:>12.2} {:<14} {:>12.2} {:>8.3}  {}",
            row.what,
            row.ours,
            row.unit,
            row.peer,
            row.ratio(),
            row.peer_name
        );
    }
}

/// The median of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
