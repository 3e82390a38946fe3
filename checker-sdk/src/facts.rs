//! What the agent's own machine says of itself.

pub use crate::bindings::picket::checker::host_facts::{
    CpuFacts, CpuTimes, Error, ErrorKind, FileSystem, MemoryFacts, NetworkInterface, Pressure, Process,
    Service, UptimeFacts,
};

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Denied => Self::denied(error.message),
            ErrorKind::Unsupported => Self::unsupported(error.message),
            ErrorKind::Other => Self::failed(error.message),
        }
    }
}

impl CpuTimes {
    /// All modes together, in seconds.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.busy_s() + self.idle_s + self.iowait_s
    }

    /// All modes in which the processor was at work or kept from it.
    #[must_use]
    pub fn busy_s(&self) -> f64 {
        self.user_s + self.nice_s + self.system_s + self.irq_s + self.softirq_s + self.steal_s
    }
}
