//! What comes next for an authority: a function of its state, of who stands in the way, and of the time.
//!
//! ```text
//! prepared ──activate──▶ active ──taint──▶ retiring ──revoke──▶ revoked
//! trusted, issues        trusted, issues   trusted, issues      not trusted
//! nothing                                  nothing
//! ```
//!
//! Everybody who verifies what an authority issues knows it before it issues anything, and whoever has something of the old
//! one has something of the new one before the old one goes: so nobody is ever cut off.

use std::fmt;

use crate::clock::UnixMs;

/// How long the old and the new authority are both active: for so long only what is renewed anyway comes from the new one,
/// and an operator who sees that go wrong can stop before everybody has to renew.
pub const OVERLAP_MS: i64 = 30_000;

/// How many names are said before the rest is counted.
const NAMED: usize = 5;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A prepared one begins to issue.
    Activate,
    /// An active one, whose place another has taken, retires: what it issued is to be renewed now.
    Taint,
    /// It isn't trusted any more.
    Revoke,
}

impl Step {
    /// The word for it, in the audit and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Taint => "taint",
            Self::Revoke => "revoke",
        }
    }
}

/// Where an authority stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Trusted; issues nothing yet.
    Prepared,
    /// Trusted; issues, where it is the newest.
    Active,
    /// Trusted; issues nothing any more.
    Retiring,
    /// Not trusted.
    Revoked,
}

impl State {
    /// Reads the database's word; whatever it doesn't know isn't trusted.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word {
            "prepared" => Self::Prepared,
            "active" => Self::Active,
            "retiring" => Self::Retiring,
            _ => Self::Revoked,
        }
    }
}

/// What is known about an authority and its surroundings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Until when its certificate is valid.
    pub not_after_at: UnixMs,
    /// Since when a newer one of its kind is active; `None` where none is.
    pub successor_since: Option<UnixMs>,
    /// Who has to know it and doesn't: a prepared one itself, otherwise the one that took its place.
    pub behind: Vec<String>,
    /// Who lives by it: whose certificates by it haven't ended and aren't replaced.
    pub holders: Vec<String>,
    /// What else has to come first.
    pub blocked: Option<String>,
}

/// What an authority waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// These don't know it, or its successor, yet.
    Behind(Vec<String>),
    /// These live by it.
    Held(Vec<String>),
    /// The end of the overlap.
    Overlap,
    /// Something else first.
    Blocked(String),
    /// Nothing has taken its place.
    NoSuccessor,
}

impl Reason {
    /// Whether an operator may go on all the same: at the price of those who are named.
    #[must_use]
    pub const fn can_be_forced(&self) -> bool {
        match self {
            Self::Behind(_) | Self::Held(_) | Self::Overlap => true,
            Self::Blocked(_) | Self::NoSuccessor => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(names) => write!(f, "{} to learn of it: {}", names.len(), named(names)),
            Self::Held(names) => write!(
                f,
                "{} to renew what they have by it: {}",
                names.len(),
                named(names)
            ),
            Self::Overlap => f.write_str("the overlap with its successor to pass"),
            Self::Blocked(what) => f.write_str(what),
            Self::NoSuccessor => {
                f.write_str("another one to take its place; `platform ca rotate` prepares it")
            }
        }
    }
}

fn named(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What is to be done with an authority now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, until an operator says otherwise.
    Stay,
    /// Nothing yet.
    Wait(Vec<Reason>),
    /// This.
    Take(Step),
}

/// Decides.
#[must_use]
pub fn decide(state: State, facts: &Facts, now: UnixMs) -> Decision {
    let Some(step) = next(state, facts) else {
        return Decision::Stay;
    };
    let reasons = in_the_way(state, step, facts, now);
    if reasons.is_empty() {
        Decision::Take(step)
    } else {
        Decision::Wait(reasons)
    }
}

/// The step that comes next by itself, once nothing is in its way.
fn next(state: State, facts: &Facts) -> Option<Step> {
    match state {
        State::Prepared => Some(Step::Activate),
        State::Active => facts.successor_since.map(|_| Step::Taint),
        State::Retiring => Some(Step::Revoke),
        State::Revoked => None,
    }
}

/// Whether an authority in this state can take a step at all. A prepared one can be given up.
#[must_use]
pub const fn can_take(state: State, step: Step) -> bool {
    matches!(
        (state, step),
        (State::Prepared, Step::Activate | Step::Revoke)
            | (State::Active, Step::Taint)
            | (State::Retiring, Step::Revoke)
    )
}

/// What stands in the way of a step; nothing where it may be taken.
#[must_use]
pub fn in_the_way(state: State, step: Step, facts: &Facts, now: UnixMs) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let named = |names: &Vec<String>| (!names.is_empty()).then(|| names.clone());
    match (state, step) {
        (State::Prepared, Step::Activate) => {
            reasons.extend(facts.blocked.clone().map(Reason::Blocked));
            reasons.extend(named(&facts.behind).map(Reason::Behind));
        }
        (State::Active, Step::Taint) => match facts.successor_since {
            None => reasons.push(Reason::NoSuccessor),
            Some(since) if now.saturating_sub(since) < OVERLAP_MS => reasons.push(Reason::Overlap),
            Some(_) => {}
        },
        (State::Retiring, Step::Revoke) => {
            if facts.successor_since.is_none() {
                reasons.push(Reason::NoSuccessor);
            }
            // Nothing by an authority outlives it.
            if facts.not_after_at > now {
                reasons.extend(named(&facts.behind).map(Reason::Behind));
                reasons.extend(named(&facts.holders).map(Reason::Held));
            }
        }
        _ => {}
    }
    reasons
}

#[cfg(test)]
mod tests;
