//! Values within JSON: `data.items[0].name`, `$` for all of it.

use serde_json::Value;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a path such as `data.items[0].name`; found `{text}`");
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        let mut first = true;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
                let quoted = index.strip_prefix('"').and_then(|index| index.strip_suffix('"'));
                steps.push(match quoted {
                    Some(key) => Step::Key(key.to_owned()),
                    None => Step::Index(index.parse().map_err(|_| wrong())?),
                });
                rest = after;
            } else {
                let dotted = rest.strip_prefix('.');
                let key_start = match dotted {
                    Some(after) => after,
                    None if first && !text.starts_with('$') => rest,
                    None => return Err(wrong()),
                };
                let (key, after) = key_start.split_at(key_start.find(['.', '[']).unwrap_or(key_start.len()));
                if key.is_empty() {
                    return Err(wrong());
                }
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            }
            first = false;
        }
        Ok(Self(steps))
    }

    pub(crate) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

/// Whether two values are the same; numbers compare by what they count, so that `1` is `1.0`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_keys_and_indices() {
        let value = json!({"data": {"items": [{"name": "x"}], "a.b": 1}});
        let find = |path: &str| JsonPath::parse(path).unwrap().find(&value).cloned();
        assert_eq!(find("data.items[0].name"), Some(json!("x")));
        assert_eq!(find("$.data.items[0].name"), Some(json!("x")));
        assert_eq!(find(r#"data["a.b"]"#), Some(json!(1)));
        assert_eq!(find("$"), Some(value.clone()));
        assert_eq!(find("data.items[1]"), None);
    }

    #[test]
    fn refuses_what_is_no_path() {
        for wrong in ["a..b", "a[", "a[x]", "$a", "a[0]b", "."] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_compare_by_what_they_count() {
        assert!(same(&json!({"a": [1]}), &json!({"a": [1.0]})));
        assert!(!same(&json!(1), &json!("1")));
    }
}
