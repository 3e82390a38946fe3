//! What one component may have, so that every run finds its slots in the pool.

// Python components need 64 core instances, 50,000 table elements and instances of 4 MiB; Rust ones 3, 100 and 10 KiB.
pub(crate) const CORE_INSTANCES: u32 = 64;
pub(crate) const MEMORIES: u32 = 4;
pub(crate) const TABLES: u32 = 16;
pub(crate) const TABLE_ELEMENTS: usize = 50_000;
pub(crate) const INSTANCE_SIZE: usize = 4 << 20;

/// Declarations of core instances: those made from exports alone cost nothing at run time, so there may be more of them.
pub(crate) const CORE_INSTANCES_DECLARED: u64 = 1024;
