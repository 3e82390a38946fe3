//! Things for checkers to check.

mod dnsmasq;
mod mail;
mod names;
mod nginx;

pub use dnsmasq::Dnsmasq;
pub use mail::Mail;
pub use names::NameServer;
pub use nginx::Nginx;
