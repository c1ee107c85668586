//! The names that are being asked about, and the mailboxes of a message: without memory of their own
//! for each.

use crate::smtp::Recipient;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

/// Mailboxes for which one message counts, at most.
const MOST_MAILBOXES: usize = 1000;
/// Octets that are kept for the next names when none is asked about.
const SPARE_OCTETS: usize = 256;
/// Mailboxes for which memory is kept between messages.
const SPARE_MAILBOXES: usize = 16;

/// Names in the order in which the server is asked about them. Of one that servers may read
/// differently only the place is known.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// One name behind the other.
    octets: Vec<u8>,
    /// Where the first one begins, and the last one ends.
    from: usize,
    end: usize,
    /// How long each is; 0 where it is not known.
    lens: VecDeque<u16>,
}

impl Names {
    /// How a name is written.
    pub(super) fn spell(&mut self, name: &Recipient<'_>) -> &[u8] {
        self.octets.truncate(self.end);
        name.write_mailbox(&mut self.octets);
        self.octets.get(self.end..).unwrap_or_default()
    }

    /// The server is asked about a name, behind all others.
    pub(super) fn push(&mut self, name: Option<&Recipient<'_>>) {
        let len = name.map_or(0, |name| self.spell(name).len());
        self.end += len;
        self.lens.push_back(u16::try_from(len).unwrap_or(0));
    }

    /// The name asked about first, if it is known.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let len = self.lens.front().copied().filter(|len| *len > 0)?;
        self.octets.get(self.from..self.from + usize::from(len))
    }

    /// The server has answered about it.
    pub(super) fn pop(&mut self) {
        self.from += self.lens.pop_front().map_or(0, usize::from);
        if self.lens.is_empty() {
            (self.from, self.end) = (0, 0);
            self.octets.clear();
            self.octets.shrink_to(SPARE_OCTETS);
        } else if self.from > self.end / 2 {
            self.octets.drain(..self.from);
            self.end -= self.from;
            self.from = 0;
        }
    }
}

/// The mailboxes among the accepted recipients of a transaction, by their hash: naming one again
/// and again is no more mail.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(Vec<u64>);

impl Mailboxes {
    /// A recipient of this name was taken.
    pub(super) fn add(&mut self, name: &[u8]) {
        let at = name.iter().rposition(|octet| *octet == b'@');
        let (local_part, domain) = name.split_at(at.unwrap_or(name.len()));
        let mailbox = local_part.split(|octet| *octet == b'+').next();
        let mut hasher = DefaultHasher::new();
        for octet in mailbox.unwrap_or_default() {
            hasher.write_u8(octet.to_ascii_lowercase());
        }
        hasher.write_u8(b'@');
        hasher.write(domain);
        let hash = hasher.finish();
        if self.0.len() < MOST_MAILBOXES && !self.0.contains(&hash) {
            self.0.push(hash);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The transaction is over.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(SPARE_MAILBOXES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn name(argument: &str) -> Recipient<'_> {
        Recipient::parse(argument.as_bytes()).unwrap()
    }

    #[test]
    fn names_come_back_in_their_order() {
        let mut names = Names::default();
        assert_eq!(names.first(), None);
        let long = format!("TO:<{}@b.test>", "x".repeat(200));
        for round in 0..4 {
            names.push(Some(&name("TO:<a@B.test>")));
            names.push(None);
            for _ in 0..round {
                names.push(Some(&name(&long)));
            }
            assert_eq!(names.spell(&name("TO:<Q@b.test>")), b"Q@b.test");
            names.push(Some(&name("TO:<c@b.test>")));
            assert_eq!(names.first(), Some(&b"a@b.test"[..]));
            names.pop();
            assert_eq!(names.first(), None);
            names.pop();
            for _ in 0..round {
                assert_eq!(names.first(), Some(&long.as_bytes()[4..211]));
                names.pop();
            }
            assert_eq!(names.first(), Some(&b"c@b.test"[..]));
            names.pop();
            names.pop();
            assert_eq!(names.first(), None);
            assert!(names.octets.capacity() <= SPARE_OCTETS);
        }
    }

    #[test]
    fn one_mailbox_counts_once() {
        let mut mailboxes = Mailboxes::default();
        for name in [
            "a@b.test",
            "A@b.test",
            "a+x@b.test",
            "a@c.test",
            "b@b.test",
            "ab@.test",
        ] {
            mailboxes.add(name.as_bytes());
        }
        assert_eq!(mailboxes.count(), 4);
        for number in 0..2 * MOST_MAILBOXES {
            mailboxes.add(format!("{number}@b.test").as_bytes());
        }
        assert_eq!(mailboxes.count() as usize, MOST_MAILBOXES);
        mailboxes.clear();
        assert_eq!(mailboxes.count(), 0);
        assert!(mailboxes.0.capacity() <= 2 * SPARE_MAILBOXES);
    }
}
