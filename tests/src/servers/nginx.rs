//! Debian's nginx as a web server of the tests' own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use picket_identity::credential::PrivateKey;
use picket_identity::{pem, verify};
use picket_issuing::{CertificateAuthority, Intermediate, PublicKey, days};

use crate::installation::free_port;
use crate::wait;

/// Runs until it is dropped. Serves the same over HTTP and HTTPS: `/` (text), `/status.json`, `/moved` (to `/`),
/// `/away` (to another port), `/missing` (404).
#[derive(Debug)]
pub struct Nginx {
    /// Where it speaks HTTP.
    pub plain: SocketAddr,
    /// Where it speaks HTTPS, with a certificate for `www.acme.test` and 127.0.0.1.
    pub tls: SocketAddr,
    /// The root that its certificate ends in, PEM.
    pub root: String,
    child: Child,
}

impl Nginx {
    /// Starts it with all its files in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("nginx");
        std::fs::create_dir_all(&folder)?;
        let plain = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let tls = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let root = certificate(&folder)?;
        let config = folder.join("nginx.conf");
        std::fs::write(&config, configuration(&folder, plain, tls))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("nginx")
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("can't start nginx (Debian package nginx-light)")?;
        let server = Self {
            plain,
            tls,
            root,
            child,
        };
        wait::until("nginx to listen", || async {
            Ok(tokio::net::TcpStream::connect(server.tls).await.ok().map(|_| ()))
        })
        .await
        .with_context(|| std::fs::read_to_string(folder.join("error.log")).unwrap_or_default())?;
        Ok(server)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // One process (`master_process off`), with no state to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes key and chain, and gives the root.
fn certificate(folder: &Path) -> anyhow::Result<String> {
    let now = verify::now();
    let root = CertificateAuthority::new_root(&"web.test".parse()?, now)?;
    let ca = root.new_intermediate(Intermediate::Platform, now)?;
    let key = PrivateKey::generate()?;
    let request = PublicKey::from_request(&key.csr("www.acme.test")?)?;
    let names = ["www.acme.test".to_owned(), "127.0.0.1".to_owned()];
    let issued = ca.issue_web_server(&request, &names, days(30), now)?;
    key.store(&folder.join("private").join("key.pem"))?;
    std::fs::write(
        folder.join("chain.pem"),
        pem::certificates([&issued.certificate, &issued.issuer]),
    )?;
    Ok(pem::certificates([root.certificate_der()]))
}

fn configuration(folder: &Path, plain: SocketAddr, tls: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        r#"
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {plain};
        listen {tls} ssl;
        server_name www.acme.test;
        ssl_certificate {folder}/chain.pem;
        ssl_certificate_key {folder}/private/key.pem;
        location = / {{ default_type text/plain; return 200 "hello from nginx\n"; }}
        location = /status.json {{ default_type application/json; return 200 '{{"up": true, "parts": [{{"name": "db"}}]}}'; }}
        location = /moved {{ return 302 $scheme://$http_host/; }}
        location = /away {{ return 302 http://127.0.0.1:1/; }}
        location / {{ return 404; }}
    }}
}}
"#
    )
}
