//! A session between a client that sends its turns and a plain SMTP server, in small segments.

use crate::dialogue::Turns;
use portcullis_core::policy::{Listing, Policy, Rule};
use portcullis_core::session::{Close, Note, Session};
use std::rc::Rc;

#[derive(Debug, PartialEq, Eq)]
enum State {
    Commands,
    Body,
    Chunk(usize),
}

/// Answers every command with a reply that carries its number.
pub(crate) struct Server {
    pub(crate) read: Vec<u8>,
    pub(crate) unknown_asked: usize,
    state: State,
    pending: Vec<u8>,
    replies: usize,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            read: Vec::new(),
            unknown_asked: 0,
            state: State::Commands,
            pending: Vec::new(),
            replies: 0,
        }
    }

    /// What a client that sends these turns reads without a guard.
    pub(crate) fn dialogue(turns: &Turns) -> Vec<u8> {
        let mut server = Self::new();
        let mut read = server.greeting();
        for turn in turns {
            read.extend(server.take(turn));
        }
        read
    }

    pub(crate) fn greeting(&mut self) -> Vec<u8> {
        b"220 mx.example.test #0\r\n".to_vec()
    }

    /// Whether it waits for a command.
    pub(crate) fn in_step(&self) -> bool {
        self.state == State::Commands && self.pending.is_empty()
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.read.extend_from_slice(bytes);
        self.pending.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            match self.state {
                State::Chunk(left) => {
                    if self.pending.len() < left {
                        return said;
                    }
                    self.pending.drain(..left);
                    self.state = State::Commands;
                    said.extend(self.reply("250", "chunk"));
                }
                State::Body => {
                    let Some(at) = find(&self.pending, b"\r\n.\r\n") else {
                        return said;
                    };
                    self.pending.drain(..at + 5);
                    self.state = State::Commands;
                    said.extend(self.reply("250", "queued"));
                }
                State::Commands => {
                    let Some(at) = find(&self.pending, b"\r\n") else {
                        return said;
                    };
                    let line: Vec<u8> = self.pending.drain(..at + 2).collect();
                    said.extend(self.command(&String::from_utf8_lossy(&line)));
                }
            }
        }
    }

    fn command(&mut self, line: &str) -> Vec<u8> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["EHLO", ..] => self.reply("250", "mx\r\n250-PIPELINING\r\n250 CHUNKING"),
            ["RCPT", to] if to.contains("guess") => {
                self.unknown_asked += 1;
                self.reply("451", "No such user")
            }
            ["DATA"] => {
                self.state = State::Body;
                self.reply("354", "go")
            }
            ["BDAT", size, ..] => {
                self.state = State::Chunk(size.parse().unwrap());
                Vec::new()
            }
            ["QUIT"] => self.reply("221", "bye"),
            _ => self.reply("250", "ok"),
        }
    }

    fn reply(&mut self, code: &str, text: &str) -> Vec<u8> {
        self.replies += 1;
        let dash = if text.contains("250 CHUNKING") {
            '-'
        } else {
            ' '
        };
        format!("{code}{dash}#{} {text}\r\n", self.replies).into_bytes()
    }
}

/// Client, guard and server.
pub(crate) struct Relay {
    pub(crate) server: Server,
    pub(crate) client_read: Vec<u8>,
    pub(crate) closed: Option<Rule>,
    /// How many more segments the client sends before it is found listed.
    pub(crate) found_listed_after: Option<usize>,
    session: Session,
    cuts: Vec<usize>,
    next_cut: usize,
    to_server: Vec<u8>,
    host: Vec<u8>,
}

impl Relay {
    pub(crate) fn new(policy: Rc<Policy>, cuts: &[usize]) -> Self {
        Self {
            server: Server::new(),
            client_read: Vec::new(),
            closed: None,
            found_listed_after: None,
            session: Session::new(policy, "203.0.113.7".parse().ok()).0,
            cuts: cuts.to_vec(),
            next_cut: 0,
            to_server: Vec::new(),
            host: Vec::new(),
        }
    }

    /// Plays all turns; with `pipelined` the server answers only when a whole turn was sent.
    pub(crate) fn run(&mut self, turns: &Turns, pipelined: bool) {
        let greeting = self.server.greeting();
        self.server_says(&greeting);
        for turn in turns {
            let mut rest = turn.as_slice();
            while !rest.is_empty() {
                let cut = self.cut(rest.len());
                let (segment, behind) = rest.split_at(cut);
                self.client_says(segment);
                if !pipelined {
                    self.serve();
                }
                rest = behind;
            }
            self.serve();
        }
    }

    /// Whether the numbers in the server's replies rise by one each: none lost, none swapped.
    /// Replies of the guard stand for one each, since the server was sent a NOOP for them.
    pub(crate) fn replies_in_order(&self) -> bool {
        let read = String::from_utf8_lossy(&self.client_read);
        let lines = read.lines().filter(|line| line.get(3..4) == Some(" "));
        let lines = lines.filter(|line| !line.starts_with("250 CHUNKING"));
        // EHLO's reply carries its number in its first line.
        let numbers = lines.map(|line| {
            let word = line
                .split_ascii_whitespace()
                .find(|word| word.starts_with('#'));
            word.and_then(|word| word[1..].parse::<usize>().ok())
        });
        let mut expected = 0;
        for number in numbers {
            if number.is_some_and(|number| number != expected) {
                return false;
            }
            expected += if expected == 0 { 2 } else { 1 };
        }
        true
    }

    fn client_says(&mut self, segment: &[u8]) {
        if self.found_listed_after == Some(0) {
            let notes = self.session.found_listed(Rc::new(Listing::default()));
            assert_eq!(notes, []);
        }
        self.found_listed_after = self.found_listed_after.and_then(|left| left.checked_sub(1));
        self.host.extend_from_slice(segment);
        let offered = std::mem::take(&mut self.host);
        if self.session.client_passes(offered.len()) {
            return self.to_server.extend_from_slice(&offered);
        }
        let effects = self.session.client_bytes(&offered);
        self.to_server.extend_from_slice(&effects.to_server);
        let (notes, left, close) = (effects.notes, effects.left, effects.close);
        self.host = offered[offered.len() - left..].to_vec();
        self.note(&notes, close);
    }

    fn server_says(&mut self, segment: &[u8]) {
        let effects = self.session.server_bytes(segment);
        self.client_read.extend_from_slice(&effects.to_client);
        self.to_server.extend_from_slice(&effects.to_server);
        let (notes, close) = (effects.notes, effects.close);
        self.note(&notes, close);
        if !self.host.is_empty() {
            self.client_says(b"");
        }
    }

    /// Lets the server answer, and answer what its answers release, until it is quiet.
    fn serve(&mut self) {
        while !self.to_server.is_empty() {
            let sent = std::mem::take(&mut self.to_server);
            let said = self.server.take(&sent);
            let mut rest = said.as_slice();
            while !rest.is_empty() {
                let cut = self.cut(rest.len());
                let (segment, behind) = rest.split_at(cut);
                self.server_says(segment);
                rest = behind;
            }
        }
    }

    fn note(&mut self, notes: &[Note], close: Close) {
        for note in notes {
            if let Note::Closed(verdict) = note {
                assert_ne!(close, Close::Keep);
                self.closed = Some(verdict.rule);
            }
        }
    }

    fn cut(&mut self, most: usize) -> usize {
        self.next_cut += 1;
        self.cuts[self.next_cut % self.cuts.len()].min(most)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
