//! One SMTP session of the demo server: bytes in, bytes out.

use std::sync::Arc;

use super::command::{self, Command};
use super::mailboxes::Mailboxes;
use super::stats::{Stats, add};

/// A command line longer than this is refused (RFC 5321 asks for 512 at least).
const LINE_LIMIT: usize = 64 * 1024;

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More may come.
    Open,
    /// Write what is there, then close.
    Close,
}

/// A session. Feed it with [`receive`](Self::receive) whatever arrives, in any pieces.
pub struct Session {
    mailboxes: Arc<Mailboxes>,
    stats: Arc<Stats>,
    /// Bytes not understood yet: less than a line, or less than a chunk's head.
    input: Vec<u8>,
    mode: Mode,
    greeted: bool,
    transaction: Option<Transaction>,
}

/// What the next bytes are.
enum Mode {
    Command,
    /// A command line beyond the limit: skipped to its end.
    LongLine,
    Data(Body),
    Chunk {
        left: usize,
        size: usize,
        last: bool,
        wanted: bool,
    },
    Ended,
}

/// A message body under DATA.
struct Body {
    /// The last line ended with CRLF, so that a dot means something.
    at_line_start: bool,
    bytes: usize,
}

/// From MAIL to the end of the message.
#[derive(Default)]
struct Transaction {
    accepted: usize,
    chunk_bytes: usize,
    chunked: bool,
}

impl Session {
    /// A new session; the greeting goes to `out`.
    pub fn start(mailboxes: Arc<Mailboxes>, stats: Arc<Stats>, out: &mut Vec<u8>) -> Self {
        add(&stats.connections, 1);
        let before = out.len();
        line(out, &format!("220 {} ESMTP", mailboxes.domain()));
        add(&stats.bytes_out, out.len() - before);
        Self {
            mailboxes,
            stats,
            input: Vec::new(),
            mode: Mode::Command,
            greeted: false,
            transaction: None,
        }
    }

    /// Takes what the client sent; replies go to `out`.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Flow {
        add(&self.stats.bytes_in, bytes.len());
        let before = out.len();
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while let Some(after) = self.step(rest, out) {
            rest = after;
        }
        let used = input.len() - rest.len();
        input.drain(..used);
        self.input = input;
        add(&self.stats.bytes_out, out.len() - before);
        match self.mode {
            Mode::Ended => Flow::Close,
            _ => Flow::Open,
        }
    }

    /// The server is ending: says so (RFC 5321 section 3.8).
    pub fn shut_down(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        let domain = self.mailboxes.domain();
        line(out, &format!("421 4.3.2 {domain} shutting down"));
        add(&self.stats.bytes_out, out.len() - before);
        self.mode = Mode::Ended;
    }

    /// Understands the next unit of `input`; gives what follows it, or nothing
    /// when more bytes are needed.
    fn step<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
        match &mut self.mode {
            Mode::Ended => None,
            Mode::Chunk { left, .. } if *left > 0 && input.is_empty() => None,
            Mode::Chunk { left, .. } => {
                let (_, rest) = input.split_at_checked(*left).unwrap_or((input, &[]));
                *left -= input.len() - rest.len();
                if *left == 0 {
                    self.end_chunk(out);
                }
                Some(rest)
            }
            Mode::Data(_) => self.data(input, out),
            Mode::LongLine => match split_line(input) {
                Some((_, rest)) => {
                    self.mode = Mode::Command;
                    line(out, "500 5.5.2 Line too long");
                    Some(rest)
                }
                None => (!input.is_empty()).then_some(&[]),
            },
            Mode::Command => match split_line(input) {
                Some((text, rest)) => {
                    self.command(text, out);
                    Some(rest)
                }
                None if input.len() > LINE_LIMIT => {
                    self.mode = Mode::LongLine;
                    Some(&[])
                }
                None => None,
            },
        }
    }

    fn data<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
        let Mode::Data(body) = &mut self.mode else {
            return None;
        };
        let end = match input.iter().position(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            // All but a CR that may belong to a line end.
            None if input.len() > LINE_LIMIT => input.len() - 1,
            None => return None,
        };
        let (text, rest) = input.split_at_checked(end)?;
        if body.at_line_start && text == b".\r\n" {
            let bytes = body.bytes;
            self.mode = Mode::Command;
            self.accept_message(bytes, out);
            return Some(rest);
        }
        let stuffed = body.at_line_start && text.starts_with(b".");
        body.bytes += text.len() - usize::from(stuffed);
        body.at_line_start = text.ends_with(b"\r\n");
        Some(rest)
    }

    fn command(&mut self, text: &[u8], out: &mut Vec<u8>) {
        add(&self.stats.commands, 1);
        let text = String::from_utf8_lossy(text);
        match command::parse(&text) {
            Command::Ehlo => self.ehlo(out),
            Command::Helo => {
                self.greeted = true;
                self.transaction = None;
                line(out, &format!("250 {}", self.mailboxes.domain()));
            }
            Command::Mail => self.mail(out),
            Command::Rcpt(address) => self.rcpt(address, out),
            Command::Data => self.start_data(out),
            Command::Bdat { size, last } => self.start_chunk(size, last, out),
            Command::Rset => {
                self.transaction = None;
                line(out, "250 2.0.0 Reset");
            }
            Command::Noop => line(out, "250 2.0.0 Nothing done"),
            Command::Vrfy => line(out, "252 2.0.0 Send mail and see"),
            Command::Quit => {
                line(out, "221 2.0.0 Bye");
                self.mode = Mode::Ended;
            }
            Command::Malformed(syntax) => line(out, &format!("501 5.5.4 Syntax: {syntax}")),
            Command::Unknown => line(out, "500 5.5.1 Command not recognized"),
        }
    }

    fn ehlo(&mut self, out: &mut Vec<u8>) {
        self.greeted = true;
        self.transaction = None;
        let domain = self.mailboxes.domain();
        line(out, &format!("250-{domain}"));
        line(out, "250-PIPELINING");
        line(out, "250-8BITMIME");
        line(out, "250-SMTPUTF8");
        line(out, "250-CHUNKING");
        line(out, "250 ENHANCEDSTATUSCODES");
    }

    fn mail(&mut self, out: &mut Vec<u8>) {
        if !self.greeted {
            line(out, "503 5.5.1 Say EHLO first");
        } else if self.transaction.is_some() {
            line(out, "503 5.5.1 A transaction is open already");
        } else {
            self.transaction = Some(Transaction::default());
            line(out, "250 2.1.0 Sender ok");
        }
    }

    fn rcpt(&mut self, address: &str, out: &mut Vec<u8>) {
        let Some(transaction) = self.transaction.as_mut().filter(|open| !open.chunked) else {
            return line(out, "503 5.5.1 Say MAIL first");
        };
        add(&self.stats.rcpt, 1);
        if self.mailboxes.knows(address) {
            transaction.accepted += 1;
            line(out, "250 2.1.5 Recipient ok");
        } else {
            add(&self.stats.rcpt_unknown, 1);
            line(out, &self.mailboxes.reply_to_unknown(address));
        }
    }

    fn start_data(&mut self, out: &mut Vec<u8>) {
        match &self.transaction {
            None => line(out, "503 5.5.1 Say MAIL first"),
            Some(open) if open.chunked => line(out, "503 5.5.1 BDAT was begun"),
            Some(open) if open.accepted == 0 => line(out, "554 5.5.1 No valid recipients"),
            Some(_) => {
                self.mode = Mode::Data(Body {
                    at_line_start: true,
                    bytes: 0,
                });
                line(out, "354 End data with <CR><LF>.<CR><LF>");
            }
        }
    }

    fn start_chunk(&mut self, size: usize, last: bool, out: &mut Vec<u8>) {
        let open = self.transaction.as_mut().filter(|open| open.accepted > 0);
        let wanted = open.is_some();
        if let Some(open) = open {
            open.chunked = true;
            open.chunk_bytes = open.chunk_bytes.saturating_add(size);
        }
        self.mode = Mode::Chunk {
            left: size,
            size,
            last,
            wanted,
        };
        if size == 0 {
            self.end_chunk(out);
        }
    }

    fn end_chunk(&mut self, out: &mut Vec<u8>) {
        let Mode::Chunk {
            size, last, wanted, ..
        } = self.mode
        else {
            return;
        };
        self.mode = Mode::Command;
        if !wanted {
            line(out, "503 5.5.1 No valid recipients");
        } else if last {
            let bytes = self.transaction.as_ref().map_or(0, |open| open.chunk_bytes);
            self.accept_message(bytes, out);
        } else {
            line(out, &format!("250 2.0.0 {size} octets received"));
        }
    }

    fn accept_message(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.transaction = None;
        add(&self.stats.messages, 1);
        add(&self.stats.message_bytes, bytes);
        line(out, "250 2.0.0 Message accepted");
    }
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The first line without its end, and what follows.
fn split_line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let (text, rest) = input.split_at_checked(end + 1)?;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    Some((text.strip_suffix(b"\r").unwrap_or(text), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(pieces: &[&[u8]]) -> (String, Flow, super::super::StatsSnapshot) {
        let mailboxes = Mailboxes::new("example.test", ["alice", "bob"]);
        let mailboxes = mailboxes.unknown_reply("550 5.1.1 <{address}> No such user");
        let stats = Arc::new(Stats::default());
        let mut out = Vec::new();
        let mut session = Session::start(Arc::new(mailboxes), Arc::clone(&stats), &mut out);
        let mut flow = Flow::Open;
        for piece in pieces {
            flow = session.receive(piece, &mut out);
        }
        (String::from_utf8(out).unwrap(), flow, stats.snapshot())
    }

    const DIALOGUE: &[u8] = b"EHLO c\r\n\
        MAIL FROM:<s@x.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<Alice@Example.Test>\r\n\
        DATA\r\nSubject: t\r\n\r\n..dot\r\n.\nbare\r\n.\r\n\
        MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 4\r\na\r\nbBDAT 0\r\nBDAT 5 LAST\r\n.\r\n\r\n\
        RSET\r\nNOOP\r\nVRFY x\r\nQUIT\r\n";

    #[test]
    fn a_whole_dialogue_is_the_same_at_every_split_point() {
        let (whole, flow, stats) = talk(&[DIALOGUE]);
        let codes: Vec<&str> = whole.lines().filter_map(|line| line.get(..4)).collect();
        assert_eq!(
            codes,
            [
                "220 ", "250-", "250-", "250-", "250-", "250-", "250 ", "250 ", "550 ", "250 ",
                "354 ", "250 ", "250 ", "250 ", "250 ", "250 ", "250 ", "250 ", "250 ", "252 ",
                "221 "
            ]
        );
        assert_eq!(flow, Flow::Close);
        assert_eq!((stats.rcpt, stats.rcpt_unknown, stats.messages), (3, 1, 2));
        // Subject (12), empty line (2), ".dot" (6), "\nbare\r\n" (7), chunks (9).
        assert_eq!(stats.message_bytes, 12 + 2 + 6 + 7 + 9);
        for at in 0..=DIALOGUE.len() {
            let (head, tail) = DIALOGUE.split_at(at);
            assert_eq!(
                talk(&[head, tail]),
                (whole.clone(), flow, stats.clone()),
                "{at}"
            );
        }
        let bytes: Vec<&[u8]> = DIALOGUE.chunks(1).collect();
        assert_eq!(talk(&bytes), (whole, flow, stats));
    }

    #[test]
    fn wrong_order_and_errors_never_end_the_session() {
        let table = [
            ("MAIL FROM:<a@b.test>", "503"),
            ("RCPT TO:<alice@example.test>", "503"),
            ("DATA", "503"),
            ("EHLO", "501"),
            ("BANANA", "500"),
            ("BDAT x", "501"),
            ("BDAT 0 LAST", "503"),
        ];
        for (command, code) in table {
            let input = format!("{command}\r\n").repeat(50);
            let (out, flow, stats) = talk(&[input.as_bytes()]);
            let replies: Vec<&str> = out.lines().skip(1).collect();
            assert_eq!(replies.len(), 50, "{command}");
            assert!(replies.iter().all(|line| line.starts_with(code)), "{out}");
            assert_eq!((flow, stats.commands), (Flow::Open, 50));
        }
        let (out, ..) = talk(&[b"EHLO c\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n"]);
        assert!(out.contains("\r\n503 5.5.1 A transaction"), "{out}");
        assert!(out.ends_with("554 5.5.1 No valid recipients\r\n"), "{out}");
    }

    #[test]
    fn an_endless_line_is_refused_and_forgotten() {
        let long = vec![b'x'; LINE_LIMIT * 4];
        let (out, ..) = talk(&[&long, b"more\r\nNOOP\r\n"]);
        let replies: Vec<&str> = out.lines().skip(1).collect();
        assert_eq!(
            replies,
            ["500 5.5.2 Line too long", "250 2.0.0 Nothing done"]
        );
    }
}
