//! The table of `agent-host top` as lines of text.

use std::cmp::Reverse;
use std::time::Duration;

use clap::ValueEnum;

use crate::config::quantity::show_size;
use crate::control::model::{Top, TopCheck};

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// The largest share of a core.
    Cpu,
    /// The most memory.
    Memory,
    /// The longest wall time.
    Wall,
    /// The latest start.
    Late,
    /// By name.
    Name,
}

/// A column: its heading, whether it is a number, and its text.
struct Column {
    heading: &'static str,
    is_number: bool,
    text: fn(&TopCheck) -> String,
}

const fn words(heading: &'static str, text: fn(&TopCheck) -> String) -> Column {
    Column {
        heading,
        is_number: false,
        text,
    }
}

const fn number(heading: &'static str, text: fn(&TopCheck) -> String) -> Column {
    Column {
        heading,
        is_number: true,
        text,
    }
}

const COLUMNS: &[Column] = &[
    words("CHECK", |line| line.check.clone()),
    words("CHECKER", |line| line.checker.clone()),
    words("STATUS", status),
    number("ATT", attempt),
    number("CPU ms", |line| ran(line, millis(line.cpu_last_us))),
    number("AVG", |line| ran(line, millis(line.cpu_avg_us))),
    number("CORE%", |line| ran(line, format!("{:.2}", line.core_percent))),
    number("WALL ms", |line| ran(line, millis(line.wall_last_us))),
    number("MEMORY", memory),
    number("CALLS", |line| ran(line, line.host_calls_last.to_string())),
    number("SENT", |line| ran(line, show_size(line.sent_bytes))),
    number("RECEIVED", |line| ran(line, show_size(line.received_bytes))),
    number("LATE", |line| ran(line, period(line.late_ms))),
    number("RUNS", |line| line.runs.to_string()),
    number("SKIP", |line| line.skipped.to_string()),
    number("NEXT", next),
    words("HEALTH", health),
];

/// The whole of it: a line about the agent, the headings, a line for each check; none is wider than `width`.
pub(super) fn render(top: &Top, sort: Sort, width: usize) -> Vec<String> {
    let mut checks: Vec<&TopCheck> = top.checks.iter().collect();
    // Stable, and by name before: what is alike doesn't change places from one picture to the next.
    checks.sort_by(|a, b| a.check.cmp(&b.check));
    match sort {
        Sort::Cpu => checks.sort_by(|a, b| b.core_percent.total_cmp(&a.core_percent)),
        Sort::Memory => checks.sort_by_key(|line| Reverse(line.memory_max_bytes)),
        Sort::Wall => checks.sort_by_key(|line| Reverse(line.wall_last_us)),
        Sort::Late => checks.sort_by_key(|line| Reverse(line.late_ms)),
        Sort::Name => {}
    }
    let rows: Vec<Vec<String>> = checks
        .iter()
        .map(|line| COLUMNS.iter().map(|column| clean(&(column.text)(line))).collect())
        .collect();
    let mut lines = vec![headline(top), String::new()];
    let headings: Vec<String> = COLUMNS.iter().map(|column| column.heading.to_owned()).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|index| {
            let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(index));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    lines.extend([&headings].into_iter().chain(&rows).map(|row| join(row, &widths)));
    lines
        .into_iter()
        .map(|line| line.chars().take(width).collect())
        .collect()
}

fn join(row: &[String], widths: &[usize]) -> String {
    let cells = row
        .iter()
        .zip(widths)
        .zip(COLUMNS)
        .map(|((cell, &width), column)| {
            if column.is_number {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn headline(top: &Top) -> String {
    let running = top.checks.iter().filter(|line| line.running).count();
    let up = Duration::from_secs(top.now_unix_ms.saturating_sub(top.started_at_unix_ms) / 1_000);
    let core: f64 = top.checks.iter().map(|line| line.core_percent).sum();
    format!(
        "{}: up {}, {} checks, {running} under way ({} at once), {core:.1} % of a core",
        clean(&top.spiffe_id),
        humantime::format_duration(up),
        top.checks.len(),
        top.concurrent_runs,
    )
}

fn status(line: &TopCheck) -> String {
    match (&line.status, &line.failure) {
        _ if line.problem.is_some() && line.status.is_none() => "problem".to_owned(),
        (None, _) if line.running => "running".to_owned(),
        (None, _) => "-".to_owned(),
        (Some(status), None) => status.clone(),
        (Some(status), Some(failure)) => format!("{status} ({failure})"),
    }
}

/// How many results in a row weren't ok; `~` where the state is soft.
fn attempt(line: &TopCheck) -> String {
    match (line.attempt, line.hard) {
        (0, _) => "-".to_owned(),
        (attempt, true) => attempt.to_string(),
        (attempt, false) => format!("{attempt}~"),
    }
}

fn memory(line: &TopCheck) -> String {
    if line.memory_limit_bytes == 0 {
        return "-".to_owned();
    }
    format!(
        "{} of {}",
        show_size(line.memory_last_bytes),
        show_size(line.memory_limit_bytes)
    )
}

fn next(line: &TopCheck) -> String {
    match line.next_in_ms {
        _ if line.running => "running".to_owned(),
        Some(millis) => period(millis),
        None => "-".to_owned(),
    }
}

fn health(line: &TopCheck) -> String {
    match (&line.problem, line.health.as_str()) {
        (Some(problem), _) => problem.clone(),
        (None, "") => "-".to_owned(),
        (None, health) => health.to_owned(),
    }
}

fn ran(line: &TopCheck, text: String) -> String {
    if line.runs == 0 { "-".to_owned() } else { text }
}

fn millis(micros: u64) -> String {
    format!("{:.2}", micros as f64 / 1_000.0)
}

/// In the unit that suits: `340ms`, `12.3s`, `4m 10s`.
fn period(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{:.1}s", millis as f64 / 1_000.0),
        _ => humantime::format_duration(Duration::from_secs(millis / 1_000)).to_string(),
    }
}

/// Names of checkers and problems come from files: nothing in them may steer a terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(check: &str, core_percent: f64, memory: u64, late_ms: u64) -> TopCheck {
        TopCheck {
            check: check.to_owned(),
            checker: "http".to_owned(),
            status: Some("ok".to_owned()),
            hard: true,
            health: "healthy".to_owned(),
            runs: 3,
            cpu_last_us: 1_234,
            core_percent,
            memory_last_bytes: memory,
            memory_max_bytes: memory,
            memory_limit_bytes: 64 << 20,
            late_ms,
            next_in_ms: Some(12_340),
            ..TopCheck::default()
        }
    }

    fn top() -> Top {
        Top {
            spiffe_id: "spiffe://acme.picket.example/agent/berlin-1".to_owned(),
            now_unix_ms: 100_000,
            started_at_unix_ms: 40_000,
            concurrent_runs: 32,
            checks: vec![
                line("a", 0.5, 3 << 20, 7),
                line("b", 2.0, 1 << 20, 9),
                line("c", 1.0, 2 << 20, 8),
            ],
        }
    }

    fn order(sort: Sort) -> String {
        let lines = render(&top(), sort, usize::MAX);
        lines
            .iter()
            .skip(3)
            .filter_map(|line| line.chars().next())
            .collect()
    }

    #[test]
    fn each_way_to_sort_puts_the_most_first() {
        assert_eq!(order(Sort::Cpu), "bca");
        assert_eq!(order(Sort::Memory), "acb");
        assert_eq!(order(Sort::Late), "bca");
        assert_eq!(order(Sort::Name), "abc");
        assert_eq!(order(Sort::Wall), "abc", "alike: by name");
    }

    #[test]
    fn a_line_has_every_number_under_its_heading() {
        let lines = render(&top(), Sort::Name, usize::MAX);
        assert_eq!(
            lines[0],
            "spiffe://acme.picket.example/agent/berlin-1: up 1m, 3 checks, 0 under way (32 at once), 3.5 % of a core"
        );
        assert_eq!(
            lines[2],
            "CHECK  CHECKER  STATUS  ATT  CPU ms   AVG  CORE%  WALL ms           MEMORY  CALLS  SENT  RECEIVED  LATE  RUNS  \
             SKIP   NEXT  HEALTH"
        );
        assert_eq!(
            lines[3],
            "a      http     ok        -    1.23  0.00   0.50     0.00  3 MiB of 64 MiB      0   0 B       0 B   7ms     3  \
             \x20  0  12.3s  healthy"
        );
    }

    #[test]
    fn what_hasnt_run_has_no_numbers_and_a_soft_state_shows() {
        let fresh = TopCheck {
            check: "fresh".to_owned(),
            ..TopCheck::default()
        };
        let cells: Vec<_> = COLUMNS.iter().map(|column| (column.text)(&fresh)).collect();
        assert!(
            cells.iter().filter(|cell| *cell == "-").count() >= 12,
            "{cells:?}"
        );
        let mut soft = line("soft", 0.0, 0, 0);
        (soft.attempt, soft.hard) = (2, false);
        assert_eq!(attempt(&soft), "2~");
        soft.failure = Some("timeout".to_owned());
        assert_eq!(status(&soft), "ok (timeout)");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_steers_it() {
        let mut top = top();
        top.checks[0].problem = Some("bad\x1b[2Jname\n".to_owned());
        let lines = render(&top, Sort::Name, 80);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        let whole = render(&top, Sort::Name, usize::MAX).join("");
        assert!(!whole.contains(|char: char| char.is_control()));
    }
}
