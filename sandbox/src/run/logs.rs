//! What a checker logs: kept up to a limit, counted beyond it.

use super::{LogLevel, LogLine};

const MAX_BYTES: usize = 64 << 10;
/// What a line costs besides its text, so that empty ones aren't free.
const LINE: usize = 64;

#[derive(Default)]
pub(crate) struct LogBuffer {
    lines: Vec<LogLine>,
    bytes: usize,
    dropped: u64,
}

impl LogBuffer {
    pub(crate) fn push(&mut self, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        let of_fields: usize = fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + LINE)
            .sum();
        let size = message.len() + of_fields + LINE;
        if self.bytes + size > MAX_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        self.lines.push(LogLine {
            level,
            message,
            fields,
        });
    }

    pub(crate) fn finish(self) -> (Vec<LogLine>, u64) {
        (self.lines, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut logs = LogBuffer::default();
        for _ in 0..100_000 {
            logs.push(LogLevel::Info, String::new(), Vec::new());
        }
        let (lines, dropped) = logs.finish();
        assert_eq!(lines.len(), MAX_BYTES / LINE);
        assert_eq!(lines.len() as u64 + dropped, 100_000);
    }
}
