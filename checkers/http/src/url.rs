//! URLs of `http:` and `https:` (RFC 3986), as far as following redirects needs it. The host parses them again: nothing
//! here decides what is allowed.

use std::fmt;
use std::str::FromStr;

/// An absolute URL without fragment and user information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) https: bool,
    /// In lower case; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query; starts with `/`.
    pub(crate) target: String,
}

impl Url {
    /// Where a reference (a `Location`) leads from here (RFC 3986 §5.2).
    pub(crate) fn join(&self, reference: &str) -> Result<Self, String> {
        let reference = without_fragment(reference.trim());
        if has_scheme(reference) {
            return reference.parse();
        }
        if reference.starts_with("//") {
            return format!("{}:{reference}", self.scheme()).parse();
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = if reference.is_empty() {
            self.target.clone()
        } else if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.starts_with('?') {
            format!("{path}{reference}")
        } else {
            let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            format!("{folder}{reference}")
        };
        format!(
            "{}://{}:{}{}",
            self.scheme(),
            self.host,
            self.port,
            without_dots(&target)
        )
        .parse()
    }

    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.host == other.host && self.port == other.port
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("expected a URL such as https://example.com/path, {what}; found `{text}`");
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(wrong(&format!("with ASCII letters only and not {odd:?}")));
        }
        let (scheme, rest) = without_fragment(text)
            .split_once("://")
            .ok_or_else(|| wrong("with a scheme"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("with the scheme http or https")),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '\\']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("without a user (use `basic_auth`)"));
        }
        let (host, port) = split_authority(authority).ok_or_else(|| wrong("with a host and maybe a port"))?;
        Ok(Self {
            https,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(if https { 443 } else { 80 }),
            target: if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            },
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme(), self.host)?;
        if self.port != if self.https { 443 } else { 80 } {
            write!(formatter, ":{}", self.port)?;
        }
        formatter.write_str(&self.target)
    }
}

fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default()
}

/// Whether a reference begins with a scheme: letters before the first colon, which comes before any slash.
fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']);
    end.is_some_and(|end| {
        reference[end..].starts_with(':')
            && reference.starts_with(|c: char| c.is_ascii_alphabetic())
            && reference[..end]
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let end = inner.find(']')? + 2;
            inner[..end - 2].parse::<std::net::Ipv6Addr>().ok()?;
            let port = &authority[end..];
            (
                &authority[..end],
                if port.is_empty() {
                    ""
                } else {
                    port.strip_prefix(':')?
                },
            )
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if host.is_empty() {
        return None;
    }
    match port {
        "" => Some((host, None)),
        digits => Some((host, Some(digits.parse().ok().filter(|port| *port > 0)?))),
    }
}

/// Takes `.` and `..` out of a path (RFC 3986 §5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn reads_host_port_and_target() {
        for (text, host, port, target) in [
            ("http://Example.com", "example.com", 80, "/"),
            ("https://example.com?x=1#y", "example.com", 443, "/?x=1"),
            ("https://example.com:8443/a/b", "example.com", 8443, "/a/b"),
            ("http://[2001:db8::1]:81/", "[2001:db8::1]", 81, "/"),
        ] {
            let url = url(text);
            assert_eq!(
                (url.host.as_str(), url.port, url.target.as_str()),
                (host, port, target),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_url_or_hides_its_host() {
        for wrong in [
            "",
            "example.com",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:x/",
            "http://u@a/",
            "http://a b/",
            "http://ä/",
            "http://[::1",
            "http://[zz]/",
            "http://[::1]x/",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn joins_every_kind_of_reference() {
        let base = url("https://example.com/a/b?q=1");
        for (reference, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x", "https://example.com/x"),
            ("x", "https://example.com/a/x"),
            ("../x", "https://example.com/x"),
            ("../../../x/./y/..", "https://example.com/x/"),
            ("?p=2", "https://example.com/a/b?p=2"),
            ("", "https://example.com/a/b?q=1"),
            ("#top", "https://example.com/a/b?q=1"),
            (
                "/login?next=http://a/..",
                "https://example.com/login?next=http://a/..",
            ),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        assert!(base.join("javascript:alert(1)").is_err());
    }
}
