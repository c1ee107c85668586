//! The tracker: what the client's next bytes are, and what the server's next reply answers.
//!
//! ```text
//!             DATA's 354            CRLF.CRLF
//!  Commands ------------> Body -----------------> Commands
//!     |  BDAT n (CHUNKING offered)   n octets
//!     +------------------> Chunk ---------------> Commands
//!     |  334                         one line
//!     +------------------> AuthLine ------------> Commands
//!     |  line over the limit         its LF
//!     +------------------> LongLine ------------> Commands
//! ```
//!
//! What bytes mean can depend on a reply still owed (DATA, AUTH, EHLO, ...), or servers may differ
//! in how many commands they see (bare LF, over-long or unknown commands). Such a command is a
//! *barrier*: the tracker reads nothing behind it before its reply is there. RFC 2920 section 3.1
//! demands the same of clients for nearly all of these, so an honest one never notices.

use super::body::{EndOfData, Progress};
use super::command::{Command, Verb};
use super::line::{Framed, LineEnd, frame};
use super::place::{Answer, Hello, Place, ReplyQueue, TlsReply};
use super::reply::ReplyCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Commands,
    Body(EndOfData),
    Chunk { left: u64 },
    AuthLine,
    LongLine,
}

/// What the next client bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit<'a> {
    /// A command of `len` bytes (all of what is in hand where the line is over-long).
    Command {
        /// The command.
        command: Command<'a>,
        /// Bytes it takes, its line end included.
        len: usize,
        /// How its line ended.
        end: LineEnd,
    },
    /// Bytes that carry no command.
    Payload,
    /// Part of a line.
    Partial,
}

/// What bytes are that carry no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A message behind DATA.
    Body,
    /// A chunk.
    Chunk,
    /// A line of an AUTH exchange.
    Auth,
    /// The rest of an over-long line.
    LongLine,
}

/// Why it is not clear yet how the next client bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// They are a message if the server takes DATA, commands if not; or a chunk if it offers
    /// CHUNKING, commands if not.
    Payload,
    /// They are commands, but how many replies are owed before them is not certain.
    Order,
}

/// Whether a payload can only be read in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clarity {
    /// It can.
    Clear,
    /// For the first time in this message, servers may differ on where it ends.
    Doubtful,
}

/// Follows one SMTP session.
#[derive(Debug, Clone)]
pub struct Tracker {
    client: Client,
    owed: ReplyQueue,
    data_line: LineEnd,
    chunking: bool,
    lmtp: bool,
    lmtp_accepted: u32,
    max_line: usize,
    max_owed: usize,
    doubtful_message: bool,
}

impl Tracker {
    /// A session whose greeting is still owed. Command lines over `max_line` octets are passed on
    /// as they come; at most `max_owed` replies may be owed.
    #[must_use]
    pub fn new(max_line: usize, max_owed: usize) -> Self {
        let mut owed = ReplyQueue::default();
        owed.push(Place {
            answer: Answer::Greeting,
            barrier: false,
        });
        Self {
            client: Client::Commands,
            owed,
            data_line: LineEnd::Crlf,
            chunking: false,
            lmtp: false,
            lmtp_accepted: 0,
            max_line,
            max_owed,
            doubtful_message: false,
        }
    }

    /// The replies owed.
    #[must_use]
    pub fn owed(&self) -> &ReplyQueue {
        &self.owed
    }

    /// Why the next client bytes have to wait, if they do.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        if self.client != Client::Commands {
            return None;
        }
        match self.owed.ends_in_barrier() {
            Some(Answer::Data) => Some(Doubt::Payload),
            Some(_) => Some(Doubt::Order),
            None => (self.owed.len() >= self.max_owed).then_some(Doubt::Order),
        }
    }

    /// What `bytes`, the next ones of the client, begin with.
    #[must_use]
    pub fn peek<'a>(&self, bytes: &'a [u8]) -> Unit<'a> {
        if self.client != Client::Commands {
            return Unit::Payload;
        }
        match frame(bytes, self.max_line) {
            Framed::Partial => Unit::Partial,
            Framed::Line { content, len, end } => Unit::Command {
                command: Command::parse(content),
                len,
                end,
            },
        }
    }

    /// What the next client bytes are, if they carry no command.
    #[must_use]
    pub fn payload(&self) -> Option<Payload> {
        match self.client {
            Client::Commands => None,
            Client::Body(_) => Some(Payload::Body),
            Client::Chunk { .. } => Some(Payload::Chunk),
            Client::AuthLine => Some(Payload::Auth),
            Client::LongLine => Some(Payload::LongLine),
        }
    }

    /// Takes the payload at the head of `bytes`; how many of them it is, and whether something in
    /// it may be the end of the message to the server.
    pub fn take_payload(&mut self, bytes: &[u8]) -> (usize, Clarity) {
        let known = matches!(&self.client, Client::Body(scanner) if scanner.saw_doubtful_end());
        let (taken, done) = match &mut self.client {
            Client::Commands => (0, false),
            Client::Body(scanner) => match scanner.scan(bytes) {
                Progress::More => (bytes.len(), false),
                Progress::Ended(len) => (len, true),
            },
            Client::Chunk { left } => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Client::AuthLine | Client::LongLine => match memchr::memchr(b'\n', bytes) {
                Some(at) => (at + 1, true),
                None => (bytes.len(), false),
            },
        };
        let doubtful = matches!(&self.client, Client::Body(scanner) if scanner.saw_doubtful_end());
        let clarity = match doubtful && !known {
            true => Clarity::Doubtful,
            false => Clarity::Clear,
        };
        if done {
            if self.client == Client::AuthLine {
                self.owe(Answer::Auth, true);
            }
            self.doubtful_message |= doubtful;
            self.client = Client::Commands;
        }
        (taken, clarity)
    }

    /// Takes the next octets of a chunk (RFC 3030), which nobody need look at: whether all of so
    /// many are of one.
    pub fn take_chunk(&mut self, octets: usize) -> bool {
        let Client::Chunk { left } = &mut self.client else {
            return false;
        };
        match left.checked_sub(octets as u64) {
            Some(0) => self.client = Client::Commands,
            Some(rest) => *left = rest,
            None => return false,
        }
        true
    }

    /// Notes that a command goes on to the server, which owes `answer` for it. `uncertain` where
    /// servers may read the line differently.
    pub fn sent(&mut self, command: &Command<'_>, end: LineEnd, answer: Answer) {
        let uncertain = end != LineEnd::Crlf || command.has_stray_controls();
        self.owe(answer, uncertain || waits(answer, command.verb));
        if end == LineEnd::Overlong {
            self.client = Client::LongLine;
        } else if let Answer::Chunk { .. } = answer {
            let left = command.chunk().map_or(0, |chunk| u64::from(chunk.size));
            if left > 0 {
                self.client = Client::Chunk { left };
            }
        } else if answer == Answer::Data {
            self.data_line = end;
        }
    }

    /// What the server will owe for `command`, whatever the policy says of it.
    #[must_use]
    pub fn answer_to(&self, command: &Command<'_>) -> Answer {
        match command.verb {
            Verb::Ehlo => Answer::Hello(Hello::Ehlo),
            Verb::Helo => Answer::Hello(Hello::Helo),
            Verb::Lhlo => Answer::Hello(Hello::Lhlo),
            Verb::Mail => Answer::Mail,
            Verb::Rcpt => Answer::Rcpt,
            Verb::Data => Answer::Data,
            Verb::Bdat => match command.chunk() {
                // A server that does not offer CHUNKING reads the octets as commands.
                Some(chunk) if self.chunking => Answer::Chunk { last: chunk.last },
                _ => Answer::Other,
            },
            Verb::Rset => Answer::Rset,
            Verb::Quit => Answer::Quit,
            Verb::Auth => Answer::Auth,
            Verb::StartTls => Answer::StartTls,
            Verb::Vrfy | Verb::Expn => Answer::Lookup,
            Verb::Noop | Verb::Other => Answer::Other,
        }
    }

    /// Takes the reply the server has completed; what it answers, `None` if nothing was owed.
    pub fn replied(&mut self, code: ReplyCode, text: &[u8]) -> Option<Answer> {
        let head = self.owed.head()?;
        // A command out of order is refused once, not for each recipient.
        if self.lmtp && !matches!(code.0, 421 | 503) && self.lmtp_owes_more(head.answer) {
            return Some(head.answer);
        }
        self.owed.pop();
        match head.answer {
            Answer::Hello(hello) if code.is_success() => {
                self.lmtp = hello == Hello::Lhlo;
                self.lmtp_accepted = 0;
                self.chunking = hello != Hello::Helo && offers_chunking(text);
            }
            Answer::Mail | Answer::Rset if code.is_success() => self.lmtp_accepted = 0,
            Answer::Chunk { last: false } if code.is_failure() => self.lmtp_accepted = 0,
            Answer::Rcpt | Answer::Postmaster if code.is_success() => self.lmtp_accepted += 1,
            Answer::Data if code.is_intermediate() => {
                self.client = Client::Body(EndOfData::new(self.data_line));
                // Where bare LFs may end the message, only its reply tells that they have.
                self.owe(Answer::Message, self.data_line != LineEnd::Crlf);
            }
            Answer::Auth if code.is_intermediate() => self.client = Client::AuthLine,
            _ => {}
        }
        Some(head.answer)
    }

    /// Whether a message of this session held something that the server may have taken for its
    /// end, or a chunk is under way of which it may see another length: replies that nobody owes
    /// are then replies to what stood inside.
    #[must_use]
    pub fn in_doubtful_body(&self) -> bool {
        self.doubtful_message
            || match &self.client {
                Client::Body(scanner) => scanner.saw_doubtful_end(),
                Client::Chunk { .. } => true,
                Client::Commands | Client::AuthLine | Client::LongLine => false,
            }
    }

    /// TLS starts: what the server has offered so far no longer holds (RFC 3207 section 4.2).
    pub fn forget_offers(&mut self) {
        self.chunking = false;
        self.lmtp = false;
        self.lmtp_accepted = 0;
    }

    /// Whether the server owes a reply to a whole message. A chunk under way is none yet.
    #[must_use]
    pub fn owes_for_message(&self) -> bool {
        let unfinished = usize::from(matches!(self.client, Client::Chunk { .. }));
        self.owed
            .holds_message(self.owed.len().saturating_sub(unfinished))
    }

    /// Whether what the client sends next is a command.
    #[must_use]
    pub fn expects_command(&self) -> bool {
        self.client == Client::Commands
    }

    /// Whether a message sent by DATA is under way.
    #[must_use]
    pub fn in_body(&self) -> bool {
        matches!(self.client, Client::Body(_))
    }

    /// One reply for each accepted recipient follows an LMTP message (RFC 2033 section 4.2).
    fn lmtp_owes_more(&mut self, answer: Answer) -> bool {
        let per_recipient = matches!(answer, Answer::Message | Answer::Chunk { last: true });
        if !per_recipient || self.lmtp_accepted <= 1 {
            return false;
        }
        self.lmtp_accepted -= 1;
        true
    }

    fn owe(&mut self, answer: Answer, barrier: bool) {
        self.owed.push(Place { answer, barrier });
    }
}

/// Whether the reply decides how the next client bytes are read.
fn waits(answer: Answer, verb: Verb) -> bool {
    match answer {
        Answer::Hello(_) | Answer::Data | Answer::Auth | Answer::StartTls => true,
        Answer::Tls(reply) => reply == TlsReply::Ready,
        Answer::Other => verb != Verb::Noop,
        Answer::Greeting
        | Answer::Mail
        | Answer::Rcpt
        | Answer::Lookup
        | Answer::Postmaster
        | Answer::Refused
        | Answer::Remembered
        | Answer::RememberedForNow
        | Answer::Message
        | Answer::Chunk { .. }
        | Answer::Rset
        | Answer::Quit => false,
    }
}

/// Whether an EHLO reply lists CHUNKING (RFC 3030 section 2).
fn offers_chunking(reply: &[u8]) -> bool {
    reply.split(|octet| *octet == b'\n').any(|line| {
        let keyword = line.get(4..).unwrap_or_default().trim_ascii();
        keyword.eq_ignore_ascii_case(b"CHUNKING")
    })
}
