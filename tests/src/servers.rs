//! Things for checkers to check.

mod dnsmasq;
mod names;
mod nginx;

pub use dnsmasq::Dnsmasq;
pub use names::NameServer;
pub use nginx::Nginx;
