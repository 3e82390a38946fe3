//! The http checker: whether a URL answers as it should, how fast, and for how long its certificate is good.
//!
//! `config` is what an operator writes, `url` and `redirect` lead from hop to hop, `expectation` judges what came,
//! `json_path` finds values in a body, `verdict` writes the report.

mod config;
mod expectation;
mod json_path;
mod redirect;
mod url;
mod verdict;

use picket_checker_sdk::http::{self, BasicAuth, Request};
use picket_checker_sdk::prelude::*;
use picket_checker_sdk::tls;

use config::{Config, Redirects};
use expectation::Expectations;
use redirect::Hop;
use url::Url;

#[checker(
    name = "http",
    summary = "Requests a URL and judges status, headers, body, timing and certificate",
    interval = "30s",
    timeout = "10s"
)]
fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
    let url: Url = config
        .url
        .parse()
        .map_err(|error| Error::invalid_config(format!("url: {error}")))?;
    let expectations = Expectations::new(&config)?;
    let mut hop = Hop::first(url, config.method.to_ascii_uppercase());
    let mut visited = Vec::new();
    loop {
        let request = request(ctx, &config, &hop);
        let response = match ctx.fetch(&request) {
            Ok(response) => response,
            Err(error) => return verdict::failure(ctx, &config, &hop, &visited, *error),
        };
        let next = match redirect::next(&hop, &response) {
            Some(next) if config.redirects != Redirects::Never => next,
            _ => {
                return Ok(verdict::report(
                    ctx,
                    &config,
                    &expectations,
                    &hop,
                    &visited,
                    &response,
                ));
            }
        };
        visited.push(verdict::visit(&hop, &response));
        let next = match next {
            Ok(next) => next,
            Err(problem) => return Ok(Report::critical(format!("{}: {problem}", hop.url))),
        };
        if config.redirects == Redirects::SameHost && next.url.host != hop.url.host {
            let text = format!(
                "{} redirects to {}, expected to stay on its host",
                hop.url, next.url
            );
            return Ok(Report::critical(text));
        }
        if visited.len() > usize::from(config.max_redirects) {
            let text = format!(
                "{} redirects more than {} times",
                config.url, config.max_redirects
            );
            return Ok(Report::critical(text));
        }
        hop = next;
    }
}

fn request(ctx: &Context, config: &Config, hop: &Hop) -> Request {
    let timeout = config.timeout.map_or(ctx.time_left(), |timeout| {
        timeout.as_duration().min(ctx.time_left())
    });
    let mut request = Request::new(&hop.method, hop.url.to_string(), timeout);
    for (name, value) in &config.headers {
        // A `host` header of the first hop makes no sense to another one.
        if hop.is_home || !name.eq_ignore_ascii_case("host") {
            request = request.header(name, value);
        }
    }
    if !config
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("user-agent"))
    {
        request = request.header("user-agent", concat!("picket-http/", env!("CARGO_PKG_VERSION")));
    }
    // Secrets are for the origin that the operator named, and no other.
    if hop.is_home {
        for (name, value) in &config.secret_headers {
            request = request.secret_header(name, &value.prefix, &value.secret);
        }
        if let Some(secret) = &config.bearer_secret {
            request = request.secret_header("authorization", "Bearer ", secret);
        }
        request.basic_auth = config.basic_auth.as_ref().map(|auth| BasicAuth {
            username: auth.username.clone(),
            password_secret: auth.password_secret.clone(),
        });
    }
    if hop.keeps_body {
        request.body = config.body.as_ref().map(|body| body.clone().into_bytes());
    }
    request.family = config.family.map(http::AddressFamily::from);
    request.tls.trust = tls::trust(config.ca.as_deref());
    request.tls.require_trusted = !config.insecure;
    if hop.is_home {
        request.tls.server_name.clone_from(&config.server_name);
    }
    request.max_body_bytes = config.max_body_bytes;
    request
}

#[cfg(test)]
mod tests;
