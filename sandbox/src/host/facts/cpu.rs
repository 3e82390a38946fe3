//! `/proc/stat` and `/proc/loadavg`.

use super::pressure::{self, Pressure};
use super::{FactError, optional, text, ticks_per_second, unreadable};

/// Seconds since boot in each mode: user, nice, system, idle, iowait, irq, softirq, steal.
pub(crate) type Times = [f64; 8];

pub(crate) struct Cpu {
    pub(crate) total: Times,
    pub(crate) cores: Vec<Times>,
    pub(crate) load: [f64; 3],
    pub(crate) pressure: Option<Pressure>,
}

pub(crate) fn read() -> Result<Cpu, FactError> {
    let (total, cores) =
        parse_stat(&text("/proc/stat")?, ticks_per_second()).ok_or_else(|| unreadable("/proc/stat"))?;
    let load = parse_load(&text("/proc/loadavg")?).ok_or_else(|| unreadable("/proc/loadavg"))?;
    let pressure = optional("/proc/pressure/cpu").and_then(|text| pressure::parse(&text));
    Ok(Cpu {
        total,
        cores,
        load,
        pressure,
    })
}

fn parse_stat(text: &str, hertz: f64) -> Option<(Times, Vec<Times>)> {
    let mut total = None;
    let mut cores = Vec::new();
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(' ').filter(|(name, _)| name.starts_with("cpu")) else {
            continue;
        };
        // Old kernels have fewer columns; guest time, the last two, is in user time already.
        let mut times = Times::default();
        for (slot, number) in times.iter_mut().zip(numbers.split_whitespace()) {
            *slot = number.parse::<u64>().ok()? as f64 / hertz;
        }
        if name == "cpu" {
            total = Some(times);
        } else {
            cores.push(times);
        }
    }
    Some((total?, cores))
}

fn parse_load(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next()?.ok().filter(|number| number.is_finite());
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_seconds_for_all_and_for_each_core() {
        let text =
            "cpu  200 100 50 1000 20 5 4 3 0 0\ncpu0 100 50 25 500 10 2 2 1 0 0\nintr 1 2 3\nbtime 4\n";
        let (total, cores) = parse_stat(text, 100.0).unwrap();
        assert_eq!(total, [2.0, 1.0, 0.5, 10.0, 0.2, 0.05, 0.04, 0.03]);
        assert_eq!(cores.len(), 1);
    }

    #[test]
    fn garbage_is_no_numbers() {
        assert!(parse_stat("", 100.0).is_none());
        assert!(parse_stat("cpu  a b", 100.0).is_none());
        assert!(parse_load("0.1 nan 0.3").is_none());
        assert_eq!(parse_load("0.10 0.20 0.30 1/100 42"), Some([0.1, 0.2, 0.3]));
    }

    #[test]
    fn this_machine_is_read() {
        assert!(read().unwrap().total[3] > 0.0);
    }
}
