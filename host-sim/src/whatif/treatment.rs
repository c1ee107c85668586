//! How a session was treated, and how two treatments differ.

use std::time::Duration;

use serde::Serialize;

/// The most bytes of a line that are shown.
const LONGEST: usize = 120;

/// How a session was treated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// The filter's record of it.
    pub record: String,
    /// Who ended it.
    pub closed: String,
    /// Whether the server was reached.
    pub reached_server: bool,
    /// Messages that the server accepted.
    pub accepted: u64,
    /// When it was over, from the beginning of the first session.
    #[serde(skip)]
    pub ended: Duration,
    /// What the client read.
    #[serde(skip)]
    pub read: Vec<u8>,
}

impl Treatment {
    /// Whether the filter ended the session or kept it from the server.
    pub(crate) fn is_cut(&self) -> bool {
        self.closed == "filter" || !self.reached_server
    }

    /// Whether this is the same to everybody who took part.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let key = |at: &Self| (at.record.clone(), at.closed.clone(), at.reached_server);
        key(self) == key(other) && self.accepted == other.accepted && self.read == other.read
    }
}

/// The first line that a client read under one and not under the other; what it read
/// instead, each as `None` where it read nothing more.
pub(super) fn first_difference(one: &[u8], other: &[u8]) -> (Option<String>, Option<String>) {
    let mut lines = one.split_inclusive(|byte| *byte == b'\n');
    let mut others = other.split_inclusive(|byte| *byte == b'\n');
    loop {
        match (lines.next(), others.next()) {
            (None, None) => return (None, None),
            (one, other) if one == other => {}
            (one, other) => return (one.map(shown), other.map(shown)),
        }
    }
}

fn shown(line: &[u8]) -> String {
    let line = line.trim_ascii_end();
    let line = line.get(..LONGEST).unwrap_or(line);
    line.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let difference = first_difference(b"220 mx\r\n250 ok\r\n", b"220 mx\r\n421 no\r\n");
        assert_eq!(difference, (Some("250 ok".into()), Some("421 no".into())));
        let shorter = first_difference(b"220 mx\r\n", b"220 mx\r\n421 no\r\n");
        assert_eq!(shorter, (None, Some("421 no".into())));
        assert_eq!(first_difference(b"a", b"a"), (None, None));
    }
}
