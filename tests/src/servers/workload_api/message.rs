//! The messages of the Workload API that are needed (workloadapi.proto of the SPIFFE standard).

/// There is nothing to ask for.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct X509SvidRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct X509SvidResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) svids: Vec<X509Svid>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct X509Svid {
    #[prost(string, tag = "1")]
    pub(super) spiffe_id: String,
    /// DER, the leaf first.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) x509_svid: Vec<u8>,
    /// PKCS #8, DER.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) x509_svid_key: Vec<u8>,
    /// DER, one authority after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) bundle: Vec<u8>,
}
