//! Pressure stall information: `/proc/pressure/*`.

/// Percent of time over 10, 60 and 300 s.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pressure {
    pub(crate) some: [f64; 3],
    pub(crate) full: [f64; 3],
}

pub(super) fn parse(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    let mut found = false;
    for line in text.lines() {
        let (kind, fields) = line.split_once(' ')?;
        let mut averages = [0.0; 3];
        for (slot, name) in averages.iter_mut().zip(["avg10=", "avg60=", "avg300="]) {
            *slot = fields
                .split(' ')
                .find_map(|field| field.strip_prefix(name))?
                .parse()
                .ok()?;
        }
        match kind {
            "some" => {
                pressure.some = averages;
                found = true;
            }
            "full" => pressure.full = averages,
            _ => {}
        }
    }
    found.then_some(pressure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read_and_full_may_be_missing() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.03 total=1\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=0\n";
        let pressure = parse(text).unwrap();
        assert_eq!(pressure.some, [1.5, 0.2, 0.03]);
        assert_eq!(pressure.full[0], 0.1);
        assert!(parse("some avg10=1.50 avg60=0.20 avg300=0.03 total=1\n").is_some());
        assert!(parse("").is_none());
    }
}
