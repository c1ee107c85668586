//! What a played scenario showed.

use std::fmt;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, since the scenario began.
    pub at: Duration,
    /// What, in the scenario's own notation or as a comment.
    pub text: String,
}

/// The first thing that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line that expected it; `None` for what every scenario expects.
    pub line: Option<usize>,
    /// What it expected.
    pub expected: String,
    /// What there was.
    pub got: String,
}

/// A played scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that happened, in order.
    pub entries: Vec<Entry>,
    /// What failed, if anything did.
    pub failure: Option<Failure>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} {}", self.at.as_secs_f64(), self.text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            expected,
            got,
        } = self;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "expected {expected}, got {got}")
    }
}
