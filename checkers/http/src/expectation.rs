//! What a response must be.

use picket_checker_sdk::http::Response;
use picket_checker_sdk::prelude::*;
use regex_lite::{Regex, RegexBuilder};
use serde_json::Value;

use crate::config::Config;
use crate::json_path::{JsonPath, same};

/// A compiled expression takes no more than this: it comes from a configuration, but memory is small here.
const REGEX_BYTES: usize = 1024 * 1024;
/// Of a wrong value, so much is shown.
const SHOWN_CHARACTERS: usize = 80;

/// What a response must be, compiled before anything is sent.
pub(crate) struct Expectations {
    status: Vec<(u16, u16)>,
    body: Option<Regex>,
    body_not: Option<Regex>,
    headers: Vec<(String, Regex)>,
    json: Vec<(String, JsonPath, Value)>,
}

impl Expectations {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let mut status = Vec::new();
        for codes in &config.status {
            status.push(codes.bounds().map_err(Error::invalid_config)?);
        }
        if status.is_empty() {
            status.push((200, 299));
        }
        let optional =
            |key: &str, text: &Option<String>| text.as_ref().map(|text| regex(key, text)).transpose();
        let mut headers = Vec::new();
        for (name, text) in &config.expect_headers {
            headers.push((
                name.to_ascii_lowercase(),
                regex(&format!("expect_headers.{name}"), text)?,
            ));
        }
        let mut json = Vec::new();
        for (path, value) in &config.json {
            let parsed =
                JsonPath::parse(path).map_err(|error| Error::invalid_config(format!("json: {error}")))?;
            json.push((path.clone(), parsed, value.clone()));
        }
        Ok(Self {
            status,
            body: optional("body_regex", &config.body_regex)?,
            body_not: optional("body_not_regex", &config.body_not_regex)?,
            headers,
            json,
        })
    }

    /// What is wrong with a response, in words.
    pub(crate) fn problems(&self, response: &Response) -> Vec<String> {
        let mut problems = Vec::new();
        if !self
            .status
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&response.status))
        {
            let codes: Vec<String> = self.status.iter().map(|bounds| codes_in_words(*bounds)).collect();
            problems.push(format!(
                "status {}, expected {}",
                response.status,
                codes.join(", ")
            ));
        }
        for (name, regex) in &self.headers {
            let values: Vec<String> = response.header_values(name).collect();
            if values.is_empty() {
                problems.push(format!("no header `{name}`"));
            } else if !values.iter().any(|value| regex.is_match(value)) {
                let found = short(&values.join(", "));
                problems.push(format!(
                    "header `{name}` is `{found}`, expected to match `{}`",
                    regex.as_str()
                ));
            }
        }
        problems.extend(self.body_problems(response));
        problems
    }

    fn body_problems(&self, response: &Response) -> Vec<String> {
        let mut problems = Vec::new();
        let cut = if response.truncated {
            " (of which only the start was read; see `max_body_bytes`)"
        } else {
            ""
        };
        if self.body.is_some() || self.body_not.is_some() {
            let text = response.text();
            if let Some(regex) = self.body.as_ref().filter(|regex| !regex.is_match(&text)) {
                problems.push(format!("the body{cut} doesn't match `{}`", regex.as_str()));
            }
            if let Some(regex) = self.body_not.as_ref().filter(|regex| regex.is_match(&text)) {
                problems.push(format!("the body matches `{}`", regex.as_str()));
            }
        }
        if self.json.is_empty() {
            return problems;
        }
        match serde_json::from_slice::<Value>(&response.body) {
            Ok(value) => problems.extend(self.json.iter().filter_map(|(path, parsed, expected)| {
                match parsed.find(&value) {
                    Some(found) if same(found, expected) => None,
                    Some(found) => Some(format!(
                        "JSON `{path}` is {}, expected {expected}",
                        short(&found.to_string())
                    )),
                    None => Some(format!("JSON `{path}` is missing, expected {expected}")),
                }
            })),
            Err(error) => problems.push(format!("the body{cut} is no JSON: {error}")),
        }
        problems
    }
}

fn regex(key: &str, text: &str) -> Result<Regex, Error> {
    RegexBuilder::new(text)
        .size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| Error::invalid_config(format!("{key}: `{text}` is no regular expression: {error}")))
}

fn codes_in_words((first, last): (u16, u16)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
