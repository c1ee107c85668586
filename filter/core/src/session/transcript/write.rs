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
use super::{Shortened, Transcript};

/// The text is no longer than so many times what was kept: octets that are no text take four.
const LONGEST: usize = 5;

/// What stands around what was said.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Address and port of the client.
    pub client: &'a str,
    /// Where it connected to, if that is known.
    pub local: Option<&'a str>,
    /// The server, if one was reached.
    pub upstream: Option<&'a str>,
    /// A number that no other worker has.
    pub worker: u32,
}

impl Transcript {
    /// The transcript as text; `None` if nothing could be kept of it.
    pub(super) fn write(&self, frame: &Frame<'_>, version: &str, verdict: &str) -> Option<String> {
        if self.shortened == Some(Shortened::Dropped) {
            return None;
        }
        let mut text = String::with_capacity(self.items.len() + 512);
        let mut header = |name: &str, value: &str| {
            for part in [name, ": ", value, "\n"] {
                text.push_str(part);
            }
        };
        header("client", frame.client);
        for (name, value) in [("local", frame.local), ("upstream", frame.upstream)] {
            value.into_iter().for_each(|value| header(name, value));
        }
        header("started", &moment(self.began));
        header("policy-version", version);
        header("x-worker", &frame.worker.to_string());
        header("x-verdict", verdict);
        if let Some(why) = self.shortened {
            header("x-shortened", &self.told_less(why));
        }
        text.push('\n');
        let most = LONGEST * self.items.len() + text.len();
        let mut writer = Writer {
            text,
            most,
            at: 0,
            content: Content {
                rest: &self.items,
                left: None,
            },
        };
        writer.write(&self.items);
        Some(writer.text)
    }

    fn told_less(&self, why: Shortened) -> String {
        let bound = match why {
            Shortened::Session => "transcripts.max_bytes",
            Shortened::Worker | Shortened::Dropped => "transcripts.max_worker_bytes",
        };
        let (client, server) = self.untold;
        format!("{client} octets of the client and {server} of the server, by {bound}")
    }
}

struct Writer<'a> {
    text: String,
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
    text: &'a mut String,
    side: char,
    /// Where the line under way begins.
    start: usize,
}

impl Writer<'_> {
    fn write(&mut self, mut items: &[u8]) {
        while let Some(item) = Item::take(&mut items) {
            if self.text.len() > self.most {
                self.text.push_str("# the rest is left out\n");
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
                    self.text.push_str(&String::from_utf8_lossy(first));
                    self.text.push(' ');
                    octets_of(&mut self.text, second);
                }
                item::MESSAGE => {
                    self.begin("W@ ");
                    octets_of(&mut self.text, first);
                }
                item::CLIENT_END => self.begin("C|\n"),
                item::SERVER_END => self.begin("S|\n"),
                _ => {}
            }
        }
    }

    fn begin(&mut self, rest: &str) {
        number(&mut self.text, self.at / 1_000_000, 1);
        self.text.push('.');
        number(&mut self.text, self.at % 1_000_000, 6);
        self.text.push(' ');
        self.text.push_str(rest);
    }

    fn arrival(&mut self, octets: u64) {
        let Some((first, len)) = self.content.take(octets) else {
            return;
        };
        self.begin("");
        let mut lines = Lines::begin(&mut self.text, 'C');
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
        self.begin("");
        let mut lines = Lines::begin(&mut self.text, 'S');
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
            self.text.push_str("# ");
            self.begin("C< ");
            escape(&mut self.text, line.trim_ascii_end());
            self.text.push('\n');
        }
    }
}

impl<'a> Lines<'a> {
    fn begin(text: &'a mut String, side: char) -> Self {
        text.push(side);
        text.push_str("> ");
        let start = text.len();
        Self { text, side, start }
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
                self.text.push_str("\\{");
                number(self.text, *octets, 1);
                self.text.push(' ');
                self.text.push_str(kind.name());
                self.text.push('}');
            }
            Item::Timed { .. } => {}
        }
    }

    fn plain(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|octet| *octet == b'\n') {
            self.open();
            match line.strip_suffix(b"\r\n") {
                Some(content) => {
                    escape(self.text, content);
                    self.end_line();
                }
                None => escape(self.text, line),
            }
        }
    }

    /// Begins the next line of the segment, where the one before has its end.
    fn open(&mut self) {
        if self.text.ends_with('\n') {
            self.text.push(self.side);
            self.text.push_str("+ ");
            self.start = self.text.len();
        }
    }

    /// An editor may take away a blank that nobody sees.
    fn end_line(&mut self) {
        if self.text.ends_with(' ') {
            self.text.pop();
            if self.text.len() >= self.start {
                self.text.push_str("\\x20");
            }
        }
        self.text.push('\n');
    }

    fn end(self) {
        if !self.text.ends_with('\n') {
            self.text.push_str("\\\n");
        }
    }
}

/// A number with so many digits at least. The standard formatter takes several times as long, and
/// each line has a time.
fn number(text: &mut String, number: u64, digits: usize) {
    let mut buffer = [b'0'; 20];
    let mut left = number;
    let mut count = 0;
    for place in buffer.iter_mut().rev() {
        if left == 0 {
            break;
        }
        *place = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        count += 1;
    }
    let first = buffer.len() - count.max(digits).min(buffer.len());
    let digits = buffer.get(first..).unwrap_or_default();
    text.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

/// Octets as a scenario writes them.
fn escape(text: &mut String, bytes: &[u8]) {
    escape_but(text, bytes, |octet| matches!(octet, b' '..=b'~'));
}

/// The same of a value that is no text, with its line's end.
fn octets_of(text: &mut String, bytes: &[u8]) {
    escape_but(text, bytes, |octet| matches!(octet, b'!'..=b'~'));
    text.push('\n');
}

/// Octets with escapes for all that are not `plain`, as many at once as can be.
fn escape_but(text: &mut String, bytes: &[u8], plain: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = bytes;
    loop {
        let special = |octet: &u8| *octet == b'\\' || !plain(*octet);
        let end = rest.iter().position(special).unwrap_or(rest.len());
        let (run, behind) = rest.split_at_checked(end).unwrap_or((rest, b""));
        text.push_str(std::str::from_utf8(run).unwrap_or_default());
        let Some((octet, behind)) = behind.split_first() else {
            return;
        };
        rest = behind;
        match octet {
            b'\\' => text.push_str("\\\\"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            other => {
                text.push_str("\\x");
                for digit in [other >> 4, other & 15] {
                    let digit = DIGITS.get(usize::from(digit)).copied();
                    text.push(char::from(digit.unwrap_or(b'0')));
                }
            }
        }
    }
}

/// Microseconds since the Unix epoch as RFC 3339 writes them, in UTC.
fn moment(micros: u64) -> String {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date so many days after 1970-01-01. Years begin with March here, so that a leap day is the
/// last of its year; 719,468 days lie between the first of March of the year 0 and that day.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = match month {
        0..10 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn numbers_have_their_digits() {
        for (value, digits, expected) in [
            (0, 1, "0"),
            (0, 6, "000000"),
            (1203, 6, "001203"),
            (1_234_567, 6, "1234567"),
            (u64::MAX, 1, "18446744073709551615"),
        ] {
            let mut text = String::new();
            number(&mut text, value, digits);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_769_903_999, "2026-01-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(moment(seconds * 1_000_000), expected);
        }
        assert_eq!(moment(1_000_001), "1970-01-01T00:00:01.000001Z");
    }
}
