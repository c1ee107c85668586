//! Replies of a server, as a client reads them.

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// Its code; 0 where there was none to read.
    pub(super) code: u16,
    /// Its last line, without the line's end.
    pub(super) text: Vec<u8>,
}

impl Reply {
    /// The class of its code (RFC 5321 section 4.2.1).
    pub(super) fn class(&self) -> u16 {
        self.code / 100
    }

    /// Whether the server ends the session with it (RFC 5321 section 3.8).
    pub(super) fn is_last(&self) -> bool {
        self.code == 421
    }
}

/// The bytes of replies that are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Replies(Vec<u8>);

impl Replies {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole reply.
    pub(super) fn next(&mut self) -> Option<Reply> {
        loop {
            let end = self.0.iter().position(|byte| *byte == b'\n')?;
            let mut line: Vec<u8> = self.0.drain(..=end).collect();
            line.truncate(line.trim_ascii_end().len());
            if line.get(3) != Some(&b'-') {
                let digits = line.get(..3).and_then(|code| str::from_utf8(code).ok());
                let code = digits.and_then(|code| code.parse().ok()).unwrap_or(0);
                return Some(Reply { code, text: line });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_several_lines_is_one() {
        let mut replies = Replies::default();
        replies.read(b"250-mx\r\n250-PIPELINING\r\n25");
        assert_eq!(replies.next(), None);
        replies.read(b"0 SIZE\r\n421\r\nwhat\r\n");
        let codes: Vec<u16> = std::iter::from_fn(|| replies.next().map(|r| r.code)).collect();
        assert_eq!(codes, [250, 421, 0]);
    }
}
