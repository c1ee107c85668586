//! An SMTP stream in its units: a command line, a message's content, a chunk; and
//! replies.

/// The next bytes of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// A line.
    #[default]
    Line,
    /// Content, to the dot at its end.
    Content,
}

/// A client's stream, cut into what the server answers one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    input: Vec<u8>,
    mode: Mode,
}

/// Something that the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) bytes: Vec<u8>,
    /// Whether a good reply to it means that a message was accepted.
    pub(crate) is_message: bool,
}

impl Units {
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The server has asked for content (354).
    pub(crate) fn expect_content(&mut self) {
        self.mode = Mode::Content;
    }

    /// The next whole unit.
    pub(crate) fn next(&mut self) -> Option<Unit> {
        let (length, is_message) = match self.mode {
            Mode::Content => (content(&self.input)?, true),
            Mode::Line => command(&self.input)?,
        };
        self.mode = Mode::Line;
        Some(Unit {
            bytes: self.input.drain(..length).collect(),
            is_message,
        })
    }
}

/// The length of the content at the beginning (RFC 5321 section 4.1.1.4).
fn content(input: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n.\r\n";
    if input.starts_with(b".\r\n") {
        return Some(3);
    }
    let place = input.windows(END.len()).position(|window| window == END)?;
    Some(place + END.len())
}

/// The length of the command at the beginning, its chunk included (RFC 3030), and
/// whether it ends a message.
fn command(input: &[u8]) -> Option<(usize, bool)> {
    let line = input.iter().position(|byte| *byte == b'\n')? + 1;
    let text = String::from_utf8_lossy(input.get(..line)?).to_ascii_uppercase();
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some("BDAT") {
        return Some((line, false));
    }
    let size = words.next().and_then(|size| size.parse::<usize>().ok());
    let whole = line.saturating_add(size.unwrap_or(0));
    (input.len() >= whole).then_some((whole, words.next() == Some("LAST")))
}

/// A server's stream, cut into replies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replies {
    input: Vec<u8>,
}

impl Replies {
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next whole reply with all its lines (RFC 5321 section 4.2.1).
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let mut length = 0;
        for line in self.input.split_inclusive(|byte| *byte == b'\n') {
            length += line.len();
            if line.ends_with(b"\n") && line.get(3) != Some(&b'-') {
                return Some(self.input.drain(..length).collect());
            }
        }
        None
    }
}

/// The class of a reply's code; `None` where there is no digit.
pub(crate) fn class(reply: &[u8]) -> Option<u8> {
    let first = reply.first()?;
    first.is_ascii_digit().then(|| first - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(units: &mut Units) -> Vec<(String, bool)> {
        let text = |unit: Unit| (String::from_utf8(unit.bytes).unwrap(), unit.is_message);
        std::iter::from_fn(|| units.next().map(text)).collect()
    }

    #[test]
    fn lines_contents_and_chunks_are_units() {
        let mut units = Units::default();
        units.read(b"MAIL FROM:<>\r\nDATA\r\n");
        let line = |text: &str| (text.to_owned(), false);
        assert_eq!(
            all(&mut units),
            [line("MAIL FROM:<>\r\n"), line("DATA\r\n")]
        );
        units.expect_content();
        units.read(b"a\r\n..\r\n.\r");
        assert_eq!(all(&mut units), []);
        units.read(b"\nbdat 3\r\nab");
        assert_eq!(all(&mut units), [("a\r\n..\r\n.\r\n".to_owned(), true)]);
        units.read(b"cBDAT 0 LAST\r\nQUIT\r\n");
        let last = ("BDAT 0 LAST\r\n".to_owned(), true);
        let expected = [line("bdat 3\r\nabc"), last, line("QUIT\r\n")];
        assert_eq!(all(&mut units), expected);
    }

    #[test]
    fn an_empty_message_has_a_dot_only() {
        let mut units = Units::default();
        units.expect_content();
        units.read(b".\r\n");
        assert_eq!(all(&mut units), [(".\r\n".to_owned(), true)]);
    }

    #[test]
    fn replies_keep_their_lines_together() {
        let mut replies = Replies::default();
        replies.read(b"250-a\r\n250 b\r\n4");
        assert_eq!(replies.next().as_deref(), Some(&b"250-a\r\n250 b\r\n"[..]));
        assert_eq!(replies.next(), None);
        replies.read(b"21 bye\r\n");
        assert_eq!(replies.next().as_deref().and_then(class), Some(4));
    }
}
