//! Where we decide otherwise than x509-limbo expects, and why. `docs/identity.md` has the same for people.

/// Why a case is decided otherwise; `None` for one that isn't.
pub(crate) fn of(id: &str) -> Option<&'static str> {
    let listed = |(_, cases): &&(_, &[&str])| cases.iter().any(|case| is(case, id));
    KNOWN.iter().find(listed).map(|(why, _)| *why)
}

/// A star at the end stands for the rest.
fn is(case: &str, id: &str) -> bool {
    match case.strip_suffix('*') {
        Some(beginning) => id.starts_with(beginning),
        None => case == id,
    }
}

type Why = &'static str;

const KNOWN: &[(Why, &[&str])] = &[
    // Stricter.
    (
        "a CA is never a leaf",
        &[
            "pathlen::validation-ignores-pathlen-in-leaf",
            "rfc5280::ca-as-leaf",
        ],
    ),
    (
        "a CA that issued itself anew counts like any other, for lengths and for names (RFC 5280 exempts it)",
        &[
            "pathlen::self-issued-certs-pathlen",
            "rfc5280::nc::permitted-self-issued",
        ],
    ),
    (
        "what is permitted of directory and mail names isn't compared but refused",
        &[
            "rfc5280::nc::permitted-dn-match",
            "rfc5280::nc::nc-permits-email-exact",
            "rfc5280::nc::nc-permits-email-domain",
            "rfc5280::nc::nc-permits-email-literal-asterisk-exact-match",
            "rfc5280::nc::nc-permits-email-literal-double-asterisk",
            "rfc5280::nc::nc-permits-email-literal-mid-asterisk",
        ],
    ),
    (
        "CAs sign with ECDSA on P-256 or P-384 and nothing else",
        &[
            "webpki::cryptographydotio-chain",
            "online::google.com",
            "online::aws.amazon.com",
            "online::fastly.com",
            "online::stackoverflow.com",
            "online::microsoft.com",
            "online::facebook.com",
            "online::amazon.com",
            "online::s3.amazonaws.com",
            "online::storage.googleapis.com",
            "online::docs.python.org",
            "online::bing.com",
        ],
    ),
    // Decided elsewhere: before path building, or by what surrounds it.
    (
        "a root counts as name, key and constraints here; the rest of our profile is checked when it is taken as a root",
        &[
            "rfc5280::unknown-critical-extension-root",
            "rfc5280::root-missing-basic-constraints",
            "rfc5280::root-non-critical-basic-constraints",
            "rfc5280::root-inconsistent-ca-extensions",
            "rfc5280::ca-empty-subject",
            "webpki::eku::root-has-eku",
        ],
    ),
    (
        "the length isn't the caller's to choose: leaf, one CA, root; anything else is refused after it was found",
        &[
            "pathlen::max-chain-depth-0-exhausted",
            "pathlen::max-chain-depth-1-exhausted",
        ],
    ),
    (
        "the leaf's profile is checked before, and refuses it",
        &[
            "rfc5280::leaf-ku-keycertsign",
            "rfc5280::nc::not-allowed-in-ee-noncritical",
            "rfc5280::nc::not-allowed-in-ee-critical",
            "rfc5280::san::noncritical-with-empty-subject",
            "rfc5280::serial::too-long",
            "rfc5280::serial::zero",
            "webpki::eku::ee-anyeku",
            "webpki::eku::ee-without-eku",
            "webpki::forbidden-p192-leaf",
            "webpki::forbidden-dsa-leaf",
            "webpki::forbidden-weak-rsa-in-leaf",
            "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf",
            "webpki::malformed-aia",
        ],
    ),
    (
        "names of web servers aren't looked at: an identity is a SPIFFE ID, and a leaf with any other name is refused before",
        &[
            "webpki::cn::*",
            "webpki::san::mismatch-*",
            "webpki::san::public-suffix-*",
            "webpki::san::wildcard-*",
            "webpki::san::unicode-emoji-san",
            "webpki::san::no-san",
            "webpki::san::san-*",
            "rfc5280::san::underscore-dns",
            "rfc5280::san::ip-in-dns",
        ],
    ),
    (
        "no revocation lists: active and denied serial numbers come with the registry and with trust updates",
        &[
            "crl::revoked-certificate-with-crl",
            "crl::crlnumber-missing",
            "crl::crlnumber-critical",
            "crl::issuer-missing-crlsign",
        ],
    ),
    // More lenient, in what no CA of ours does: they come from our template and are pinned.
    (
        "key identifiers only help to find a path: none is needed, and none is compared in a root",
        &[
            "rfc5280::aki::leaf-missing-aki",
            "rfc5280::aki::intermediate-missing-aki",
            "rfc5280::aki::critical-aki",
            "rfc5280::aki::cross-signed-root-missing-aki",
            "rfc5280::ski::root-missing-ski",
            "rfc5280::ski::intermediate-missing-ski",
            "rfc5280::ski::critical-ski",
            "webpki::aki::root-with-aki-*",
        ],
    ),
    (
        "name constraints count, critical or not, and empty ones constrain nothing",
        &[
            "rfc5280::nc::permitted-dns-match-noncritical",
            "webpki::nc::intermediate-permitted-excluded-subtrees-*",
        ],
    ),
    (
        "an extended key usage may be critical",
        &["webpki::eku::ee-critical-eku"],
    ),
    (
        "a DNS constraint may begin with a period",
        &["rfc5280::nc::invalid-dnsname-leading-period"],
    ),
    (
        "policies aren't looked at; a CA with critical constraints on them isn't pinned",
        &["rfc5280::pc::ica-noncritical-pc"],
    ),
];
