//! SPIFFE identities, the X.509-SVID profile, verification, and the transports built on them.
//!
//! - [`name`], [`spiffe`], [`serial`]: who and what, as text that has exactly one spelling.
//! - [`profile`]: what a certificate of ours looks like.
//! - [`verify`]: the one engine that says who a peer is, and its four faces.
//! - [`credential`], [`store`], [`bundle`], [`pem`]: our own key and certificates, and the files that they are in.
//! - [`enrollment`], [`channel_binding`]: how an agent gets its first certificate.
//! - [`statement`], [`trust_update`]: what the platform says to agents, whoever carries it.
//! - [`tls`]: the TLS configurations. [`serve`]: the accept loop. `connect` (a feature): dialling.
//!
//! # An agent that serves gateways
//! ```no_run
//! # use std::sync::Arc;
//! use picket_identity::{bundle, serve, tls, verify};
//! # async fn example(shutdown: tokio_util::sync::CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! let identity = bundle::load("identity".as_ref(), verify::now())?;
//! let expected = identity.gateway_expectation().ok_or("not an agent's identity")?;
//! let config = tls::agent_serving_gateways(identity.credential(), expected)?;
//! // Send a new snapshot after each change of credential, trust or denials: live peers are verified again.
//! let (publish, snapshots) = tokio::sync::watch::channel(Arc::new(config));
//! let routes = serve::Routes::new(); // .add(AgentServer::new(..))
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:7443").await?;
//! serve::serve(listener, snapshots, routes, serve::Limits::default(), Arc::new(serve::LogObserver), shutdown).await;
//! // In a call: request.extensions().get::<serve::PeerIdentity>() is the verified gateway.
//! # drop(publish); Ok(()) }
//! ```
//!
//! # A gateway that dials an agent
//! ```no_run
//! # #[cfg(feature = "connect")]
//! # async fn example(
//! #     mine: picket_identity::credential::Credential,
//! #     expected: picket_identity::verify::AgentExpectation,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use picket_identity::{connect, tls, verify::Refusal};
//! // `mine` is this gateway's credential for the tenant; `expected` has tenant, agent, the tenant's CAs, serial numbers.
//! let config = tls::gateway_dialling_agent(&mine, expected)?;
//! match connect::connect("10.0.0.4:7443", &config, &connect::DialLimits::default()).await {
//!     Ok(connection) => println!("{} at {}", connection.verified.id(), connection.address), // connection.channel
//!     Err(connect::DialError::Tls(refusal)) => println!("{}: got {}", refusal.reason, refusal.got),
//!     Err(connect::DialError::RefusedByPeer { alert }) => println!("the agent doesn't accept us: {alert:?}"),
//!     Err(error) => println!("{error} {:?}", Refusal::from_error(&error)),
//! }
//! # Ok(()) }
//! ```
//!
//! # The platform that serves gateways
//! ```no_run
//! # use std::sync::Arc;
//! # fn example(
//! #     node: picket_identity::credential::Credential, root: rustls_pki_types::CertificateDer<'static>,
//! #     gateway_ca: rustls_pki_types::CertificateDer<'static>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use picket_identity::{tls, verify::{GatewayClientExpectation, Serials, Trust}};
//! let expected = GatewayClientExpectation {
//!     platform: "picket.example".parse()?,
//!     trust: Trust::new(root, [gateway_ca])?,
//!     serials: Serials::default(),
//! };
//! let config = tls::platform_serving_gateways(&node, expected)?; // then as the agent: watch, Routes, serve
//! # drop(config); Ok(()) }
//! ```
//!
//! # A gateway that dials the platform
//! ```no_run
//! # #[cfg(feature = "connect")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use picket_identity::{bundle, connect, tls, verify};
//! let identity = bundle::load("identity".as_ref(), verify::now())?;
//! let expected = identity.platform_expectation(verify::Serials::default()).ok_or("not a gateway's identity")?;
//! let config = tls::gateway_dialling_platform(identity.credential(), expected)?;
//! let connection = connect::connect("platform.example:7600", &config, &connect::DialLimits::default()).await?;
//! let channel = connection.channel.clone(); // GatewayServiceClient::new(channel)
//! connection.closed().await; // a lost connection is never dialled again by itself
//! # drop(channel); Ok(()) }
//! ```

pub mod bundle;
pub mod channel_binding;
#[cfg(feature = "connect")]
pub mod connect;
pub mod credential;
pub mod enrollment;
pub mod name;
pub mod pem;
pub mod profile;
pub mod serial;
pub mod serve;
pub mod spiffe;
pub mod statement;
pub mod store;
pub mod tls;
pub mod trust_update;
pub mod verify;

pub use rustls_pki_types::{CertificateDer, UnixTime};
pub use serial::Serial;
