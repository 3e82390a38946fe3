//! Things for checkers to check, and what gateway and platform can have their identities from.

mod dnsmasq;
mod mail;
mod names;
mod nginx;
mod workload_api;

pub use dnsmasq::Dnsmasq;
pub use mail::Mail;
pub use names::NameServer;
pub use nginx::Nginx;
pub use workload_api::{Answer, Spire, Svid, WorkloadApi};
