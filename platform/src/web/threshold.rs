//! Nagios ranges, as lines on a plot: `10` alerts outside 0–10, `5:` below 5, `~:10` above 10, `@5:10` inside 5–10.
//! See the Monitoring Plugins development guidelines, "Threshold and ranges".

/// The ends of a range.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Range {
    /// The lower end; `None`: there is none.
    pub low: Option<f64>,
    /// The upper end; `None`: there is none.
    pub high: Option<f64>,
    /// Whether values inside alert, instead of those outside.
    pub inside: bool,
}

/// Reads a range; `None` where it isn't one.
#[must_use]
pub fn parse(text: &str) -> Option<Range> {
    let text = text.trim();
    let (inside, text) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
    let (low, high) = match text.split_once(':') {
        Some(("~", high)) => (None, high),
        Some((low, high)) => (Some(number(low)?), high),
        None => (Some(0.0), text),
    };
    let high = match high {
        "" if text.contains(':') => None,
        high => Some(number(high)?),
    };
    match (low, high) {
        (Some(low), Some(high)) if low > high => None,
        _ => Some(Range { low, high, inside }),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

impl Range {
    /// Where lines are drawn. The implied lower end 0 isn't a threshold that anybody chose.
    #[must_use]
    pub fn lines(&self) -> Vec<f64> {
        let low = self.low.filter(|low| *low != 0.0 || self.inside);
        low.into_iter().chain(self.high).collect()
    }

    /// When it alerts, in words.
    #[must_use]
    pub fn words(&self, unit: &str) -> String {
        let value = |value: f64| super::words::quantity(value, unit);
        match (self.low, self.high, self.inside) {
            (Some(low), Some(high), true) => format!("{} to {}", value(low), value(high)),
            (Some(0.0), Some(high), false) | (None, Some(high), false) => format!("above {}", value(high)),
            (Some(low), Some(high), false) => format!("below {} or above {}", value(low), value(high)),
            (Some(low), None, false) => format!("below {}", value(low)),
            (None, Some(high), true) => format!("at most {}", value(high)),
            (Some(low), None, true) => format!("at least {}", value(low)),
            (None, None, true) => "always".to_owned(),
            (None, None, false) => "never".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_guidelines_are_read() {
        let cases = [
            ("10", "above 10", vec![10.0]),
            ("10:", "below 10", vec![10.0]),
            ("~:10", "above 10", vec![10.0]),
            ("10:20", "below 10 or above 20", vec![10.0, 20.0]),
            ("@10:20", "10 to 20", vec![10.0, 20.0]),
            ("-5:5", "below -5 or above 5", vec![-5.0, 5.0]),
        ];
        for (text, words, lines) in cases {
            let range = parse(text).unwrap();
            assert_eq!(
                (range.words("1"), range.lines()),
                (words.to_owned(), lines),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_a_range_draws_nothing() {
        for text in ["", "@", "ten", "20:10", "nan", "1:inf", "::", "1:2:3"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
