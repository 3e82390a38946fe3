//! What a browser loads: embedded in the program, named by its content, so that it may be kept for ever.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Files;

/// Hexadecimal digits of the SHA-256 in a URL: 64 bits.
const HASH_DIGITS: usize = 16;

/// The path of every file with its hash: `app.css` is `/assets/0123456789abcdef/app.css`.
static URLS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    Files::iter()
        .filter_map(|name| {
            let file = Files::get(&name)?;
            let url = format!("/assets/{}/{name}", hash(&file));
            Some((name.into_owned(), url))
        })
        .collect()
});

fn hash(file: &EmbeddedFile) -> String {
    file.metadata
        .sha256_hash()
        .iter()
        .take(HASH_DIGITS / 2)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String can't fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}

/// The URL of the file `name`, for templates. A test sees that every name that a template uses exists.
#[must_use]
pub fn url(name: &str) -> &'static str {
    URLS.get(name).map_or("", String::as_str)
}

/// Serves a file. Under its present hash it never changes; under another hash it isn't there any more.
pub async fn show(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some((asked, name)) = path.split_once('/') else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(file) = Files::get(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let hash = hash(&file);
    if asked != hash {
        return StatusCode::NOT_FOUND.into_response();
    }
    let etag = format!("\"{hash}\"");
    let caching = [
        (CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (ETAG, etag.clone()),
    ];
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes())
    {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, content_type(name))], file.data).into_response()
}

/// For browsers that look for it there before they read the page.
pub async fn favicon() -> Response {
    match Files::get("icon.svg") {
        Some(file) => ([(CONTENT_TYPE, "image/svg+xml")], file.data).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendored_files_are_those_that_their_readme_names() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name == "README.md" {
                continue;
            }
            let file = Files::get(&format!("vendor/{name}")).unwrap();
            let sum: String = file
                .metadata
                .sha256_hash()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert!(
                readme.contains(&format!("`{name}`")) && readme.contains(&sum),
                "{name} {sum}"
            );
        }
    }

    #[test]
    fn templates_name_only_assets_that_exist() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for rest in text.split("assets::url(\"").skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(!url(name).is_empty(), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_under_its_hash_is_immutable_and_under_another_hash_is_not_there() {
        let path = url("app.css").strip_prefix("/assets/").unwrap().to_owned();
        let response = show(Path(path.clone()), HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            response.headers()[CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );

        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, response.headers()[ETAG].clone());
        assert_eq!(show(Path(path), headers).await.status(), StatusCode::NOT_MODIFIED);
        let other = show(Path("0000000000000000/app.css".into()), HeaderMap::new()).await;
        assert_eq!(other.status(), StatusCode::NOT_FOUND);
    }
}
