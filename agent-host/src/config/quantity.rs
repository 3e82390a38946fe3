//! Sizes, times and addresses as people write them: `256 MiB`, `10s`, `1m30s`, `0.0.0.0:7443`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// Why a text is no size, time or address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Not a time.
    #[error("`{0}` is not a time; expected a number with a unit: `500ms`, `30s`, `5m`, `1h`")]
    Period(String),
    /// Not an address.
    #[error("`{0}` is not an address; expected an IP address and a port, ADDRESS:PORT")]
    Address(String),
    /// Not a size.
    #[error("`{0}` is not a size; expected a number with a unit: `64 MiB`, `512 KiB`, `1 GiB`")]
    Size(String),
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| QuantityError::Period(text.to_owned()))
    }
}

/// An address to listen on. The standard library only says that its syntax is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| QuantityError::Address(text.to_owned()))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || QuantityError::Size(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let factor: u64 = match unit.trim() {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(refuse()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(refuse)
    }
}

/// Bytes for people: `256 MiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    for (factor, unit) in [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= factor {
            if bytes.is_multiple_of(factor) {
                return format!("{} {unit}", bytes / factor);
            }
            let tenths = u128::from(bytes) * 10 / u128::from(factor);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!("256 MiB".parse(), Ok(Size(256 << 20)));
        assert_eq!("1GiB".parse(), Ok(Size(1 << 30)));
        for text in [
            "256",
            "MiB",
            "",
            "-1 MiB",
            "1.5 MiB",
            "1 mib",
            "99999999999999999999 B",
            "20000000000 GiB",
        ] {
            assert_eq!(
                text.parse::<Size>(),
                Err(QuantityError::Size(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!("1m30s".parse(), Ok(Period(Duration::from_secs(90))));
        assert!("30".parse::<Period>().is_err());
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_fits() {
        assert_eq!(show_size(256 << 20), "256 MiB");
        assert_eq!(show_size(1536), "1.5 KiB");
        assert_eq!(show_size(12), "12 B");
    }
}
