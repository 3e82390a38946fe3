//! A mail server that begins in the clear: it speaks SMTP up to STARTTLS, and from then on another server speaks TLS.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Mail {
    /// Where it listens.
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Mail {
    /// Starts one in front of a server of TLS.
    pub async fn start(tls: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // A client that says something else is left.
                    let _ = serve(stream, tls).await;
                });
            }
        });
        Ok(Self {
            address,
            _task: AbortOnDropHandle::new(task),
        })
    }
}

async fn serve(stream: TcpStream, tls: SocketAddr) -> anyhow::Result<()> {
    let mut client = BufReader::new(stream);
    client.write_all(b"220-mail.test\r\n220 ready\r\n").await?;
    for (wanted, answer) in [
        (
            "EHLO",
            &b"250-mail.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"[..],
        ),
        ("STARTTLS", b"220 go ahead\r\n"),
    ] {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        line.starts_with(wanted)
            .then_some(())
            .with_context(|| line.clone())?;
        client.write_all(answer).await?;
    }
    let mut server = TcpStream::connect(tls).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
