//! What a transcript is written on: a JSON string, whose text is a scenario.
//!
//! Both have escapes, and most of what is said needs neither: it is looked through eight octets at
//! a time, and copied at once.

use std::time::Duration;

/// A JSON string that grows.
pub(super) struct Page {
    json: Vec<u8>,
}

impl Page {
    /// With room for so many octets.
    pub(super) fn new(octets: usize) -> Self {
        let mut json = Vec::with_capacity(octets);
        json.push(b'"');
        Self { json }
    }

    /// Octets so far.
    pub(super) fn len(&self) -> usize {
        self.json.len()
    }

    /// The string with its quotes.
    pub(super) fn into_json(mut self) -> String {
        self.json.push(b'"');
        String::from_utf8(self.json).unwrap_or_default()
    }

    /// Words of ours, which have no octet that JSON or a scenario escapes.
    pub(super) fn word(&mut self, word: &str) {
        self.json.extend_from_slice(word.as_bytes());
    }

    /// Text of a header, which has no escapes of its own.
    pub(super) fn header_text(&mut self, text: &str) {
        for octet in text.bytes() {
            if matches!(octet, b'"' | b'\\') {
                self.json.push(b'\\');
            }
            self.json.push(octet);
        }
    }

    /// A backslash of the scenario's, before something that is not said but told.
    pub(super) fn backslash(&mut self) {
        self.word(r"\\");
    }

    /// The end of a line.
    pub(super) fn end_line(&mut self) {
        self.word(r"\n");
    }

    /// The end of a line that began behind so many octets: an editor may take away a blank at its
    /// end, which nobody sees.
    pub(super) fn end_text(&mut self, start: usize) {
        if self.json.len() > start && self.json.last() == Some(&b' ') {
            self.json.pop();
            self.escaped(b' ');
        }
        self.end_line();
    }

    /// What was said, in the octets of one line.
    pub(super) fn text(&mut self, mut bytes: &[u8]) {
        loop {
            let (plain, rest) = bytes.split_at_checked(plain(bytes)).unwrap_or((bytes, b""));
            self.json.extend_from_slice(plain);
            let Some((octet, rest)) = rest.split_first() else {
                return;
            };
            self.escaped(*octet);
            bytes = rest;
        }
    }

    /// Octets that are no text, one word of a line.
    pub(super) fn value(&mut self, bytes: &[u8]) {
        for octet in bytes {
            match octet {
                b'"' | b'\\' => self.escaped(*octet),
                b'!'..=b'~' => self.json.push(*octet),
                _ => self.escaped(*octet),
            }
        }
    }

    fn escaped(&mut self, octet: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        match octet {
            b'"' => self.word(r#"\""#),
            b'\\' => self.word(r"\\\\"),
            b'\r' => self.word(r"\\r"),
            b'\n' => self.word(r"\\n"),
            other => {
                self.word(r"\\x");
                for digit in [other >> 4, other & 15] {
                    let digit = DIGITS.get(usize::from(digit)).copied();
                    self.json.push(digit.unwrap_or(b'0'));
                }
            }
        }
    }

    /// A number with so many digits at least. The standard formatter takes several times as long,
    /// and each line has a time.
    pub(super) fn number(&mut self, number: u64, digits: usize) {
        let mut buffer = [b'0'; 20];
        let end = buffer.len();
        let first = put_digits(&mut buffer, end, number, digits);
        self.json
            .extend_from_slice(buffer.get(first..).unwrap_or_default());
    }

    /// Seconds with six places behind the point, and a blank.
    pub(super) fn seconds(&mut self, micros: u64) {
        let mut buffer = [b' '; 24];
        let point = put_digits(&mut buffer, 23, micros % 1_000_000, 6) - 1;
        if let Some(place) = buffer.get_mut(point) {
            *place = b'.';
        }
        let first = put_digits(&mut buffer, point, micros / 1_000_000, 1);
        self.json
            .extend_from_slice(buffer.get(first..).unwrap_or_default());
    }

    /// A time since the Unix epoch as RFC 3339 writes it, in UTC.
    pub(super) fn moment(&mut self, since_epoch: Duration) {
        let seconds = since_epoch.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let second = seconds % 86_400;
        for (number, digits, behind) in [
            (year, 4, "-"),
            (month, 2, "-"),
            (day, 2, "T"),
            (second / 3600, 2, ":"),
            (second / 60 % 60, 2, ":"),
            (second % 60, 2, "."),
            (since_epoch.subsec_micros().into(), 6, "Z"),
        ] {
            self.number(number, digits);
            self.word(behind);
        }
    }
}

/// Writes at least so many digits of a number before `end`; where they begin.
fn put_digits(buffer: &mut [u8], end: usize, number: u64, digits: usize) -> usize {
    let mut left = number;
    let mut first = end;
    let places = buffer.get_mut(..end).unwrap_or_default();
    for place in places.iter_mut().rev() {
        if left == 0 && end - first >= digits {
            break;
        }
        *place = b'0' + (left % 10).to_le_bytes()[0];
        left /= 10;
        first -= 1;
    }
    first
}

/// How many octets at the beginning are text without an escape.
fn plain(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(8);
    let plain = words.by_ref().take_while(|word| {
        let word = <[u8; 8]>::try_from(*word).map_or(0, u64::from_le_bytes);
        !has_special(word)
    });
    let before = 8 * plain.count();
    let rest = bytes.get(before..).unwrap_or_default();
    let special = |octet: &u8| !matches!(octet, b' '..=b'~') || matches!(octet, b'"' | b'\\');
    before + rest.iter().position(special).unwrap_or(rest.len())
}

/// Whether one of eight octets is no text, or is escaped. In each octet the highest bit tells: a
/// subtraction borrows it where the octet was less, and a carry from one special octet to the next
/// makes no difference to whether there is one.
fn has_special(word: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
    let is = |octet: u8| less(word ^ (ONES * u64::from(octet)), 1);
    let special = word | less(word, 0x20) | is(b'"') | is(b'\\') | is(0x7f);
    special & HIGH != 0
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

    fn written(write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(0);
        write(&mut page);
        serde_json::from_str(&page.into_json()).unwrap()
    }

    #[test]
    fn numbers_have_their_digits() {
        for (value, digits, expected) in [
            (0, 1, "0"),
            (0, 6, "000000"),
            (1203, 6, "001203"),
            (1_234_567, 6, "1234567"),
            (u64::MAX, 1, "18446744073709551615"),
        ] {
            assert_eq!(written(|page| page.number(value, digits)), expected);
        }
    }

    #[test]
    fn seconds_have_six_places() {
        for (micros, expected) in [
            (0, "0.000000 "),
            (1, "0.000001 "),
            (123_456_789, "123.456789 "),
            (u64::MAX, "18446744073709.551615 "),
        ] {
            assert_eq!(written(|page| page.seconds(micros)), expected);
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
            let moment = written(|page| page.moment(Duration::from_secs(seconds)));
            assert_eq!(moment, expected);
        }
        let moment = written(|page| page.moment(Duration::from_micros(1_000_001)));
        assert_eq!(moment, "1970-01-01T00:00:01.000001Z");
    }

    /// What a scenario has for an octet.
    fn scenario(octet: u8, blank: bool) -> String {
        match octet {
            b'\\' => r"\\".to_owned(),
            b'\r' => r"\r".to_owned(),
            b'\n' => r"\n".to_owned(),
            b' ' if blank => " ".to_owned(),
            b'!'..=b'~' => char::from(octet).to_string(),
            other => format!(r"\x{other:02x}"),
        }
    }

    #[test]
    fn each_octet_is_escaped_at_every_place() {
        for octet in 0..=u8::MAX {
            for place in 0..18 {
                let mut bytes = *b"MAIL FROM:<a@b.test>";
                bytes[place] = octet;
                let text: String = bytes.iter().map(|octet| scenario(*octet, true)).collect();
                assert_eq!(
                    written(|page| page.text(&bytes)),
                    text,
                    "{octet} at {place}"
                );
            }
            let value = scenario(octet, false);
            assert_eq!(written(|page| page.value(&[octet])), value);
        }
    }

    #[test]
    fn headers_and_blanks_at_the_end_of_lines_are_kept() {
        let version = r#"a"b\c"#;
        assert_eq!(written(|page| page.header_text(version)), version);
        let line = |start: usize| {
            move |page: &mut Page| {
                page.text(b"EHLO a ");
                page.end_text(start);
            }
        };
        assert_eq!(written(line(1)), "EHLO a\\x20\n");
        assert_eq!(written(line(8)), "EHLO a \n");
    }
}
