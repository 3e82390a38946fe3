//! What a check may configure of a command.

use serde_json::{Map, Value};

/// Arguments behind the program's name.
const MAX_ARGUMENTS: usize = 256;
/// Bytes of all arguments together: what a page of their pointers and texts holds in a small program.
const MAX_ARGUMENT_BYTES: usize = 32 << 10;
const MAX_STDIN: usize = 64 << 10;

const KEYS: [&str; 2] = ["arguments", "stdin"];

/// As the host describes it. A test compares it with what [`CommandConfig::parse`] takes.
pub(super) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "arguments": {
      "description": "The command's arguments, behind its name; 32 KiB together.",
      "type": "array",
      "items": { "type": "string" },
      "maxItems": 256,
      "default": []
    },
    "stdin": {
      "description": "What the command reads from its standard input; 64 KiB at most.",
      "type": "string",
      "default": ""
    }
  }
}"#;

/// A command's arguments and input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CommandConfig {
    pub(super) arguments: Vec<String>,
    pub(super) stdin: Option<String>,
}

impl CommandConfig {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// The first mistake in it, in a sentence.
    pub(super) fn parse(config: &str) -> Result<Self, String> {
        let config: Map<String, Value> = serde_json::from_str(config)
            .map_err(|error| format!("expected a command's configuration as an object: {error}"))?;
        let mut parsed = Self::default();
        for (key, value) in config {
            match key.as_str() {
                "arguments" => parsed.arguments = arguments(value)?,
                "stdin" => parsed.stdin = Some(stdin(value)?),
                _ => return Err(unknown(&key)),
            }
        }
        Ok(parsed)
    }
}

fn arguments(value: Value) -> Result<Vec<String>, String> {
    let Value::Array(values) = value else {
        return Err(format!(
            "expected `arguments` to be a list of texts such as [\"-w\", \"80\"], found {}",
            kind(&value)
        ));
    };
    if values.len() > MAX_ARGUMENTS {
        return Err(format!(
            "`arguments` has {} entries, at most {MAX_ARGUMENTS} are allowed",
            values.len()
        ));
    }
    let mut arguments = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Value::String(text) => arguments.push(without_nul("an argument", text)?),
            Value::Number(number) => {
                return Err(format!(
                    "expected texts in `arguments`, found the number {number}: write it in quotes, \"{number}\""
                ));
            }
            other => return Err(format!("expected texts in `arguments`, found {}", kind(&other))),
        }
    }
    let bytes: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
    if bytes > MAX_ARGUMENT_BYTES {
        return Err(format!(
            "`arguments` have {bytes} bytes together, at most {MAX_ARGUMENT_BYTES} are allowed"
        ));
    }
    Ok(arguments)
}

fn stdin(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.len() <= MAX_STDIN => Ok(text),
        Value::String(text) => Err(format!(
            "`stdin` has {} bytes, at most {MAX_STDIN} are allowed",
            text.len()
        )),
        other => Err(format!("expected `stdin` to be a text, found {}", kind(&other))),
    }
}

/// Programs take arguments as C strings.
fn without_nul(what: &str, text: String) -> Result<String, String> {
    if text.contains('\0') {
        Err(format!(
            "{what} has a NUL character, which no program can be given"
        ))
    } else {
        Ok(text)
    }
}

fn unknown(key: &str) -> String {
    let near = KEYS.into_iter().find(|known| {
        // `args`, `argv` and `std_in` are meant well, too.
        let begins_alike = known
            .get(..3)
            .is_some_and(|start| key.to_ascii_lowercase().starts_with(start));
        begins_alike || strsim::damerau_levenshtein(key, known) <= known.len() / 3
    });
    let hint = near
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    format!("a command takes `arguments` and `stdin`, found `{key}`{hint}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(config: &str) -> String {
        CommandConfig::parse(config).unwrap_err()
    }

    #[test]
    fn arguments_and_stdin_are_all_there_is() {
        assert_eq!(CommandConfig::parse("{}"), Ok(CommandConfig::default()));
        let parsed = CommandConfig::parse(r#"{"arguments": ["-w", "80", ""], "stdin": "x"}"#).unwrap();
        assert_eq!(parsed.arguments, ["-w", "80", ""]);
        assert_eq!(parsed.stdin.as_deref(), Some("x"));
    }

    #[test]
    fn an_unknown_key_names_what_was_meant() {
        for key in ["args", "argument", "Arguments", "argumnets"] {
            let error = refused(&format!(r#"{{"{key}": []}}"#));
            assert!(error.ends_with("did you mean `arguments`?"), "{error}");
        }
        assert!(refused(r#"{"stdn": ""}"#).ends_with("did you mean `stdin`?"));
        let error = refused(r#"{"warning": 80}"#);
        assert_eq!(error, "a command takes `arguments` and `stdin`, found `warning`");
    }

    #[test]
    fn what_is_no_text_says_what_to_write() {
        assert!(refused(r#"{"arguments": ["-w", 80]}"#).contains("write it in quotes, \"80\""));
        assert!(refused(r#"{"arguments": "-w 80"}"#).contains("list of texts"));
        assert!(refused(r#"{"arguments": [["-w"]]}"#).contains("found a list"));
        assert!(refused(r#"{"stdin": 1}"#).contains("found a number"));
        assert!(refused("[]").contains("object"));
    }

    #[test]
    fn arguments_and_stdin_are_bounded() {
        let list = |argument: &str, count: usize| serde_json::json!({ "arguments": vec![argument; count] });
        assert!(refused(&list("x", 257).to_string()).contains("at most 256"));
        assert!(refused(&list(&"x".repeat(1_000), 33).to_string()).contains("at most 32768"));
        assert!(refused(&list("a\0b", 1).to_string()).contains("NUL"));
        let stdin = serde_json::json!({ "stdin": "x".repeat(MAX_STDIN + 1) });
        assert!(refused(&stdin.to_string()).contains("at most 65536"));
    }

    #[test]
    fn the_schema_has_the_keys_and_limits_of_the_parser() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let keys: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(keys, KEYS.iter().collect::<Vec<_>>());
        assert_eq!(schema["properties"]["arguments"]["maxItems"], MAX_ARGUMENTS);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in ".{0,100}") {
            let _ = CommandConfig::parse(&text);
        }
    }
}
