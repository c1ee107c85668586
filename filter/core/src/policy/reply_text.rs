//! Reply texts with placeholders.

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
}

const PLACEHOLDERS: [(&str, Part); 5] = [
    ("client", Part::Client),
    ("consecutive", Part::Consecutive),
    ("rejected", Part::Rejected),
    ("tried", Part::Tried),
    ("wasted", Part::Wasted),
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
        // An address has at most 39 characters, a count 10.
        let longest = text.0.iter().map(Part::longest).sum::<usize>() + 2;
        if longest > MAX_REPLY_LINE {
            return Err(format!(
                "at most {MAX_REPLY_LINE} octets with all placeholders filled"
            ));
        }
        Ok(text)
    }

    /// The line, CRLF included.
    #[must_use]
    pub fn line(&self, client: Option<IpAddr>, counts: &Counts) -> Vec<u8> {
        let mut line = String::new();
        for part in &self.0 {
            // Writing to a String does not fail.
            let _ = match part {
                Part::Text(text) => line.write_str(text),
                Part::Client => match client {
                    Some(address) => write!(line, "{address}"),
                    None => line.write_str("unknown"),
                },
                Part::Consecutive => write!(line, "{}", counts.consecutive),
                Part::Rejected => write!(line, "{}", counts.rejected),
                Part::Tried => write!(line, "{}", counts.tried),
                Part::Wasted => write!(line, "{}", counts.wasted),
            };
        }
        line.push_str("\r\n");
        line.into_bytes()
    }
}

impl Part {
    fn longest(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Client => 39,
            Self::Consecutive | Self::Rejected | Self::Tried | Self::Wasted => 10,
        }
    }
}

#[cfg(test)]
mod tests {
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
        let line = text.unwrap().line("2001:db8::7".parse().ok(), &counts);
        assert_eq!(line, b"421 4.7.0 2001:db8::7: 5 of 7/9, 1\r\n");
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
