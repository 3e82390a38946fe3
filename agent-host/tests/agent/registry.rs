//! The platform's word, and a gateway that carries it: enrolment files, certificates, trust statements, and both sides of
//! an exchange on the wire.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use picket_identity::CertificateDer;
use picket_identity::channel_binding::ChannelBinding;
use picket_identity::connect::{DialError, DialLimits, EnrollmentConnection, connect_for_enrollment};
use picket_identity::credential::Credential;
use picket_identity::enrollment::{ActivationKey, EnrollFile, NewEnrollFile};
use picket_identity::tls::EnrollmentTls;
use picket_identity::trust_update::{self, TrustStatement};
use picket_identity::verify::{Denied, UnixTime, now};
use picket_issuing::{CertificateAuthority, PublicKey};
use picket_proto::agent::v1::enroll_request::Kind as EnrollAsk;
use picket_proto::agent::v1::enroll_response::Kind as EnrollAnswer;
use picket_proto::agent::v1::enrollment_client::EnrollmentClient;
use picket_proto::agent::v1::renew_request::Kind as RenewAsk;
use picket_proto::agent::v1::renew_response::Kind as RenewAnswer;
use picket_proto::agent::v1::renewal_client::RenewalClient;
use picket_proto::agent::v1::trust_client::TrustClient;
use picket_proto::agent::v1::{
    EnrollBegin, EnrollProof, EnrollRequest, EnrollResponse, IssuedCertificate, RenewBegin, RenewRequest,
    RenewResponse, StepFailed, TrustUpdate,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::world::World;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
/// The sequence in enrolment files.
pub(crate) const SEQUENCE: u64 = 7;

pub(crate) fn later(at: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()) + by)
}

pub(crate) fn earlier(at: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()) - by)
}

/// What the operator gets from `platform agent add`.
pub(crate) struct Added {
    /// All that the platform keeps.
    pub(crate) public_key: Vec<u8>,
    /// The secret, to look for where it mustn't be.
    pub(crate) secret: String,
    pub(crate) file: EnrollFile,
}

impl World {
    pub(crate) fn add_agent(&self) -> Added {
        self.add_agent_until(later(now(), 24 * HOUR))
    }

    pub(crate) fn add_agent_until(&self, not_after: UnixTime) -> Added {
        self.add_agent_with(std::slice::from_ref(self.root.certificate_der()), not_after)
    }

    pub(crate) fn add_agent_with(&self, roots: &[CertificateDer<'static>], not_after: UnixTime) -> Added {
        let key = ActivationKey::generate().unwrap();
        let new = NewEnrollFile {
            id: &self.agent_id(),
            endpoint: "127.0.0.1:7443",
            roots,
            gateway_cas: std::slice::from_ref(self.gateway_ca.certificate_der()),
            trust_sequence: SEQUENCE,
            key: &key,
            not_before: earlier(now(), HOUR),
            not_after,
            signer: self.platform_ca.certificate_der(),
        };
        let file = EnrollFile::sign(&new, |context, bytes| {
            self.platform_ca.sign_statement(context, bytes)
        })
        .unwrap();
        Added {
            public_key: key.public_key(),
            secret: key.to_text().to_string(),
            file,
        }
    }

    /// With its mode as the platform gives it.
    pub(crate) fn write_enroll_file(&self, name: &str, added: &Added) {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(self.path(name))
            .unwrap();
        std::io::Write::write_all(&mut file, added.file.to_json().unwrap().as_bytes()).unwrap();
    }

    /// What the platform says to the agents of a tenant, signed by some CA.
    pub(crate) fn said_by(
        &self,
        signer: &CertificateAuthority,
        tenant: &str,
        sequence: u64,
        denied: Vec<Denied>,
    ) -> TrustUpdate {
        let statement = TrustStatement::new(
            self.platform.clone(),
            tenant.parse().unwrap(),
            sequence,
            [self.root.certificate_der().as_ref()],
            [self.gateway_ca.certificate_der().as_ref()],
            denied,
        )
        .to_bytes()
        .unwrap();
        sign(signer, statement)
    }

    pub(crate) fn trust(&self, sequence: u64, denied: Vec<Denied>) -> TrustUpdate {
        self.said_by(&self.platform_ca, "acme", sequence, denied)
    }

    /// What a tenant's CA issues for the key in a request.
    pub(crate) fn issued_by(
        &self,
        ca: &CertificateAuthority,
        agent: &str,
        csr: &[u8],
        at: UnixTime,
    ) -> IssuedCertificate {
        let public = PublicKey::from_request(csr).unwrap();
        let issued = ca
            .issue_agent(&public, &agent.parse().unwrap(), 24 * HOUR, at)
            .unwrap();
        IssuedCertificate {
            leaf: issued.certificate.to_vec().into(),
            issuer: issued.issuer.to_vec().into(),
            trust: Some(self.trust(SEQUENCE, Vec::new())),
        }
    }

    pub(crate) fn issue(&self, csr: &[u8]) -> IssuedCertificate {
        self.issued_by(&self.tenant_ca, "berlin-1", csr, now())
    }

    /// Says hello to an agent that awaits enrolment.
    pub(crate) async fn begin(&self, address: SocketAddr) -> Enrolling {
        let gateway = self.gateway_for("acme");
        Enrolling::begin(address, &gateway, &self.agent_id().to_string())
            .await
            .unwrap()
    }

    /// A whole enrolment, as gateway and platform do it.
    pub(crate) async fn enroll_at(&self, address: SocketAddr, added: &Added) -> String {
        let mut enrolling = self.begin(address).await;
        let proof = enrolling.proof().await.unwrap();
        enrolling.verify(&added.public_key, &proof, self);
        enrolling.hand_over(self.issue(&proof.csr)).await.unwrap()
    }

    /// A whole renewal.
    pub(crate) async fn renew(&self, channel: Channel) -> Result<String, StepFailed> {
        let mut renewing = Renewing::begin(channel).await.unwrap();
        let csr = renewing.proof().await?;
        let mut issued = self.issue(&csr);
        issued.trust = None;
        renewing.hand_over(issued).await
    }
}

pub(crate) fn sign(signer: &CertificateAuthority, statement: Vec<u8>) -> TrustUpdate {
    // The platform's own function refuses to sign by any other CA: forgers don't ask it.
    let signature = signer
        .sign_statement(trust_update::CONTEXT, &statement)
        .unwrap_or_else(|_| forge(signer, &statement));
    TrustUpdate {
        statement: statement.into(),
        signer: signer.certificate_der().to_vec().into(),
        signature: signature.into(),
    }
}

/// A CA's P-256 key signs whatever its owner wants.
fn forge(signer: &CertificateAuthority, statement: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/ca.key");
    picket_identity::store::write_secret(&path, signer.key_pem().as_bytes()).unwrap();
    let key = picket_identity::credential::PrivateKey::load(&path).unwrap();
    key.sign(trust_update::CONTEXT, statement).unwrap()
}

/// A gateway's attempt to enrol an agent.
pub(crate) struct Enrolling {
    pub(crate) connection: EnrollmentConnection,
    requests: mpsc::Sender<EnrollRequest>,
    answers: Streaming<EnrollResponse>,
}

pub(crate) async fn dial_for_enrollment(
    address: SocketAddr,
    gateway: &Credential,
) -> Result<EnrollmentConnection, DialError> {
    let tls = EnrollmentTls::new(gateway).unwrap();
    connect_for_enrollment(&address.to_string(), &tls, &DialLimits::default()).await
}

impl Enrolling {
    pub(crate) async fn begin(address: SocketAddr, gateway: &Credential, id: &str) -> Result<Self, Status> {
        let connection = dial_for_enrollment(address, gateway).await.unwrap();
        let (requests, receiver) = mpsc::channel(4);
        let begin = EnrollBegin {
            correlation_id: "attempt-1".to_owned(),
            spiffe_id: id.to_owned(),
        };
        let request = EnrollRequest {
            kind: Some(EnrollAsk::Begin(begin)),
        };
        requests.send(request).await.unwrap();
        let mut client = EnrollmentClient::new(connection.channel.clone());
        let answers = client.enroll(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self {
            connection,
            requests,
            answers,
        })
    }

    async fn answer(&mut self) -> EnrollAnswer {
        self.answers
            .message()
            .await
            .unwrap()
            .expect("an answer")
            .kind
            .unwrap()
    }

    pub(crate) async fn proof(&mut self) -> Result<EnrollProof, StepFailed> {
        match self.answer().await {
            EnrollAnswer::Proof(proof) => Ok(proof),
            EnrollAnswer::Failed(failed) => Err(failed),
            EnrollAnswer::Installed(installed) => panic!("nothing was handed over: {installed:?}"),
        }
    }

    /// As the platform does, with the binding that this gateway computed.
    pub(crate) fn verify(&self, public_key: &[u8], proof: &EnrollProof, world: &World) {
        verify(public_key, &self.connection.binding, proof, world).unwrap();
    }

    pub(crate) async fn say(&self, kind: EnrollAsk) {
        self.requests
            .send(EnrollRequest { kind: Some(kind) })
            .await
            .unwrap();
    }

    /// The installed serial number.
    pub(crate) async fn hand_over(&mut self, issued: IssuedCertificate) -> Result<String, StepFailed> {
        self.say(EnrollAsk::Issued(issued)).await;
        match self.answer().await {
            EnrollAnswer::Installed(installed) => Ok(installed.serial),
            EnrollAnswer::Failed(failed) => Err(failed),
            EnrollAnswer::Proof(proof) => panic!("a second proof: {proof:?}"),
        }
    }
}

pub(crate) fn verify(
    public_key: &[u8],
    binding: &ChannelBinding,
    proof: &EnrollProof,
    world: &World,
) -> Result<(), picket_identity::enrollment::ActivationError> {
    picket_identity::enrollment::verify_activation(
        public_key,
        binding,
        &proof.csr,
        &world.agent_id(),
        &proof.signature,
    )
}

/// A gateway's attempt to renew an agent's certificate.
pub(crate) struct Renewing {
    requests: mpsc::Sender<RenewRequest>,
    answers: Streaming<RenewResponse>,
}

impl Renewing {
    pub(crate) async fn begin(channel: Channel) -> Result<Self, Status> {
        Self::begin_as(channel, "renewal-1").await
    }

    pub(crate) async fn begin_as(channel: Channel, correlation_id: &str) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(4);
        let begin = RenewBegin {
            correlation_id: correlation_id.to_owned(),
        };
        requests
            .send(RenewRequest {
                kind: Some(RenewAsk::Begin(begin)),
            })
            .await
            .unwrap();
        let answers = RenewalClient::new(channel)
            .renew(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Self { requests, answers })
    }

    async fn answer(&mut self) -> RenewAnswer {
        self.answers
            .message()
            .await
            .unwrap()
            .expect("an answer")
            .kind
            .unwrap()
    }

    pub(crate) async fn proof(&mut self) -> Result<Vec<u8>, StepFailed> {
        match self.answer().await {
            RenewAnswer::Proof(proof) => Ok(proof.csr.to_vec()),
            RenewAnswer::Failed(failed) => Err(failed),
            RenewAnswer::Installed(installed) => panic!("nothing was handed over: {installed:?}"),
        }
    }

    /// `None` where the agent has gone.
    async fn try_answer(&mut self) -> Option<RenewAnswer> {
        self.answers.message().await.ok()??.kind
    }

    pub(crate) async fn try_proof(&mut self) -> Option<Vec<u8>> {
        match self.try_answer().await? {
            RenewAnswer::Proof(proof) => Some(proof.csr.to_vec()),
            other => panic!("expected a proof: {other:?}"),
        }
    }

    pub(crate) async fn try_hand_over(&mut self, issued: IssuedCertificate) -> Option<String> {
        let request = RenewRequest {
            kind: Some(RenewAsk::Issued(issued)),
        };
        self.requests.send(request).await.ok()?;
        match self.try_answer().await? {
            RenewAnswer::Installed(installed) => Some(installed.serial),
            other => panic!("expected the installed serial number: {other:?}"),
        }
    }

    pub(crate) async fn say(&self, kind: RenewAsk) {
        self.requests
            .send(RenewRequest { kind: Some(kind) })
            .await
            .unwrap();
    }

    pub(crate) async fn hand_over(&mut self, issued: IssuedCertificate) -> Result<String, StepFailed> {
        self.say(RenewAsk::Issued(issued)).await;
        match self.answer().await {
            RenewAnswer::Installed(installed) => Ok(installed.serial),
            RenewAnswer::Failed(failed) => Err(failed),
            RenewAnswer::Proof(proof) => panic!("a second proof: {proof:?}"),
        }
    }
}

/// Carries a statement; the sequence that the agent goes by then.
pub(crate) async fn update_trust(channel: Channel, update: TrustUpdate) -> Result<u64, Status> {
    let state = TrustClient::new(channel).update(update).await?;
    Ok(state.into_inner().sequence)
}

/// The only certificate in a chain that names it for denying.
pub(crate) fn denial_of(world: &World, gateway: &Credential) -> Denied {
    let ca: CertificateDer<'static> = world.gateway_ca.certificate_der().clone();
    let trust = picket_identity::verify::Trust::new(world.root.certificate_der().clone(), [ca]).unwrap();
    Denied {
        issuer: trust.cas()[0].id(),
        serial: gateway.leaf().serial.clone(),
    }
}
