//! A transcript as text: a scenario that the simulator replays.
//!
//! ```text
//! client: 203.0.113.7:40001
//! started: 2026-01-31T23:59:59.125Z
//! x-verdict: close rcpt.max_consecutive
//!
//! 0.000120 W= portcullis.ledger.17 \x01\x9f…   what all workers knew of the client, if anything
//! 0.012034 S> 220 mx.example.test ESMTP        what the server said
//! 0.030817 C> EHLO bot.example                 what the client said
//! # 0.500 C< 421 4.7.0 …                       what it read of the guard instead
//! 0.510002 C|                                  who ended it
//! ```

use super::item::{self, Fill, Item};
use super::page::Page;
use super::{Shortened, Transcript};
use std::time::Duration;

/// The text is no longer than so many times what was kept: an octet that is no text takes five.
const LONGEST: usize = 6;
/// Octets of the headers, about.
const HEADERS: usize = 256;

impl Transcript {
    /// The transcript as text, in a JSON string; `None` if nothing could be kept of it.
    pub(super) fn write(&self, version: &str, [verdict, rule]: [&str; 2]) -> Option<String> {
        if self.shortened == Some(Shortened::Dropped) {
            return None;
        }
        // Each line has its time and its side besides.
        let mut page = Page::new(HEADERS + 2 * self.items.len());
        page.word("client: ");
        page.word(&self.client);
        page.word(r"\nstarted: ");
        page.moment(Duration::from_micros(self.began));
        page.word(r"\npolicy-version: ");
        page.header_text(version);
        page.word(r"\nx-worker: ");
        page.number(self.worker.into(), 1);
        page.word(r"\nx-verdict: ");
        page.word(verdict);
        if !rule.is_empty() {
            page.word(" ");
            page.word(rule);
        }
        if let Some(why) = self.shortened {
            self.tell_less(&mut page, why);
        }
        page.word(r"\n\n");
        let most = LONGEST * self.items.len() + page.len();
        let mut writer = Writer {
            page,
            most,
            at: 0,
            content: Content {
                rest: &self.items,
                left: None,
            },
        };
        writer.write(&self.items);
        Some(writer.page.into_json())
    }

    fn tell_less(&self, page: &mut Page, why: Shortened) {
        let bound = match why {
            Shortened::Session => "transcripts.max_bytes",
            Shortened::Worker | Shortened::Dropped => "transcripts.max_worker_bytes",
        };
        let (client, server) = self.untold;
        page.word(r"\nx-shortened: ");
        page.number(client, 1);
        page.word(" octets of the client and ");
        page.number(server, 1);
        page.word(" of the server, by ");
        page.word(bound);
    }
}

struct Writer<'a> {
    page: Page,
    most: usize,
    /// Microseconds since the beginning.
    at: u64,
    content: Content<'a>,
}

/// What the client said, to be taken octet by octet.
struct Content<'a> {
    rest: &'a [u8],
    /// What is left of an item.
    left: Option<Item<'a>>,
}

impl<'a> Content<'a> {
    /// The next piece, of at most so many octets.
    fn take(&mut self, most: u64) -> Option<(Item<'a>, u64)> {
        let item = loop {
            let item = self.left.take().or_else(|| Item::take(&mut self.rest))?;
            if matches!(item, Item::ClientPlain(_) | Item::ClientFill(..)) {
                break item;
            }
        };
        match item {
            Item::ClientPlain(bytes) => {
                let len = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
                let (now, later) = bytes.split_at_checked(len)?;
                self.left = (!later.is_empty()).then_some(Item::ClientPlain(later));
                Some((Item::ClientPlain(now), now.len() as u64))
            }
            Item::ClientFill(fill, octets) => {
                let now = octets.min(most);
                self.left = (octets > now).then_some(Item::ClientFill(fill, octets - now));
                Some((Item::ClientFill(fill, now), now))
            }
            _ => None,
        }
    }
}

/// The lines of one segment.
struct Lines<'a> {
    page: &'a mut Page,
    side: Side,
    /// Where the text of the line under way begins; `None` between two lines.
    start: Option<usize>,
}

/// Who says them.
#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Writer<'_> {
    fn write(&mut self, mut items: &[u8]) {
        while let Some(item) = Item::take(&mut items) {
            if self.page.len() > self.most {
                self.page.word("# the rest is left out");
                self.page.end_line();
                return;
            }
            let Item::Timed {
                kind,
                after,
                octets,
                first,
                second,
            } = item
            else {
                continue;
            };
            self.at += after;
            match kind {
                item::ARRIVED => self.arrival(octets),
                item::SERVER => self.reply(&mut items),
                item::GUARD => self.guard(first),
                item::SHARED => {
                    self.begin("W= ");
                    self.page.value(first);
                    self.page.word(" ");
                    self.page.value(second);
                    self.page.end_line();
                }
                item::MESSAGE => {
                    self.begin("W@ ");
                    self.page.value(first);
                    self.page.end_line();
                }
                item::CLIENT_END => self.begin(r"C|\n"),
                item::SERVER_END => self.begin(r"S|\n"),
                _ => {}
            }
        }
    }

    fn begin(&mut self, rest: &str) {
        self.page.seconds(self.at);
        self.page.word(rest);
    }

    fn arrival(&mut self, octets: u64) {
        let Some((first, len)) = self.content.take(octets) else {
            return;
        };
        self.page.seconds(self.at);
        let mut lines = Lines::begin(&mut self.page, Side::Client);
        lines.piece(&first);
        let mut left = octets - len;
        while left > 0
            && let Some((piece, len)) = self.content.take(left)
        {
            left -= len;
            lines.piece(&piece);
        }
        lines.end();
    }

    fn reply(&mut self, items: &mut &[u8]) {
        self.page.seconds(self.at);
        let mut lines = Lines::begin(&mut self.page, Side::Server);
        loop {
            let mut ahead = *items;
            match Item::take(&mut ahead) {
                Some(piece @ (Item::ServerPlain(_) | Item::ServerFill(..))) => {
                    lines.piece(&piece);
                    *items = ahead;
                }
                _ => break,
            }
        }
        lines.end();
    }

    /// What the client reads of the guard stands in a comment: a replay says it anew.
    fn guard(&mut self, words: &[u8]) {
        for line in words.split_inclusive(|octet| *octet == b'\n') {
            self.page.word("# ");
            self.begin("C< ");
            self.page.text(line.trim_ascii_end());
            self.page.end_line();
        }
    }
}

impl<'a> Lines<'a> {
    fn begin(page: &'a mut Page, side: Side) -> Self {
        page.word(match side {
            Side::Client => "C> ",
            Side::Server => "S> ",
        });
        let start = Some(page.len());
        Self { page, side, start }
    }

    fn piece(&mut self, piece: &Item<'_>) {
        match piece {
            Item::ClientPlain(bytes) | Item::ServerPlain(bytes) => self.plain(bytes),
            Item::ClientFill(fill, octets) | Item::ServerFill(fill, octets) => {
                self.open();
                // A line of a message has two octets at least.
                let kind = match (fill, octets) {
                    (Fill::Body, 1) => Fill::Text,
                    (kind, _) => *kind,
                };
                self.page.backslash();
                self.page.word("{");
                self.page.number(*octets, 1);
                self.page.word(" ");
                self.page.word(kind.name());
                self.page.word("}");
            }
            Item::Timed { .. } => {}
        }
    }

    fn plain(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
            bytes = rest;
            let start = self.open();
            match line.strip_suffix(b"\r\n") {
                Some(content) => {
                    self.page.text(content);
                    self.page.end_text(start);
                    self.start = None;
                }
                None => self.page.text(line),
            }
        }
    }

    /// Begins the next line of the segment, where the one before has its end. Where its text begins.
    fn open(&mut self) -> usize {
        *self.start.get_or_insert_with(|| {
            self.page.word(match self.side {
                Side::Client => "C+ ",
                Side::Server => "S+ ",
            });
            self.page.len()
        })
    }

    fn end(self) {
        if self.start.is_some() {
            self.page.backslash();
            self.page.end_line();
        }
    }
}
