//! Ports of a grant.

use std::fmt;
use std::str::FromStr;

/// A number, a range, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `*`.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// One port.
    #[must_use]
    pub fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// Whether the port is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Whether all of the other's ports are among them.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!(
                "the port range {first}-{last} is empty; write {last}-{first}"
            ));
        }
        Ok(Self { first, last })
    }
}

fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| digits && *port > 0)
        .ok_or_else(|| format!("{text:?} is not a port; expected a number from 1 to 65535, a range a-b or *"))
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            f.write_str("*")
        } else if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_both_ends() {
        let range: PortRange = "80-90".parse().unwrap();
        assert!(range.contains(80) && range.contains(90));
        assert!(!range.contains(79) && !range.contains(91));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "", "0", "65536", "+80", "-80", "80-", "90-80", "a", "80,81", " 80",
        ] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
