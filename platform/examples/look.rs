//! Serves the pages over a seeded store on loopback, to look at them while working on templates:
//! `cargo run -p picket-platform --example look -- [empty] [AGENTS]`.

#[path = "../tests/web/seed.rs"]
#[expect(clippy::unwrap_used, reason = "what the tests share fails by panicking")]
mod seed;

use std::net::SocketAddr;

use picket_identity::spiffe::TrustDomain;
use picket_platform::app::Services;
use picket_platform::authority::Authority;
use picket_platform::authority::encryption::Sources;
use picket_platform::authority::keys::KeyFolder;
use picket_platform::events::{Event, EventBus};
use picket_platform::metrics::Metrics;
use picket_platform::store::{Store, auth};
use picket_platform::web::{Options, WebState, router};
use tokio_util::sync::CancellationToken;

#[tokio::main]
#[expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for looking at pages"
)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&folder.path().join("look.db")).await.unwrap();
    let events = EventBus::default();
    let keys = key_folder(folder.path());
    let domain: TrustDomain = "picket.example".parse().unwrap();
    Authority::initialise(&store, &keys, &domain, "look")
        .await
        .unwrap();
    let authority = Authority::open(store.clone(), events.clone(), keys, &domain)
        .await
        .unwrap();
    let metrics = Metrics::install().unwrap();
    let services = Services {
        store: store.clone(),
        events: events.clone(),
        authority,
        metrics,
    };
    if arguments.iter().all(|argument| argument != "empty") {
        seed::two_tenants(&store).await;
    }
    let extra: usize = arguments
        .iter()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(0);
    let mut write = store.write().await.unwrap();
    for n in 0..extra {
        let name = format!("site-{n}");
        let agent = seed::Agent {
            tenant: "globex",
            name: &name,
            reach: "reachable",
            cause: "",
            detail: "",
        };
        seed::agent(&mut write, &agent).await;
        let at = write.now() - 5_000;
        for check in 0..10 {
            let status = if n % 97 == 0 && check == 3 { 3 } else { 1 };
            let result = seed::result(
                &format!("web-{check}"),
                status,
                "answered 200 in 22 ms",
                at,
                0.022,
            );
            seed::check(&mut write, "globex", &name, &result, at).await;
        }
    }
    write.commit().await.unwrap();

    let state = WebState::new(
        services,
        Options {
            https: false,
            shutdown: CancellationToken::new(),
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    println!("{}", auth::create_signin_token(&store).await.unwrap().reveal());
    println!(
        "{}",
        auth::create_api_token(&store, "look", None)
            .await
            .unwrap()
            .reveal()
    );
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            let mut write = store.write().await.unwrap();
            let now = write.now();
            sqlx::query("UPDATE check_state SET received_at = $1, started_at = $1 - 3000 WHERE agent = 'berlin-1' AND name <> 'smtp'")
                .bind(now)
                .execute(&mut *write)
                .await
                .unwrap();
            write.commit().await.unwrap();
            events.publish(Event::check("acme", "berlin-1", "web", now));
        }
    });
    axum::serve(
        listener,
        router(state).into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await
    .unwrap();
}

/// The key folder of an installation in `folder`.
fn key_folder(folder: &std::path::Path) -> KeyFolder {
    let sources = Sources {
        variable: Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned().into()),
        ..Sources::default()
    };
    KeyFolder::new(&folder.join("keys"), sources)
}
