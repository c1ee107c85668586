//! Sites: one blacklist, which of its answers count, and how much.

use super::error::SiteError;
use super::filter::Filter;
use std::fmt;
use std::net::Ipv4Addr;

/// The heaviest weight, either way. Postfix sets no bound; this one keeps sums far from overflow.
pub const MAX_WEIGHT: i32 = 1000;

/// The longest site, in octets.
const MAX_SITE: usize = 1024;

/// The longest domain: a name has 253 characters (RFC 1035 section 2.3.4), 64 of which are the
/// nibbles of an IPv6 address and their dots.
const MAX_DOMAIN: usize = 189;

/// The longest label of a domain (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

const WEIGHT: &str = "a weight from 1 to 1000 or from -1000 to -1";

/// One entry of what Postfix calls `postscreen_dnsbl_sites`: `domain[=filter][*weight]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    domain: String,
    filter: Option<Filter>,
    weight: i32,
}

impl Site {
    /// Reads a site as Postfix's postscreen(8) does. Other than there, the domain may end in a
    /// dot, and the weight lies in 1..=[`MAX_WEIGHT`] or is the negative of such.
    ///
    /// # Errors
    /// The first octet that does not fit, and what would.
    pub fn parse(text: &str) -> Result<Self, SiteError> {
        if text.len() > MAX_SITE {
            return Err(SiteError {
                position: MAX_SITE,
                expected: "a site of at most 1024 octets",
            });
        }
        let (front, weight) = match text.split_once('*') {
            Some((front, weight)) => (front, Some(weight)),
            None => (text, None),
        };
        let (domain, filter) = match front.split_once('=') {
            Some((domain, filter)) => (domain, Some(filter)),
            None => (front, None),
        };
        let domain = read_domain(domain)?;
        let at = front.len() - filter.map_or(0, str::len);
        let filter = filter.map(|filter| Filter::parse(filter, at)).transpose()?;
        let weight = weight.map_or(Ok(1), |weight| read_weight(weight, front.len() + 1))?;
        Ok(Self {
            domain,
            filter,
            weight,
        })
    }

    /// The zone to ask, in lower case, without a dot at its end.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What a match adds to a client's score: below 0 for a list of the good. 1 where none is
    /// given, never 0.
    #[must_use]
    pub fn weight(&self) -> i32 {
        self.weight
    }

    /// Whether an answer of `code` counts. Without a filter every one does.
    #[must_use]
    pub fn matches(&self, code: Ipv4Addr) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.matches(code))
    }

    /// Whether an answer may fail to match.
    pub(super) fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }
}

/// A site as it may be read again, in its shortest form.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.domain)?;
        if let Some(filter) = &self.filter {
            write!(f, "={filter}")?;
        }
        match self.weight {
            1 => Ok(()),
            weight => write!(f, "*{weight}"),
        }
    }
}

/// Reads a domain by the rules of Postfix's valid_hostname(3).
fn read_domain(text: &str) -> Result<String, SiteError> {
    let fault = |position, expected| Err(SiteError { position, expected });
    let domain = text.strip_suffix('.').unwrap_or(text);
    let mut at = 0;
    for label in domain.split('.') {
        check_label(label, at)?;
        at += label.len() + 1;
    }
    if domain.len() > MAX_DOMAIN {
        return fault(MAX_DOMAIN, "a domain of at most 189 octets");
    }
    if domain.bytes().all(|o| matches!(o, b'0'..=b'9' | b'.')) {
        return fault(0, "a domain name, not a number");
    }
    Ok(domain.to_ascii_lowercase())
}

/// Checks the label that begins `at` octets into a site.
fn check_label(label: &str, at: usize) -> Result<(), SiteError> {
    let fault = |position, expected| {
        Err(SiteError {
            position: at + position,
            expected,
        })
    };
    let belongs = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    if let Some(position) = label.bytes().position(|octet| !belongs(octet)) {
        return fault(
            position,
            "a letter, a digit, a hyphen, _, a dot, =, * or the end",
        );
    }
    if label.is_empty() || label.starts_with('-') {
        return fault(0, "a letter, a digit or _");
    }
    if label.ends_with('-') {
        return fault(label.len() - 1, "a letter, a digit or _");
    }
    if label.len() > MAX_LABEL {
        return fault(MAX_LABEL, "a label of at most 63 octets");
    }
    Ok(())
}

/// Reads a weight that begins `at` octets into a site.
fn read_weight(text: &str, at: usize) -> Result<i32, SiteError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let position = at + text.len() - digits.len();
    let fault = |position, expected| Err(SiteError { position, expected });
    match digits.bytes().position(|octet| !octet.is_ascii_digit()) {
        _ if digits.is_empty() => return fault(position, WEIGHT),
        Some(0) => return fault(position, WEIGHT),
        Some(end) => return fault(position + end, "a digit or the end"),
        None => {}
    }
    match text.parse::<i32>() {
        Ok(weight) if weight != 0 && weight.abs() <= MAX_WEIGHT => Ok(weight),
        _ => fault(at, WEIGHT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn sites_of_all_shapes() {
        let key = "0123456789abcdefghij";
        let deep = format!("{}.test", ["a2"; 61].join("."));
        for (text, domain, weight, printed) in [
            // The examples of postconf(5).
            ("example.com=127.0.0.4", "example.com", 1, None),
            ("example.com=127.0.0.[1..255]*2", "example.com", 2, None),
            (
                "list.dnswl.org=127.0.[2..15].3*-4",
                "list.dnswl.org",
                -4,
                None,
            ),
            ("bl.example.org*2", "bl.example.org", 2, None),
            ("bl.example.org", "bl.example.org", 1, None),
            (
                "BL.Example.ORG*+03",
                "bl.example.org",
                3,
                Some("bl.example.org*3"),
            ),
            ("bl.test.*1", "bl.test", 1, Some("bl.test")),
            (
                "bl.test.=127.0.0.[7]*-1000",
                "bl.test",
                -1000,
                Some("bl.test=127.0.0.7*-1000"),
            ),
            (
                &format!("{key}.zen_x.test*1000"),
                &format!("{key}.zen_x.test"),
                1000,
                None,
            ),
            ("localhost", "localhost", 1, None),
            ("0spam.test", "0spam.test", 1, None),
            ("a-b.1", "a-b.1", 1, None),
            (&deep, &deep, 1, None),
        ] {
            let site = Site::parse(text).unwrap();
            assert_eq!((site.domain(), site.weight()), (domain, weight), "{text}");
            assert_eq!(site.to_string(), printed.unwrap_or(text));
        }
    }

    #[test]
    fn without_a_filter_every_address_counts() {
        let site = Site::parse("bl.test").unwrap();
        let filtered = Site::parse("bl.test=127.0.0.2").unwrap();
        for octet in [2, 3, 255] {
            let code = Ipv4Addr::new(127, 0, 0, octet);
            assert!(site.matches(code));
            assert_eq!(filtered.matches(code), octet == 2);
        }
    }

    #[test]
    fn a_bad_site_says_where_and_what_would_do() {
        let inside = "a letter, a digit, a hyphen, _, a dot, =, * or the end";
        let edge = "a letter, a digit or _";
        let field = "a number from 0 to 255 or [";
        let number = "a domain name, not a number";
        let label = format!("{}.test", "x".repeat(64));
        let long = format!("{}.test", ["a23456789"; 19].join("."));
        let longest = format!("bl.tests=127.0.0.[{}1]", "1;".repeat(502));
        assert!(longest.len() == MAX_SITE && Site::parse(&longest).is_ok());
        let endless = format!("{longest}*");
        for (text, position, expected) in [
            ("", 0, edge),
            (".", 0, edge),
            ("*2", 0, edge),
            ("=127.0.0.2", 0, edge),
            (" bl.test", 0, inside),
            ("bl.test ", 7, inside),
            ("bl.test,other.test", 7, inside),
            ("bl.t\u{e9}st", 4, inside),
            ("bl..test", 3, edge),
            (".bl.test", 0, edge),
            ("bl.test..", 8, edge),
            ("-bl.test", 0, edge),
            ("bl.-test", 3, edge),
            ("bl-.test", 2, edge),
            ("bl.test-*2", 7, edge),
            ("127.0.0.1", 0, number),
            ("12*2", 0, number),
            (&label, 63, "a label of at most 63 octets"),
            (&long, 189, "a domain of at most 189 octets"),
            (&endless, 1024, "a site of at most 1024 octets"),
            ("bl.test=", 8, field),
            ("bl.test==127.0.0.2", 8, field),
            ("bl.test=*2", 8, field),
            ("bl.test=127.0.0.300", 16, field),
            ("bl.test=[127.0.0.300]", 17, field),
            ("bl.test=127.0.0.2 *2", 17, "* or the end"),
            ("bl.test=127.0.0.2=127.0.0.3", 17, "* or the end"),
            ("bl.test*", 8, WEIGHT),
            ("bl.test*0", 8, WEIGHT),
            ("bl.test*-0", 8, WEIGHT),
            ("bl.test*1001", 8, WEIGHT),
            ("bl.test*-1001", 8, WEIGHT),
            ("bl.test*99999999999", 8, WEIGHT),
            ("bl.test* 2", 8, WEIGHT),
            ("bl.test*-", 9, WEIGHT),
            ("bl.test*+-2", 9, WEIGHT),
            ("bl.test*2 ", 9, "a digit or the end"),
            ("bl.test*2.5", 9, "a digit or the end"),
            ("bl.test*2*3", 9, "a digit or the end"),
            ("bl.test*2=127.0.0.2", 9, "a digit or the end"),
        ] {
            let error = Site::parse(text).unwrap_err();
            assert_eq!(error, SiteError { position, expected }, "{text:?}");
        }
    }

    #[test]
    fn errors_read_as_sentences() {
        let error = Site::parse("zen.spamhaus.org=127.0.0.[2;999]").unwrap_err();
        let text = "at octet 28: expected a number from 0 to 255";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn the_longest_domain_fits_a_name() {
        let domain = format!("{}.abcdefghi.test", ["a2345678"; 19].join("."));
        assert_eq!(domain.len(), MAX_DOMAIN - 4);
        let domain = format!("{domain}abcd");
        let site = Site::parse(&domain).unwrap();
        let name = crate::dnsbl::query_name(site.domain(), "2001:db8::1".parse().unwrap());
        assert_eq!(name.len(), 253);
        assert!(Site::parse(&format!("{domain}x")).is_err());
    }
}
