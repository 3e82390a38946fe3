//! ICMP echo.

pub use crate::bindings::picket::checker::icmp::{
    AddressFamily, EchoRequest, EchoResult, Error, ErrorKind, Outcome,
};

use crate::Report;

impl Error {
    /// What the error means for a run: a refusal is the operator's business, anything else the target's.
    ///
    /// # Errors
    ///
    /// The host refused, or can't send ICMP.
    pub fn into_report(self) -> Result<Report, crate::Error> {
        match self.kind {
            ErrorKind::Denied => Err(crate::Error::denied(self.message)),
            ErrorKind::NotPermitted => Err(crate::Error::unsupported(self.message)),
            ErrorKind::NameResolution | ErrorKind::Other => Ok(Report::critical(self.message)),
        }
    }
}
