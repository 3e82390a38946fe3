//! Server-sent events: a snapshot first, then hints; a replay for who comes back.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use picket_platform::events::Event;
use tower::ServiceExt as _;

use super::site::{Site, request};

/// Long enough for a loaded machine; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Stream {
    body: axum::body::BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Message {
    event: String,
    id: String,
    data: serde_json::Value,
}

impl Stream {
    async fn open(site: &Site, path: &str, headers: &[(&str, &str)]) -> Self {
        let request = request(Method::GET, path, headers, String::new());
        let response = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(response.headers().contains_key("content-security-policy"));
        Self {
            body: Body::into_data_stream(response.into_body()),
            text: String::new(),
        }
    }

    /// The next message that isn't a comment.
    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some((block, rest)) = self.text.split_once("\n\n") {
                    let block = block.to_owned();
                    self.text = rest.to_owned();
                    let field = |name: &str| {
                        block
                            .lines()
                            .find_map(|line| line.strip_prefix(name))
                            .unwrap_or_default()
                            .trim()
                            .to_owned()
                    };
                    if field("event:").is_empty() {
                        continue;
                    }
                    let data = serde_json::from_str(&field("data:")).unwrap();
                    return Message {
                        event: field("event:"),
                        id: field("id:"),
                        data,
                    };
                }
                let bytes = self.body.next().await.unwrap().unwrap();
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_and_then_hints_at_each_write() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    let mut stream = Stream::open(&site, "/live?tenant=acme&agent=berlin-1", &[("cookie", &cookie)]).await;
    let first = stream.next().await;
    assert_eq!(first.event, "snapshot");
    assert_eq!(
        first.data["agents"],
        serde_json::json!({"ok":0,"warning":0,"critical":1,"unknown":0,"stale":1})
    );
    assert_eq!(first.data["open_alerts"], 2);

    site.events.publish(Event::check("globex", "oslo-1", "web", 1));
    let form = format!("csrf={}", site.csrf(&cookie).await);
    let done = site
        .post("/alerts/al-web/acknowledge", &[("cookie", &cookie)], &form)
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let hint = stream.next().await;
    assert_eq!(hint.event, "hint");
    assert_eq!(
        hint.data["changes"].as_array().unwrap().len(),
        1,
        "only what the page shows: {:?}",
        hint.data
    );
    assert_eq!(hint.data["changes"][0]["kind"], "alert");
    assert_eq!(hint.data["changes"][0]["name"], "al-web");
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_a_stranger_a_snapshot() {
    let site = Site::seeded().await;
    let bearer = site.token("all", None).await;
    let headers = [("authorization", &*bearer)];
    let mut stream = Stream::open(&site, "/api/v1/events", &headers).await;
    let snapshot = stream.next().await;
    site.events.publish(Event::check("acme", "berlin-1", "web", 1));
    let seen = stream.next().await;
    drop(stream);

    let mut other = Stream::open(&site, "/api/v1/events", &headers).await;
    other.next().await;
    site.events.publish(Event::check("acme", "berlin-1", "disk", 2));
    let missed = other.next().await;
    assert_eq!(missed.data["changes"][0]["name"], "disk");

    let again = [("authorization", &*bearer), ("last-event-id", &*seen.id)];
    let replayed = Stream::open(&site, "/api/v1/events", &again).await.next().await;
    assert_eq!((replayed.event.as_str(), &replayed.id), ("hint", &missed.id));
    assert_eq!(replayed.data["changes"][0]["name"], "disk");
    let all = [("authorization", &*bearer), ("last-event-id", &*snapshot.id)];
    let replayed = Stream::open(&site, "/api/v1/events", &all).await.next().await;
    assert_eq!(replayed.id, seen.id, "from the first one missed on");

    for unknown in ["00000000-1", "x", "", "deadbeef-99999999999999999999"] {
        let headers = [("authorization", &*bearer), ("last-event-id", unknown)];
        let first = Stream::open(&site, "/api/v1/events", &headers).await.next().await;
        assert_eq!(first.event, "snapshot", "{unknown:?}");
    }
}

#[tokio::test]
async fn a_token_of_one_tenant_hears_nothing_of_another() {
    let site = Site::seeded().await;
    let acme = site.token("acme", Some("acme")).await;
    let mut stream = Stream::open(&site, "/api/v1/events", &[("authorization", &acme)]).await;
    let snapshot = stream.next().await;
    assert_eq!(snapshot.data["open_alerts"], 2, "only its own");
    site.events.publish(Event::check("globex", "oslo-1", "web", 1));
    site.events.publish(Event::gateway("gw-2", 1));
    site.events.publish(Event::tenant("globex", 1));
    site.events.publish(Event::check("acme", "berlin-1", "web", 2));
    let hint = stream.next().await;
    assert!(
        !hint.data.to_string().contains("globex") && !hint.data.to_string().contains("gw-2"),
        "{:?}",
        hint.data
    );
    assert_eq!(hint.data["changes"][0]["tenant"], "acme");
}

#[tokio::test]
async fn a_burst_is_few_events() {
    let site = Site::seeded().await;
    let bearer = site.token("all", None).await;
    let mut stream = Stream::open(&site, "/api/v1/events", &[("authorization", &bearer)]).await;
    stream.next().await;
    for n in 0..300 {
        site.events
            .publish(Event::check("acme", "berlin-1", &format!("c{n}"), n));
    }
    let (mut changes, mut messages) = (0, 0);
    while changes < 300 {
        let hint = stream.next().await;
        changes += hint.data["changes"].as_array().unwrap().len();
        messages += 1;
    }
    assert!(messages <= 5, "{messages}");
}
