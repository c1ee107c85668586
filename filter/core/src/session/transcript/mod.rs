//! Transcripts: what a session said, to be read again and replayed, without its secrets.
//!
//! What arrives and what it is are known at different times: a command may wait for a reply before
//! it is read, and only then it is clear whether it was a command. So a transcript notes arrivals
//! by their octets, and what was read as it is read, in the same order; [`write`] puts them
//! together. Nothing is kept that would have to be taken out again:
//!
//! - of AUTH its mechanism, and of all other lines of that exchange their octets only;
//! - of messages and chunks, their octets only;
//! - of lines that are no command of SMTP, their octets only: a secret may have got into the wrong
//!   place. Replies to them, and to AUTH, are kept without their text, since servers repeat what
//!   they do not understand; a challenge is kept while the client has told no secret.
//! - of what is not read any more, octets only.

mod hooks;
mod item;
mod page;
mod redact;
mod shelf;
mod write;

pub use hooks::{Frame, Transcribed};
pub use shelf::{Shelf, Shortened};

use crate::policy::Transcribe;
use crate::smtp::{Answer, Command, LineEnd, Payload, Verb};
use item::{Fill, Item};
use std::rc::Rc;

/// Octets beyond a session's bound in which its last words still find room.
const RESERVE: usize = 1024;
/// What is asked of the shelf first.
const FIRST: usize = 512;
/// Octets that the kinds and numbers of one thing said may take.
const NUMBERS: usize = 32;

/// What a session has said so far.
#[derive(Debug)]
pub(super) struct Transcript {
    shelf: Rc<Shelf>,
    /// Address and port of the client.
    client: String,
    worker: u32,
    /// Octets that `items` may have.
    most: usize,
    choice: Transcribe,
    /// Octets that the shelf has granted.
    granted: usize,
    items: Vec<u8>,
    /// When the session began, microseconds since the Unix epoch.
    began: u64,
    /// Microseconds since then.
    now: u64,
    /// The same for the last item that has a time.
    last: u64,
    /// Octets of the client that have arrived, and those of them that were read.
    arrived: u64,
    read: u64,
    /// An arrival that may grow yet.
    arriving: Option<Bulk>,
    /// Octets of the client of one kind that may become more.
    filling: Option<(Fill, u64)>,
    /// Octets of the server that pass unread.
    passing: Option<Bulk>,
    /// Whether AUTH, or a line that is no command, was said.
    delicate: bool,
    /// Whether the client has told something in the AUTH exchange under way.
    told_secret: bool,
    /// What the rest of an over-long line is.
    long_line: Fill,
    shortened: Option<Shortened>,
    /// Octets of client and server that came after it was shortened.
    untold: (u64, u64),
}

/// Octets that came at about the same time.
#[derive(Debug, Clone, Copy)]
struct Bulk {
    at: u64,
    octets: u64,
}

/// Whether a payload is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// More of it is to come.
    Open,
    /// It was the last of it.
    Over,
    /// Servers may differ on whether it is over.
    Doubtful,
}

impl Transcript {
    /// Of a session that begins now, microseconds since the Unix epoch.
    fn new(shelf: Rc<Shelf>, frame: &Frame, most: usize, choice: Transcribe) -> Self {
        Self {
            shelf,
            client: frame.client.to_string(),
            worker: frame.worker,
            most,
            choice,
            granted: 0,
            items: Vec::new(),
            began: hooks::micros(frame.began),
            now: 0,
            last: 0,
            arrived: 0,
            read: 0,
            arriving: None,
            filling: None,
            passing: None,
            delicate: false,
            told_secret: false,
            long_line: Fill::Text,
            shortened: None,
            untold: (0, 0),
        }
    }

    /// The time, microseconds since the Unix epoch.
    pub(super) fn tell_time(&mut self, now: u64) {
        // A clock that was set back must not turn the order around.
        self.now = self.now.max(now.saturating_sub(self.began));
    }

    /// Why it is not whole, if it is not.
    pub(super) fn shortened(&self) -> Option<Shortened> {
        self.shortened
    }

    /// Octets of the client were taken; `waits` are those of all taken that are still to be read.
    pub(super) fn arrived(&mut self, octets: usize, waits: usize, bulk: bool) {
        if octets > 0 {
            self.end_passing();
            let octets = octets as u64;
            self.arrived += octets;
            match &mut self.arriving {
                Some(arriving) if bulk => arriving.octets += octets,
                _ => {
                    self.end_arriving();
                    let at = self.now;
                    self.arriving = Some(Bulk { at, octets });
                }
            }
        }
        self.left_unread(waits);
    }

    /// Whatever was taken and neither read nor waits will not be read any more.
    pub(super) fn left_unread(&mut self, waits: usize) {
        let unread = self.arrived.saturating_sub(self.read);
        self.fill(Fill::Text, unread.saturating_sub(waits as u64));
    }

    /// A command was read: `line` with its end.
    pub(super) fn command(&mut self, line: &[u8], command: &Command<'_>, end: LineEnd) {
        let (shown, hidden) = redact::command(command, end, line);
        let fill = match command.verb {
            Verb::Auth => Fill::Secret,
            Verb::Other if self.delicate => Fill::Secret,
            _ => Fill::Text,
        };
        self.delicate |= matches!(command.verb, Verb::Auth | Verb::Other);
        if command.verb == Verb::Auth {
            self.told_secret = hidden > 0;
        }
        self.long_line = fill;
        if hidden == 0 {
            self.plain(line);
            return;
        }
        self.plain(line.get(..shown).unwrap_or_default());
        self.fill(fill, hidden as u64);
        self.plain(line.get(shown + hidden..).unwrap_or_default());
    }

    /// Something that is no command was read.
    pub(super) fn payload(&mut self, bytes: &[u8], payload: Payload, rest: Rest) {
        let octets = bytes.len() as u64;
        match payload {
            Payload::Body => self.body(octets, rest),
            Payload::Chunk => self.fill(Fill::Body, octets),
            Payload::Auth | Payload::LongLine => {
                let fill = match payload {
                    Payload::Auth => Fill::Secret,
                    _ => self.long_line,
                };
                self.told_secret |= payload == Payload::Auth;
                let end = redact::line_end(bytes);
                self.fill(fill, octets - end.len() as u64);
                self.plain(end);
            }
        }
    }

    /// Octets of a chunk came and went.
    pub(super) fn chunk_passed(&mut self, octets: usize) {
        self.fill(Fill::Body, octets as u64);
        self.arrived(octets, 0, true);
    }

    /// Of a message its size; its end as servers read it, or as they may.
    fn body(&mut self, octets: u64, rest: Rest) {
        let before = match self.filling {
            Some((Fill::Body, before)) => before,
            _ => 0,
        };
        let all = before + octets;
        let end: &[u8] = match (rest, all) {
            (Rest::Open, _) => b"",
            (Rest::Doubtful, _) => b"\n.\n",
            (Rest::Over, 5..) => b"\r\n.\r\n",
            (Rest::Over, 4) => b"\n.\r\n",
            (Rest::Over, 3) => b".\r\n",
            (Rest::Over, _) => b".\n",
        };
        self.fill(Fill::Body, octets);
        let end_len = (end.len() as u64).min(all);
        if let Some((Fill::Body, octets)) = &mut self.filling {
            *octets -= end_len;
        }
        self.read -= end_len;
        self.plain(
            end.get(..usize::try_from(end_len).unwrap_or(0))
                .unwrap_or_default(),
        );
    }

    /// Commands that were taken and will not be read any more; `clear` while it is known that they
    /// are commands.
    pub(super) fn never_read(&mut self, held: &[u8], clear: bool) {
        let mut rest = held;
        let mut clear = clear;
        while clear && let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at_checked(at + 1).unwrap_or((rest, b""));
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            let command = Command::parse(content);
            self.command(line, &command, LineEnd::Crlf);
            rest = behind;
            clear = redact::leads_to_commands(command.verb);
        }
        let fill = match self.delicate {
            true => Fill::Secret,
            false => Fill::Text,
        };
        self.fill(fill, rest.len() as u64);
    }

    /// The server has said this.
    pub(super) fn reply(&mut self, answer: Option<Answer>, reply: &[u8]) {
        self.end_passing();
        self.end_arriving();
        let keeps = redact::keeps_text(answer, reply, self.delicate, self.told_secret);
        let most = match keeps {
            true => reply.len(),
            // Each line is in pieces then.
            false => 3 * reply.len(),
        };
        if !self.timed(item::SERVER, most) {
            self.untold.1 += reply.len() as u64;
            return;
        }
        if keeps {
            self.put(&Item::ServerPlain(reply));
            return;
        }
        for line in reply.split_inclusive(|octet| *octet == b'\n') {
            let (shown, hidden) = redact::reply_line(line);
            self.put(&Item::ServerPlain(line.get(..shown).unwrap_or_default()));
            if hidden > 0 {
                self.put(&Item::ServerFill(Fill::Text, hidden as u64));
            }
            let end = line.get(shown + hidden..).unwrap_or_default();
            self.put(&Item::ServerPlain(end));
        }
    }

    /// Octets of the server pass unread.
    pub(super) fn passed_by_server(&mut self, octets: usize) {
        if octets == 0 {
            return;
        }
        self.end_arriving();
        let octets = octets as u64;
        match &mut self.passing {
            Some(passing) => passing.octets += octets,
            None => {
                let at = self.now;
                self.passing = Some(Bulk { at, octets });
            }
        }
    }

    /// The client reads this of the guard.
    pub(super) fn guard(&mut self, words: &[u8]) {
        self.say_last(item::GUARD, &[words]);
    }

    /// What all workers shared under this key was this.
    pub(super) fn shared(&mut self, key: &str, value: &[u8]) {
        self.say_last(item::SHARED, &[key.as_bytes(), value]);
    }

    /// Another worker sent this message to the session's own.
    pub(super) fn message(&mut self, message: &[u8]) {
        self.say_last(item::MESSAGE, &[message]);
    }

    /// The client has ended its side.
    pub(super) fn client_ended(&mut self) {
        self.say_last(item::CLIENT_END, &[]);
    }

    /// The server has ended its side.
    pub(super) fn server_ended(&mut self) {
        self.say_last(item::SERVER_END, &[]);
    }

    /// Something short, for which there is room at the end.
    fn say_last(&mut self, kind: u8, parts: &[&[u8]]) {
        self.end_passing();
        self.end_arriving();
        let octets = parts.iter().map(|part| part.len() + 5).sum::<usize>() + 12;
        if self.has_room(octets, self.most + RESERVE) {
            self.push_time(kind);
            for part in parts {
                item::push_bytes(&mut self.items, part);
            }
        }
    }

    fn plain(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.end_filling();
        let octets = bytes.len() as u64;
        self.read += octets;
        if self.takes(bytes.len()) {
            self.put(&Item::ClientPlain(bytes));
        } else {
            self.untold.0 += octets;
        }
    }

    fn fill(&mut self, fill: Fill, octets: u64) {
        if octets == 0 {
            return;
        }
        self.read += octets;
        match &mut self.filling {
            Some((same, before)) if *same == fill => *before += octets,
            _ => {
                self.end_filling();
                self.filling = Some((fill, octets));
            }
        }
    }

    fn end_filling(&mut self) {
        if let Some((fill, octets)) = self.filling.take().filter(|(_, octets)| *octets > 0) {
            if self.takes(0) {
                self.put(&Item::ClientFill(fill, octets));
            } else {
                self.untold.0 += octets;
            }
        }
    }

    fn end_arriving(&mut self) {
        if let Some(Bulk { at, octets }) = self.arriving.take()
            && self.takes(0)
        {
            let now = std::mem::replace(&mut self.now, at);
            self.push_time(item::ARRIVED);
            self.now = now;
            item::push_number(&mut self.items, octets);
        }
    }

    fn end_passing(&mut self) {
        if let Some(Bulk { at, octets }) = self.passing.take() {
            let now = std::mem::replace(&mut self.now, at);
            if self.timed(item::SERVER, 0) {
                self.put(&Item::ServerFill(Fill::Text, octets));
            } else {
                self.untold.1 += octets;
            }
            self.now = now;
        }
    }

    /// Begins an item with a time, if so many octets behind it have room, too.
    fn timed(&mut self, kind: u8, octets: usize) -> bool {
        let takes = self.takes(octets);
        if takes {
            self.push_time(kind);
        }
        takes
    }

    fn push_time(&mut self, kind: u8) {
        self.items.push(kind);
        let at = self.now.max(self.last);
        item::push_number(&mut self.items, at - self.last);
        self.last = at;
    }

    fn put(&mut self, item: &Item<'_>) {
        item.push(&mut self.items);
    }

    /// Whether an item of so many octets, and what numbers it takes, is still told.
    fn takes(&mut self, octets: usize) -> bool {
        self.shortened.is_none() && self.has_room(octets + NUMBERS, self.most)
    }

    fn has_room(&mut self, octets: usize, most: usize) -> bool {
        let needed = self.items.len().saturating_add(octets);
        if self.shortened == Some(Shortened::Dropped) {
            return false;
        }
        if needed > most {
            self.shortened.get_or_insert(Shortened::Session);
            return false;
        }
        while needed > self.granted {
            let more = self.granted.max(FIRST);
            if !self.shelf.take(more) {
                self.shortened.get_or_insert(match self.granted {
                    0 => Shortened::Dropped,
                    _ => Shortened::Worker,
                });
                return false;
            }
            self.granted += more;
        }
        let spare = self.granted - self.items.len();
        self.items.reserve_exact(spare);
        true
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.left_unread(0);
        self.end_passing();
        self.end_filling();
        self.end_arriving();
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        self.shelf.give_back(self.granted);
    }
}
