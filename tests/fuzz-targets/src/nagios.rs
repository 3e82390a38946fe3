//! What commands print.

use picket_sandbox::nagios::{Exit, MAX_OUTPUT, parse};
use picket_sandbox::report::limits::check_report;

/// Any output, with any exit: a report within the contract's limits, or none because nothing was printed.
pub fn nagios(input: &[u8]) {
    let Some((code, printed)) = input.split_first() else {
        return;
    };
    let exit = match code {
        255 => Exit::Failed,
        code => Exit::Code(*code),
    };
    judge(printed, exit);
    // Now and then a short input stands for a long one too, since what is beyond the limit must be left out well.
    if code % 32 == 31 {
        judge(&printed.repeat(MAX_OUTPUT / printed.len().max(1) + 2), exit);
    }
}

fn judge(output: &[u8], exit: Exit) {
    match parse(output, exit) {
        Ok(report) => {
            if let Err(reason) = check_report(&report) {
                panic!("the report breaks the contract: {reason}");
            }
            assert!(!report.summary.trim().is_empty());
        }
        Err(nothing) => {
            let text = String::from_utf8_lossy(output);
            let is_blank = text.chars().all(|char| char.is_whitespace() || char.is_control());
            // Of a word longer than the limit, nothing is left.
            assert!(
                is_blank || output.len() > MAX_OUTPUT,
                "{nothing}, although it printed {text:?}"
            );
        }
    }
}
