//! From a JSON text to a typed configuration, and the schema the other way.

mod path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::Error;
use path::{Place, path_to};

/// Reads a configuration, a JSON object.
///
/// # Errors
///
/// The place in the configuration, what was expected there, what was found, and the likely right spelling.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| {
        let message = without_position(&error.to_string());
        let hint = suggestion(&message)
            .map(|name| format!("; did you mean `{name}`?"))
            .unwrap_or_default();
        match path_of(json, &error).as_str() {
            "" => Error::invalid_config(format!("{message}{hint}")),
            path => Error::invalid_config(format!("{path}: {message}{hint}")),
        }
    })
}

/// The keys and indices that lead to what is wrong.
fn path_of(json: &str, error: &serde_json::Error) -> String {
    let place = Place {
        line: error.line(),
        column: error.column(),
        // It is told at the object's end, when another key was read last.
        of_whole_object: error.to_string().starts_with("missing field "),
    };
    path_to(json, place)
}

/// The JSON Schema (2020-12) of a configuration.
pub(crate) fn schema<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    SchemaGenerator::new(settings)
        .into_root_schema_for::<T>()
        .to_value()
        .to_string()
}

/// The configuration was written as TOML, so a line and column of its JSON form would mislead.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(position) => message[..position].to_owned(),
        None => message.to_owned(),
    }
}

/// The name in serde's "unknown field `x`, expected one of `a`, `b`" that is likely meant.
fn suggestion(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let found = names.next()?;
    let (name, distance) = names
        .map(|name| (name, distance(found, name)))
        .min_by_key(|(_, distance)| *distance)?;
    // More than a third of the letters wrong is another word.
    (distance <= found.len().max(3) / 3).then_some(name)
}

/// The Levenshtein distance.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{ErrorKind, Thresholds};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Config {
        /// Where to look.
        url: String,
        #[serde(default)]
        usage: Thresholds,
    }

    fn message(json: &str) -> String {
        let error = parse::<Config>(json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.message().to_owned()
    }

    #[test]
    fn names_the_key_that_was_meant() {
        let message = message(r#"{"url": "x", "usag": {}}"#);
        assert!(message.contains("unknown field `usag`"), "{message}");
        assert!(message.ends_with("did you mean `usage`?"), "{message}");
    }

    #[test]
    fn suggests_nothing_for_another_word() {
        assert!(!message(r#"{"url": "x", "password": 1}"#).contains("did you mean"));
    }

    #[test]
    fn names_the_place_of_a_wrong_value() {
        let message = message(r#"{"url": "x", "usage": {"warning": "ten"}}"#);
        assert!(message.starts_with("usage.warning: "), "{message}");
        assert!(message.contains("found `ten`"), "{message}");
        assert!(!message.contains("line 1"), "{message}");
    }

    #[test]
    fn names_a_missing_key() {
        assert_eq!(message("{}"), "missing field `url`");
        assert_eq!(message(r#"{"usage": {}}"#), "missing field `url`");
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Deep {
        #[serde(default)]
        number: u16,
        #[serde(default)]
        servers: Vec<Server>,
        #[serde(default)]
        named: std::collections::BTreeMap<String, Server>,
        #[serde(default)]
        usage: Option<Thresholds>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Server {
        host: String,
        #[serde(default)]
        ports: Vec<u16>,
    }

    #[test]
    fn finds_the_place_that_tracking_it_would_have_found() {
        for json in [
            r#"{"number": "x"}"#,
            r#"{"number": 70000}"#,
            r#"{"number": -1}"#,
            r#"{"number": {"a": 1}}"#,
            r#"{"number": [1]}"#,
            r#"{"number": null}"#,
            r#"{"servers": {"host": "a"}}"#,
            r#"{"servers": [{"host": "a"}, {"host": 1}]}"#,
            r#"{"servers": [{"host": "a"}, {"ports": [1]}]}"#,
            r#"{"servers": [{"host": "a", "ports": [1, 2, "x"]}]}"#,
            r#"{"servers": [{"host": "a", "ports": [1, 2, 70000], "x": 1}]}"#,
            r#"{"servers": [{"host": "a", "port": 1}]}"#,
            r#"{"servers": ["a"]}"#,
            r#"{"named": {"first": {"host": "a"}, "second": {"host": []}}}"#,
            r#"{"usage": {"warning": "ten"}}"#,
            r#"{"usage": {"warning": [1]}}"#,
            r#"{"usage": {"warnin": 1}}"#,
            r#"{"other": 1}"#,
            r#"["x"]"#,
            r#"1"#,
        ] {
            let mut deserializer = serde_json::Deserializer::from_str(json);
            let tracked = serde_path_to_error::deserialize::<_, Deep>(&mut deserializer).unwrap_err();
            let tracked = match tracked.path().to_string().as_str() {
                "." => String::new(),
                path => path.to_owned(),
            };
            let error = serde_json::from_str::<Deep>(json).unwrap_err();
            assert_eq!(path_of(json, &error), tracked, "{json}: {error}");
        }
    }

    #[test]
    fn the_schema_describes_an_object_with_the_doc_comments() {
        let schema: serde_json::Value = serde_json::from_str(&schema::<Config>()).unwrap();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["properties"]["url"]["description"], "Where to look.");
        assert_eq!(schema["additionalProperties"], false);
    }
}
