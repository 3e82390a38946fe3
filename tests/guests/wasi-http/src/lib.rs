//! Sends requests by `wasi:http`, as a checker does that was not written for Picket.

#![cfg(target_family = "wasm")]

use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, OutgoingRequest, RequestOptions, Scheme,
};
use bindings::wasi::io::streams::StreamError;
use guest_kit::{Error, Report, Request, failed, metric, ok};

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code")]
    wit_bindgen::generate!({
        path: "wit",
        world: "sender",
        generate_all,
    });
}

/// The configuration is `get URL`, `repeat TIMES URL`, or `fields`.
fn run(request: &Request) -> Result<Report, Error> {
    let words: Vec<&str> = request.config.split(' ').collect();
    match words.as_slice() {
        ["get", url] => get(url),
        ["repeat", times, url] => {
            let times = guest_kit::number(times).unwrap_or(0);
            for _ in 0..times {
                get(url)?;
            }
            Ok(ok("repeated"))
        }
        _ => Ok(fields()),
    }
}

fn get(url: &str) -> Result<Report, Error> {
    let (scheme, rest) = match url.strip_prefix("https://") {
        Some(rest) => (Scheme::Https, rest),
        None => (Scheme::Http, url.trim_start_matches("http://")),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&scheme)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(&format!("/{path}"))).is_ok();
    if !set {
        return Err(failed(&"the URL isn't one"));
    }
    match send(request) {
        Ok((status, length)) => {
            let mut report = ok(&format!("status {status}"));
            report.metrics = vec![metric("length", length as f64)];
            Ok(report)
        }
        Err(code) => Ok(ok(&format!("{code:?}"))),
    }
}

fn send(request: OutgoingRequest) -> Result<(u16, usize), ErrorCode> {
    let future = outgoing_handler::handle(request, Some(RequestOptions::new()))?;
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(answer)) => answer?,
        _ => return Err(ErrorCode::InternalError(None)),
    };
    Ok((response.status(), read(&response)?))
}

fn read(response: &IncomingResponse) -> Result<usize, ErrorCode> {
    let broken = |()| ErrorCode::InternalError(None);
    let body = response.consume().map_err(broken)?;
    let stream = body.stream().map_err(broken)?;
    let mut length = 0;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(bytes) => length += bytes.len(),
            Err(StreamError::Closed) => return Ok(length),
            Err(_) => return Err(ErrorCode::HttpResponseIncomplete),
        }
    }
}

/// Puts together headers until it is stopped.
fn fields() -> Report {
    let fields = Fields::new();
    let value = vec![b'x'; 1000];
    for _ in 0..10_000 {
        let _ = fields.append("x-filler", &value);
    }
    ok("filled")
}

guest_kit::guest!(run);
