//! Names that people choose. Checked here and nowhere else, so that every part accepts exactly the same ones.
//!
//! The alphabet is that of a DNS label: a name can stand in a SPIFFE trust domain, in a path, in a file name and on a
//! command line without being quoted or folded.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a text isn't a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("{kind} `{text}` has {found} characters; expected {min} to {max}")]
    Length {
        /// What was being named.
        kind: &'static str,
        /// The refused text, shortened.
        text: String,
        /// How many characters it has.
        found: usize,
        /// The least that is allowed.
        min: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A character outside `a-z`, `0-9` and `-`.
    #[error("{kind} `{text}` contains {found:?}; only a-z, 0-9 and `-` are allowed")]
    Character {
        /// What was being named.
        kind: &'static str,
        /// The refused text, shortened.
        text: String,
        /// The first character that isn't allowed.
        found: char,
    },
    /// A hyphen at an end.
    #[error("{kind} `{text}` begins or ends with `-`; begin and end it with a letter or a digit")]
    Hyphen {
        /// What was being named.
        kind: &'static str,
        /// The refused text.
        text: String,
    },
}

fn check(kind: &'static str, text: &str, min: usize, max: usize) -> Result<(), NameError> {
    let shortened = || {
        text.chars()
            .take(80)
            .flat_map(char::escape_default)
            .collect::<String>()
    };
    let found = text.chars().count();
    if !(min..=max).contains(&found) {
        return Err(NameError::Length {
            kind,
            text: shortened(),
            found,
            min,
            max,
        });
    }
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(found) = text.chars().find(|&c| !is_allowed(c)) {
        return Err(NameError::Character {
            kind,
            text: shortened(),
            found,
        });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Hyphen {
            kind,
            text: shortened(),
        });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $min:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($kind, text, $min, $max)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A tenant's short name, the first label of its trust domain: 3 to 40 characters.
    TenantSlug, "tenant", 3, 40
);
name!(
    /// An agent's name, unique in its tenant: 1 to 40 characters.
    AgentName, "agent name", 1, 40
);
name!(
    /// A gateway's name: 1 to 40 characters.
    GatewayName, "gateway name", 1, 40
);
name!(
    /// A platform node's name: 1 to 40 characters.
    NodeName, "node name", 1, 40
);
name!(
    /// A check's name, unique on its agent: 1 to 64 characters.
    CheckName, "check name", 1, 64
);
name!(
    /// A checker's name, as it describes itself: 1 to 64 characters.
    CheckerName, "checker name", 1, 64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_letters_digits_and_inner_hyphens() {
        for text in ["a", "0", "berlin-1", "a--b", "9lives"] {
            assert_eq!(text.parse::<AgentName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_every_character_outside_the_alphabet() {
        for text in [
            "Acme", "ac_me", "ac.me", "ac/me", "ac me", "acmé", "acme\n", "\nacme", "ac\0me", "ac%6de",
        ] {
            let refused = text.parse::<TenantSlug>();
            assert!(
                matches!(refused, Err(NameError::Character { .. })),
                "{text:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn refuses_a_hyphen_at_either_end() {
        for text in ["-acme", "acme-", "---"] {
            assert!(
                matches!(text.parse::<TenantSlug>(), Err(NameError::Hyphen { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn holds_the_bounds_of_each_kind() {
        assert!("ab".parse::<TenantSlug>().is_err());
        assert!("abc".parse::<TenantSlug>().is_ok());
        assert!("a".repeat(40).parse::<TenantSlug>().is_ok());
        assert!("a".repeat(41).parse::<TenantSlug>().is_err());
        assert!("".parse::<AgentName>().is_err());
        assert!("a".repeat(41).parse::<AgentName>().is_err());
        assert!("a".repeat(41).parse::<GatewayName>().is_err());
        assert!("a".repeat(41).parse::<NodeName>().is_err());
        assert!("a".repeat(64).parse::<CheckName>().is_ok());
        assert!("a".repeat(65).parse::<CheckName>().is_err());
        assert!("a".repeat(65).parse::<CheckerName>().is_err());
    }
}
