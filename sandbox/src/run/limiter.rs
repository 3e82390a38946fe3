//! How much memory a run may have.

use wasmtime::ResourceLimiter;

use crate::engine::limits;

pub(crate) struct MemoryLimiter {
    limit: usize,
    used: usize,
    peak: usize,
    refused: Option<usize>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            peak: 0,
            refused: None,
        }
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak as u64
    }

    /// How much it asked for when it was first refused.
    pub(crate) fn refused(&self) -> Option<usize> {
        self.refused
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // All memories of the run together: several small ones make a big one.
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        let beyond_own = maximum.is_some_and(|maximum| desired > maximum);
        if wanted > self.limit {
            self.refused = self.refused.or(Some(wanted));
            return Ok(false);
        }
        if !beyond_own {
            self.used = wanted;
            self.peak = self.peak.max(wanted);
        }
        Ok(!beyond_own)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_together_stay_within_the_limit() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.refused(), Some(120));
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert_eq!(limiter.peak(), 100);
    }

    #[test]
    fn tables_are_bounded() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.table_growing(0, 50_000, None).unwrap());
        assert!(!limiter.table_growing(0, 50_001, None).unwrap());
    }
}
