//! What happened, line by line, to compare two runs.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::wire::Input;
use crate::connection::End;
use crate::observe::{ConnId, LogLine, TrapReport};
use crate::worker::{Effect, Upstream};

/// Lines are kept up to so many bytes; of those beyond, only a digest.
const LONGEST_TEXT: usize = 4 * 1024 * 1024;
/// Bytes of one piece of text that are shown.
const LONGEST_EXCERPT: usize = 60;

/// The lines so far.
#[derive(Default)]
pub(super) struct Trace {
    text: String,
    line: String,
    more: u64,
    digest: DefaultHasher,
}

impl Trace {
    /// Adds a line: when, on which worker, for which context, what.
    pub(super) fn note(&mut self, at: Duration, conn: ConnId, what: fmt::Arguments<'_>) {
        let ConnId { worker, context } = conn;
        self.line.clear();
        let (seconds, nanos) = (at.as_secs(), at.subsec_nanos());
        // Writing into a string cannot fail.
        let _ = writeln!(
            self.line,
            "{seconds}.{nanos:09} w{worker} c{context} {what}"
        );
        if self.more == 0 && self.text.len() + self.line.len() <= LONGEST_TEXT {
            self.text.push_str(&self.line);
        } else {
            self.more += 1;
            self.line.hash(&mut self.digest);
        }
    }

    /// A digest of all lines, those that are kept and those that are not.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = self.digest.clone();
        self.text.hash(&mut digest);
        self.more.hash(&mut digest);
        digest.finish()
    }

    pub(super) fn text(&self) -> String {
        match self.more {
            0 => self.text.clone(),
            more => format!("{}+{more} {:016x}\n", self.text, self.digest.finish()),
        }
    }
}

/// The beginning of some bytes, and a digest that stands for the rest.
pub(super) struct Excerpt<'a>(pub(super) &'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(LONGEST_EXCERPT) {
            None | Some((_, [])) => write!(f, "{}", self.0.escape_ascii()),
            Some((head, rest)) => {
                let mut digest = DefaultHasher::new();
                rest.hash(&mut digest);
                let (size, digest) = (rest.len(), digest.finish());
                write!(f, "{} +{size} {digest:016x}", head.escape_ascii())
            }
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { peer, .. } => write!(f, "opened {peer}"),
            Self::ClientWrote(bytes) => write!(f, "C> {}", Excerpt(bytes)),
            Self::ClientEnded(End::HalfClose) => f.write_str("C|"),
            Self::ClientEnded(End::Reset) => f.write_str("C!"),
            Self::ServerFailed => f.write_str("server not reached"),
            Self::ServerReached => f.write_str("server reached"),
            Self::ServerWrote(bytes) => write!(f, "S> {}", Excerpt(bytes)),
            Self::ServerEnded(End::HalfClose) => f.write_str("S|"),
            Self::ServerEnded(End::Reset) => f.write_str("S!"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(Upstream::Server) => f.write_str("to the server"),
            Self::Connect(Upstream::Echo(name)) => write!(f, "to the echo {name}"),
            Self::ToServer(bytes) => write!(f, "S< {}", Excerpt(bytes)),
            Self::ToClient(bytes) => write!(f, "C< {}", Excerpt(bytes)),
            Self::EndServer => f.write_str("S<|"),
            Self::EndClient => f.write_str("C<|"),
            Self::Close => f.write_str("closed"),
            Self::Finished(summary) => write!(f, "finished {}", summary.reason.name()),
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level, Excerpt(self.text.as_bytes()))
    }
}

impl fmt::Display for TrapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trap in {}", self.callback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId {
        worker: 1,
        context: 4,
    };

    #[test]
    fn long_pieces_differ_by_their_digest() {
        let show = |bytes: &[u8]| Excerpt(bytes).to_string();
        assert_eq!(show(b"a\r\n"), "a\\r\\n");
        let (one, two) = (["x".repeat(80), "a".into()], ["x".repeat(80), "b".into()]);
        assert_ne!(show(one.concat().as_bytes()), show(two.concat().as_bytes()));
        assert!(show(&[b'x'; 1000]).len() < 100);
    }

    #[test]
    fn a_trace_beyond_its_limit_still_differs() {
        let run = |last: &str| {
            let mut trace = Trace::default();
            let line = "x".repeat(LONGEST_TEXT / 4);
            for text in [&line, &line, &line, &line, last] {
                trace.note(Duration::from_millis(1500), CONN, format_args!("{text}"));
            }
            trace.text()
        };
        assert!(run("a").starts_with("1.500000000 w1 c4 xxx"));
        assert!(run("a").len() < LONGEST_TEXT + 100);
        assert_ne!(run("a"), run("b"));
    }
}
