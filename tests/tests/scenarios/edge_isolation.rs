//! Edge Network Isolation: an agent is worth one agent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::StatusCode;
use picket_tests::intruder::{Answer, Intruder};
use picket_tests::sockets;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::setting;

/// "Edge agent cannot execute RPC on core": with everything on the agent's disk in hand, every port of the platform and
/// of the gateway refuses it, and nothing on that disk names an address of ours.
#[tokio::test]
async fn cannot_call_platform() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 1).await?;
    let thief = Intruder::from_identity_folder(&setting.agents[0].folder.join("identity"))?;

    let gateway = sockets::listening(setting.gateway.process.id())?;
    assert_eq!(gateway, [], "a gateway listens for nobody");

    let grpc = setting.platform.process.address("grpc")?;
    let web = setting.platform.process.address("web")?;
    let mut listening = sockets::listening(setting.platform.process.id())?;
    listening.sort();
    let mut known = vec![grpc, web];
    known.sort();
    assert_eq!(listening, known, "a port that this test doesn't try");

    refused(&thief, grpc).await?;
    refused(&Intruder::anonymous(), grpc).await?;
    // The pages are for people, whom no certificate lets in: only a session or a token does.
    let without_token = setting.platform.api.with_token("");
    for path in [
        "/api/v1/tenants",
        "/api/v1/agents",
        "/api/v1/gateways",
        "/api/v1/alerts",
        "/api/v1/jobs",
    ] {
        assert_eq!(
            without_token.status(path).await?,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    let page = without_token.status("/").await?;
    assert!(
        page.is_redirection() || page == StatusCode::UNAUTHORIZED,
        "the fleet page answered {page}"
    );

    let files = files_below(&setting.agents[0].folder)?;
    assert!(
        files.iter().any(|file| file.ends_with("identity.key")),
        "the agent's files are these: {files:?}"
    );
    for address in [grpc, web] {
        for file in &files {
            assert!(
                !names(file, &address.to_string())?,
                "{} names {address}",
                file.display()
            );
        }
    }
    Ok(())
}

/// "Edge agent cannot enumerate cluster processes": it is in no membership, and knows no other tenant, gateway or node.
#[tokio::test]
async fn cannot_enumerate_cluster() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 2).await?;
    setting.results("globex", 2).await?;

    let members = setting.platform.api.get("/api/v1/gateways").await?.to_string();
    assert!(members.contains("gw-1"), "{members}");
    assert!(!members.contains("edge"), "an agent is a member: {members}");

    for (agent, foreign) in [(&setting.agents[0], "globex"), (&setting.agents[1], "acme")] {
        for file in files_below(&agent.folder)? {
            for secret in [foreign, "gw-1", "node-1"] {
                assert!(!names(&file, secret)?, "{} names {secret}", file.display());
            }
        }
    }
    Ok(())
}

/// "Edge communicates via gRPC only": the agent waits to be dialled, answers nothing but gRPC over mutual TLS, and opens
/// no connection of its own.
#[tokio::test]
async fn answers_only_grpc_mtls() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 1).await?;
    let endpoint: SocketAddr = setting.agents[0].endpoint.parse()?;
    let process = setting.agents[0].process()?.id();
    assert_eq!(sockets::listening(process)?, [endpoint], "an agent has one port");

    assert!(!speaks_plain_text(endpoint, b"GET / HTTP/1.1\r\nhost: agent\r\n\r\n").await?);
    assert!(!speaks_plain_text(endpoint, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?);
    refused(&Intruder::anonymous(), endpoint).await?;
    refused(
        &Intruder::from_identity_folder(&setting.agents[0].folder.join("identity"))?,
        endpoint,
    )
    .await?;

    // Data flows all this while, and the agent dials nobody.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(sockets::outbound(process)?, [], "the agent dialled");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    setting.results("acme", 5).await?;
    Ok(())
}

async fn refused(intruder: &Intruder, door: SocketAddr) -> anyhow::Result<()> {
    let answer = intruder.try_door(door).await?;
    assert!(matches!(answer, Answer::Refused(_)), "{door} let {intruder:?} in");
    Ok(())
}

/// Whether the door answers plain text with anything but a TLS alert.
async fn speaks_plain_text(door: SocketAddr, words: &[u8]) -> anyhow::Result<bool> {
    const ALERT: u8 = 21;
    let mut stream = TcpStream::connect(door).await?;
    stream.write_all(words).await?;
    let mut answer = Vec::new();
    // A reset is as good a refusal as an end.
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    Ok(answer.first().is_some_and(|first| *first != ALERT))
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // A socket, which the running agent has, holds nothing.
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn names(file: &Path, text: &str) -> anyhow::Result<bool> {
    let bytes = std::fs::read(file)?;
    Ok(bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}
