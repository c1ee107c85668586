//! The names that are guessed, and those that exist.

use std::fmt::Write as _;

use fastrand::Rng;

/// The domain whose mailboxes are guessed.
pub(super) const DOMAIN: &str = "example.test";

/// How names begin that are tried everywhere.
const COMMON: [&str; 24] = [
    "info", "sales", "office", "contact", "support", "john", "mary", "peter", "anna", "david",
    "maria", "michael", "laura", "thomas", "sarah", "daniel", "julia", "martin", "eva", "paul",
    "nina", "robert", "lisa", "mark",
];

/// The names of mailboxes that exist. No guessed name is among them.
pub(super) fn mailboxes(count: u32) -> Vec<String> {
    (0..count.max(1)).map(mailbox).collect()
}

/// One mailbox that exists.
pub(super) fn mailbox(number: u32) -> String {
    format!("user{number}")
}

/// Writes one name of a dictionary of this size, drawn anew each time.
pub(super) fn guess(out: &mut Vec<u8>, dictionary: u32, rng: &mut Rng) {
    let number = rng.u32(0..dictionary.max(1)) as usize;
    let common = COMMON.get(number % COMMON.len()).copied().unwrap_or("a");
    let mut name = common.to_owned();
    if let more @ 1.. = number / COMMON.len() {
        // Writing into a string cannot fail.
        let _ = write!(name, ".{more}");
    }
    out.extend_from_slice(name.as_bytes());
}
