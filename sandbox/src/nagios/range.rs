//! Which texts are alert ranges ("Threshold and Ranges" of the guidelines): `10`, `10:`, `~:10`, `10:20`, `@10:20`. The
//! rules are those of `picket-checker-sdk`, which judges by ranges; a host only carries them.

/// Says whether a text is an alert range.
///
/// # Errors
/// Why it isn't.
pub(super) fn check(range: &str) -> Result<(), String> {
    let bounds = range.strip_prefix('@').unwrap_or(range);
    if bounds.is_empty() {
        return Err(format!(
            "expected an alert range such as 90 or 10:20, found {range:?}"
        ));
    }
    let (start, end) = match bounds.split_once(':') {
        None => (0.0, number(bounds)?),
        Some((start, end)) => {
            let start = match start {
                "" => 0.0,
                "~" => f64::NEG_INFINITY,
                bound => number(bound)?,
            };
            let end = if end.is_empty() {
                f64::INFINITY
            } else {
                number(end)?
            };
            (start, end)
        }
    };
    if start > end {
        return Err(format!("the alert range {range} starts above its end"));
    }
    Ok(())
}

fn number(bound: &str) -> Result<f64, String> {
    let found = bound.parse::<f64>().ok().filter(|number| number.is_finite());
    found.ok_or_else(|| format!("expected a number in an alert range, found {bound:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_guidelines_pass() {
        for range in [
            "10", "10:", "~:10", "10:20", "@10:20", ":10", "-5:-1", "@~:", "0.5:1e3", "~:",
        ] {
            assert_eq!(check(range), Ok(()), "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_as_the_sdk_does() {
        for range in [
            "", "@", "ten", "1:2:3", "20:10", "inf", "nan:", "~", "10%", "1 : 2", "1,5",
        ] {
            assert!(check(range).is_err(), "{range}");
        }
    }
}
