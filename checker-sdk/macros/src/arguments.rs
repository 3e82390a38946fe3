//! What stands in the parentheses of `#[checker(…)]`.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, Ident, LitStr, Path, Token};

/// The longest name that the contract allows, in bytes.
const LONGEST_NAME: usize = 40;
const DEFAULT_INTERVAL_MS: u64 = 60_000;
const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// The parsed and checked arguments.
pub(crate) struct Arguments {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) version: Option<Expr>,
    pub(crate) interval_ms: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) needs: Option<Path>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (mut name, mut summary, mut version, mut needs) = (None, None, None, None);
        let (mut interval_ms, mut timeout_ms) = (DEFAULT_INTERVAL_MS, DEFAULT_TIMEOUT_MS);
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => name = Some(checked_name(&input.parse()?)?),
                "summary" => summary = Some(checked_summary(&input.parse()?)?),
                "version" => version = Some(input.parse()?),
                "interval" => interval_ms = milliseconds(&input.parse()?)?,
                "timeout" => timeout_ms = milliseconds(&input.parse()?)?,
                "needs" => needs = Some(input.parse()?),
                other => {
                    let message = format!(
                        "unknown argument `{other}`; expected one of name, summary, version, interval, timeout, needs"
                    );
                    return Err(syn::Error::new(key.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |argument: &str| {
            syn::Error::new(
                Span::call_site(),
                format!("#[checker] needs the argument `{argument} = \"…\"`"),
            )
        };
        Ok(Self {
            name: name.ok_or_else(|| missing("name"))?,
            summary: summary.ok_or_else(|| missing("summary"))?,
            version,
            interval_ms,
            timeout_ms,
            needs,
        })
    }
}

fn checked_name(literal: &LitStr) -> syn::Result<String> {
    let name = literal.value();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) || !edges {
        let message = format!(
            "a checker's name is 1 to {LONGEST_NAME} of a-z, 0-9 and `-`, with no `-` at either end; found `{name}`"
        );
        return Err(syn::Error::new(literal.span(), message));
    }
    Ok(name)
}

fn checked_summary(literal: &LitStr) -> syn::Result<String> {
    let summary = literal.value();
    if summary.is_empty() || summary.contains('\n') {
        return Err(syn::Error::new(
            literal.span(),
            "a checker's summary is one line that says what it checks",
        ));
    }
    Ok(summary)
}

fn milliseconds(literal: &LitStr) -> syn::Result<u64> {
    let text = literal.value();
    parse_milliseconds(&text).ok_or_else(|| {
        let message =
            format!("expected a whole number with a unit of ms, s, m or h, such as \"30s\"; found `{text}`");
        syn::Error::new(literal.span(), message)
    })
}

fn parse_milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|milliseconds| *milliseconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str) -> String {
        match syn::parse_str::<Arguments>(source) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn fills_in_the_defaults() {
        let arguments = syn::parse_str::<Arguments>(r#"name = "port", summary = "Connects""#).unwrap();
        assert_eq!((arguments.interval_ms, arguments.timeout_ms), (60_000, 10_000));
    }

    #[test]
    fn reads_times_with_units() {
        assert_eq!(parse_milliseconds("250ms"), Some(250));
        assert_eq!(parse_milliseconds("30s"), Some(30_000));
        assert_eq!(parse_milliseconds("2h"), Some(7_200_000));
        for wrong in [
            "",
            "s",
            "30",
            "0s",
            "3 s",
            "-1s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_milliseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn refuses_a_name_outside_the_contract() {
        for wrong in ["", "Port", "-port", "port-", "p.ort", &"p".repeat(41)] {
            assert!(
                message(&format!("name = \"{wrong}\", summary = \"x\"")).contains("a checker's name is"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn names_a_missing_and_an_unknown_argument() {
        assert!(message("name = \"port\"").contains("`summary"));
        assert!(message("nam = \"port\"").contains("unknown argument `nam`"));
    }
}
