//! Small pieces of HTML that many pages have. They are made of words of ours and of numbers only; what comes from
//! outside is in templates, which escape it.

use std::borrow::Borrow;

use super::words;
use crate::clock::UnixMs;
use crate::store::views::fleet::Counts;
use crate::store::views::freshness::State;

/// HTML that a template takes as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markup(String);

impl std::fmt::Display for Markup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

impl askama::FastWritable for Markup {
    fn write_into(&self, dest: &mut dyn std::fmt::Write, _: &dyn askama::Values) -> askama::Result<()> {
        Ok(dest.write_str(&self.0)?)
    }
}

/// A time, however many references templates put before it.
pub trait Moment: Copy {
    /// The time.
    fn unix_ms(self) -> UnixMs;
}

impl Moment for UnixMs {
    fn unix_ms(self) -> UnixMs {
        self
    }
}

impl<M: Moment> Moment for &M {
    fn unix_ms(self) -> UnixMs {
        (*self).unix_ms()
    }
}

/// A state's word for people.
#[must_use]
pub const fn label(state: State) -> &'static str {
    match state {
        State::Ok => "OK",
        State::Warning => "Warning",
        State::Critical => "Critical",
        State::Unknown => "Unknown",
        State::Stale => "Stale",
    }
}

/// An icon of the page's sprite.
#[must_use]
pub fn icon(name: &'static str) -> Markup {
    Markup(format!(
        r##"<svg class="i" aria-hidden="true"><use href="#i-{name}"/></svg>"##
    ))
}

/// A state as shape, word and colour.
#[must_use]
pub fn state(state: impl Borrow<State>) -> Markup {
    let state = *state.borrow();
    let (word, label) = (state.as_str(), label(state));
    Markup(format!(
        r#"<span class="state is-{word}">{}{label}</span>"#,
        icon(word)
    ))
}

/// The same as a badge.
#[must_use]
pub fn pill(state: impl Borrow<State>) -> Markup {
    let state = *state.borrow();
    let (word, label) = (state.as_str(), label(state));
    Markup(format!(
        r#"<span class="state pill is-{word}">{}{label}</span>"#,
        icon(word)
    ))
}

/// A state's shape and colour with another word of ours: a gateway's or a job's state.
#[must_use]
pub fn badge(state: impl Borrow<State>, word: impl Borrow<&'static str>) -> Markup {
    let word = *word.borrow();
    let name = state.borrow().as_str();
    Markup(format!(
        r#"<span class="state pill is-{name}">{}{word}</span>"#,
        icon(name)
    ))
}

/// Shape and number for each state that any check is in.
#[must_use]
pub fn counts(counts: &Counts) -> Markup {
    if counts.total() == 0 {
        return Markup(r#"<span class="muted">no checks yet</span>"#.to_owned());
    }
    let mut html = r#"<span class="counts">"#.to_owned();
    for state in State::ALL.into_iter().filter(|state| counts.of(*state) > 0) {
        let (word, n) = (state.as_str(), counts.of(state));
        html.push_str(&format!(
            r#"<span class="is-{word}" title="{n} {word}">{}{n}<span class="visually-hidden"> {word}</span></span>"#,
            icon(word)
        ));
    }
    html.push_str("</span>");
    Markup(html)
}

/// A time as its distance from now; the page keeps it up to date.
#[must_use]
pub fn ago(at: impl Moment, now: impl Moment) -> Markup {
    let (at, now) = (at.unix_ms(), now.unix_ms());
    let stamp = words::timestamp(at);
    Markup(format!(
        r#"<time class="nowrap num" data-at="{at}" datetime="{stamp}" title="{stamp}">{}</time>"#,
        words::ago(at, now)
    ))
}

/// As [`ago`], or a dash.
#[must_use]
pub fn maybe_ago(at: &Option<UnixMs>, now: impl Moment) -> Markup {
    at.map_or_else(|| Markup("–".to_owned()), |at| ago(at, now))
}

/// How long something has lasted; the page keeps it up to date.
#[must_use]
pub fn lasting(since: impl Moment, now: impl Moment) -> Markup {
    let (since, now) = (since.unix_ms(), now.unix_ms());
    let stamp = words::timestamp(since);
    let words = words::coarse(now.saturating_sub(since).max(0));
    Markup(format!(
        r#"<time class="nowrap num" data-since="{since}" datetime="{stamp}" title="since {stamp}">{words}</time>"#
    ))
}

/// A moment.
#[must_use]
pub fn at(at: impl Moment) -> Markup {
    let at = at.unix_ms();
    let stamp = words::timestamp(at);
    let text = stamp.replace('T', " ").replace('Z', "");
    Markup(format!(
        r#"<time class="nowrap num" datetime="{stamp}" title="{stamp}">{text}</time>"#
    ))
}
