//! `label=value[unit];[warning];[critical];[min];[max]`, one after another (§2.6).

use std::collections::HashSet;

use super::notes::{Notes, shortened};
use super::{ORIGINAL_LABEL, range, unit};
use crate::report::Metric;
use crate::report::limits::{METRIC_NAME, METRICS, SHORT, SUMMARY};

/// How much of what can't be read a note shows.
const SHOWN: usize = 160;

/// The metrics of one output.
#[derive(Default)]
pub(super) struct Metrics {
    found: Vec<Metric>,
    /// Name and original label: what tells metrics apart here.
    seen: HashSet<(String, Option<String>)>,
}

impl Metrics {
    /// Reads one line of performance data.
    pub(super) fn read(&mut self, line: &str, notes: &mut Notes) {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let item = Item::first(rest);
            rest = rest[item.text.len()..].trim_start();
            if let Err(reason) = self.add(&item, notes) {
                let text = shortened(item.text, SHOWN);
                notes.add(&format!("performance data that can't be used: {text} ({reason})"));
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Metric> {
        self.found
    }

    fn add(&mut self, item: &Item<'_>, notes: &mut Notes) -> Result<(), String> {
        let (label, values) = item.parts.as_ref().map_err(|reason| (*reason).to_owned())?;
        let metric = metric(label, values, notes)?;
        if self.found.len() == METRICS {
            return Err(format!("at most {METRICS} metrics are kept"));
        }
        let original = metric.labels.first().map(|(_, value)| value.clone());
        if !self.seen.insert((metric.name.clone(), original)) {
            return Err("the label occurs twice, the first one counts".to_owned());
        }
        self.found.push(metric);
        Ok(())
    }
}

/// One of them, as it was printed.
struct Item<'a> {
    text: &'a str,
    /// The label without its quotes, and what follows the equals sign.
    parts: Result<(String, &'a str), &'static str>,
}

impl<'a> Item<'a> {
    /// The first one of a text that begins with one.
    fn first(text: &'a str) -> Self {
        let is_quoted = text.starts_with('\'');
        let (label, behind) = quoted(text).unwrap_or_else(|| {
            let ends = |char: char| char.is_whitespace() || (char == '=' && !is_quoted);
            let (label, behind) = text.split_at(text.find(ends).unwrap_or(text.len()));
            (label.to_owned(), behind)
        });
        let length = text.len() - behind.len();
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        let parts = match behind[..end].strip_prefix('=') {
            Some(_) if label.trim().is_empty() => Err("it has no label"),
            Some(values) => Ok((label, values)),
            None if is_quoted => Err("expected a closing quote and an equals sign"),
            None => Err("expected label=value"),
        };
        Self {
            text: &text[..length + end],
            parts,
        }
    }
}

/// A label in single quotes, where two stand for one, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut label = String::new();
    loop {
        let (part, behind) = rest.split_once('\'')?;
        label.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return Some((label, behind)),
        }
    }
}

fn metric(label: &str, values: &str, notes: &mut Notes) -> Result<Metric, String> {
    let mut fields = values.split(';');
    let value = fields.next().unwrap_or_default();
    if value == "U" {
        return Err("the command couldn't tell the value".to_owned());
    }
    let (value, unit) = number(value).ok_or("expected a number")?;
    if unit.starts_with(',') {
        return Err("a decimal comma could as well separate thousands; print a point".to_owned());
    }
    if !unit::is_plain(unit) {
        return Err(format!("{unit:?} is no unit"));
    }
    let mut odd = |what: &str, reason: String| {
        let label = shortened(label, SHOWN);
        notes.add(&format!(
            "{what} of {label} is left out: {}",
            shortened(&reason, SHOWN)
        ));
    };
    let mut next = || fields.next().map(str::trim).filter(|text| !text.is_empty());
    let mut ranges = [None, None];
    for (slot, what) in ranges.iter_mut().zip(["the warning range", "the critical range"]) {
        let Some(text) = next() else { continue };
        match range::check(text) {
            Ok(()) if text.len() <= SHORT => *slot = Some(text.to_owned()),
            Ok(()) => odd(what, format!("it has more than {SHORT} bytes")),
            Err(reason) => odd(what, reason),
        }
    }
    let mut ends = [None, None];
    for (slot, what) in ends.iter_mut().zip(["the minimum", "the maximum"]) {
        let Some(text) = next() else { continue };
        match number(text) {
            Some((number, "")) => *slot = Some(number),
            _ => odd(what, format!("expected a number, found {text:?}")),
        }
    }
    if next().is_some() {
        odd("what follows the maximum", "nothing is expected there".to_owned());
    }
    let [warning, critical] = ranges;
    let [min, max] = ends;
    let (name, labels) = named(label);
    Ok(Metric {
        name,
        value,
        unit: unit::of_perfdata(unit).into_owned(),
        counter: unit == "c",
        warning,
        critical,
        min,
        max,
        labels,
    })
}

/// A finite number at the beginning of a text, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = |from: usize| {
        let behind = text.get(from..).unwrap_or_default();
        from + behind.bytes().take_while(u8::is_ascii_digit).count()
    };
    let sign = usize::from(text.starts_with(['-', '+']));
    let whole = digits(sign);
    let mut end = whole;
    if text[end..].starts_with('.') {
        end = digits(end + 1);
        if end == whole + 1 && whole == sign {
            return None;
        }
    } else if whole == sign {
        return None;
    }
    // An exponent needs digits: `5e` is five of the unit `e`.
    if text[end..].starts_with(['e', 'E']) {
        let signed = end + 1 + usize::from(text[end + 1..].starts_with(['-', '+']));
        let exponent = digits(signed);
        if exponent > signed {
            end = exponent;
        }
    }
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, &text[end..]))
}

/// A metric's name for a label, and the label itself where the name had to differ.
fn named(label: &str) -> (String, Vec<(String, String)>) {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "_.:/-".contains(char);
    let name: String = label
        .chars()
        .map(|char| if allowed(char) { char } else { '_' })
        .take(METRIC_NAME)
        .collect();
    let labels = if name == label {
        Vec::new()
    } else {
        let original = shortened(label, SUMMARY).into_owned();
        vec![(ORIGINAL_LABEL.to_owned(), original)]
    };
    (name, labels)
}
