//! Reply texts with placeholders.

use super::listing::Listing;
use super::verdict::Counts;
use std::fmt::Write;
use std::net::IpAddr;

/// The longest reply line, its CRLF included (RFC 5321 section 4.5.3.1.5).
const MAX_REPLY_LINE: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Client,
    Consecutive,
    Rejected,
    Tried,
    Wasted,
    Site,
    Codes,
    Reason,
}

/// What the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The client's address, where it is known.
    pub client: Option<IpAddr>,
    /// What its session did.
    pub counts: &'a Counts,
    /// Which DNS blacklists have it.
    pub listing: Option<&'a Listing>,
}

const PLACEHOLDERS: [(&str, Part); 8] = [
    ("client", Part::Client),
    ("consecutive", Part::Consecutive),
    ("rejected", Part::Rejected),
    ("tried", Part::Tried),
    ("wasted", Part::Wasted),
    ("site", Part::Site),
    ("codes", Part::Codes),
    ("reason", Part::Reason),
];

/// One reply line: three digits, a space, printable ASCII with placeholders in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyText(Vec<Part>);

impl ReplyText {
    /// Reads a text.
    ///
    /// # Errors
    /// What was expected instead, fit for a [`super::ConfigError`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let code = text.get(..4).unwrap_or_default().as_bytes();
        let is_code = matches!(code, [b'4' | b'5', b'0'..=b'5', b'0'..=b'9', b' ']);
        if !is_code {
            return Err("a 4yz or 5yz code, a space and a text".to_owned());
        }
        if !text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
            return Err("one line of printable ASCII".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind
                .split_once('}')
                .ok_or_else(|| "a closing brace behind each {".to_owned())?;
            let placeholder = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
            let (_, part) = placeholder.ok_or_else(|| {
                let known = PLACEHOLDERS.map(|(known, _)| format!("{{{known}}}"));
                format!("only the placeholders {}", known.join(", "))
            })?;
            parts.extend([Part::Text(before.to_owned()), part.clone()]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let text = Self(parts);
        let longest = text.0.iter().map(Part::longest).sum::<usize>() + 2;
        if longest > MAX_REPLY_LINE {
            return Err(format!(
                "at most {MAX_REPLY_LINE} octets with all placeholders filled"
            ));
        }
        Ok(text)
    }

    /// The line, CRLF included. What DNS says may be long: the line is cut where it would be too
    /// long for a reply.
    #[must_use]
    pub fn line(&self, facts: Facts<'_>) -> Vec<u8> {
        let mut line = String::new();
        for part in &self.0 {
            // Writing to a String does not fail.
            let _ = part.write(&mut line, facts);
        }
        let mut line = line.into_bytes();
        line.truncate(MAX_REPLY_LINE - 2);
        line.extend_from_slice(b"\r\n");
        line
    }
}

impl Part {
    fn write(&self, line: &mut String, facts: Facts<'_>) -> std::fmt::Result {
        let counts = facts.counts;
        match (self, facts.client, facts.listing) {
            (Self::Text(text), ..) => line.write_str(text),
            (Self::Client, Some(address), _) => write!(line, "{address}"),
            (Self::Client, None, _) => line.write_str("unknown"),
            (Self::Consecutive, ..) => write!(line, "{}", counts.consecutive),
            (Self::Rejected, ..) => write!(line, "{}", counts.rejected),
            (Self::Tried, ..) => write!(line, "{}", counts.tried),
            (Self::Wasted, ..) => write!(line, "{}", counts.wasted),
            (Self::Site, _, Some(listing)) => line.write_str(listing.site()),
            (Self::Codes, _, Some(listing)) => write!(line, "{}", listing.codes()),
            (Self::Reason, _, Some(listing)) => match &listing.text {
                Some(text) => write!(line, "; {text}"),
                None => Ok(()),
            },
            (Self::Site | Self::Codes | Self::Reason, _, None) => Ok(()),
        }
    }

    /// How long it is for certain: an address has at most 39 characters, a count 10; what DNS says
    /// is cut if need be.
    fn longest(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Client => 39,
            Self::Consecutive | Self::Rejected | Self::Tried | Self::Wasted => 10,
            Self::Site | Self::Codes | Self::Reason => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::Listed;
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn placeholders_are_filled() {
        let text =
            ReplyText::parse("421 4.7.0 {client}: {consecutive} of {rejected}/{tried}, {wasted}");
        let counts = Counts {
            tried: 9,
            rejected: 7,
            consecutive: 5,
            wasted: 1,
            ..Counts::default()
        };
        let facts = Facts {
            client: "2001:db8::7".parse().ok(),
            counts: &counts,
            listing: None,
        };
        let line = text.unwrap().line(facts);
        assert_eq!(line, b"421 4.7.0 2001:db8::7: 5 of 7/9, 1\r\n");
    }

    #[test]
    fn a_listing_is_told_and_cut_where_too_long() {
        let text = ReplyText::parse("554 {client} blocked using {site} ({codes}){reason}").unwrap();
        let mut listing = Listing {
            total: 3,
            sites: vec![Listed {
                site: "bl.example.test".to_owned(),
                codes: vec![[127, 0, 0, 2].into(), [127, 0, 0, 4].into()],
                weight: 3,
            }],
            text: None,
        };
        let line = |listing: Option<&Listing>| {
            let facts = Facts {
                client: None,
                counts: &Counts::default(),
                listing,
            };
            String::from_utf8(text.line(facts)).unwrap()
        };
        assert_eq!(line(None), "554 unknown blocked using  ()\r\n");
        let told = "554 unknown blocked using bl.example.test (127.0.0.2, 127.0.0.4)";
        assert_eq!(line(Some(&listing)), format!("{told}\r\n"));
        listing.text = Some("see {client}".to_owned());
        assert_eq!(line(Some(&listing)), format!("{told}; see {{client}}\r\n"));
        listing.text = Some("x".repeat(600));
        let long = line(Some(&listing));
        assert_eq!(long.len(), 512);
        assert!(long.ends_with("x\r\n"));
    }

    #[test]
    fn bad_texts_say_what_would_do() {
        for (text, hint) in [
            ("", "a 4yz or 5yz code"),
            ("250 fine", "a 4yz or 5yz code"),
            ("421", "a 4yz or 5yz code"),
            ("421 two\r\nlines", "one line"),
            ("421 schön", "one line"),
            ("421 {nobody}", "only the placeholders {client}"),
            ("421 {client", "closing brace"),
        ] {
            let error = ReplyText::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text:?}: {error}");
        }
        assert!(
            ReplyText::parse(&format!("421 {}", "x".repeat(507)))
                .unwrap_err()
                .contains("512")
        );
        assert!(ReplyText::parse(&format!("421 {}", "x".repeat(506))).is_ok());
    }
}
