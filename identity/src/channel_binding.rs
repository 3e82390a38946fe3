//! What ties words to one TLS connection, so that they are worth nothing on any other.

use rustls::ConnectionCommon;

/// The exporter's label (RFC 8446 §7.5).
const LABEL: &[u8] = b"EXPORTER-picket-enroll-1";

/// 32 bytes that only the two ends of one TLS connection know, the same at both. Whoever sits between two connections has
/// two different ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelBinding([u8; 32]);

impl ChannelBinding {
    /// The binding of a connection whose handshake is done.
    ///
    /// # Errors
    /// The handshake isn't done.
    pub(crate) fn of<Side>(session: &ConnectionCommon<Side>) -> Result<Self, rustls::Error> {
        session.export_keying_material([0; 32], LABEL, None).map(Self)
    }

    /// A binding as it travels from the gateway, which computed it, to the platform. `None` where it has another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Derived from the connection's secrets: not for logs.
impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelBinding(..)")
    }
}
