//! What holds at the end of a played session.

use super::check::{Check, Subject, judge_json};
use super::play::Player;
use super::report::Failure;

impl Player {
    /// The checks that look at the whole session; a trap fails any scenario.
    pub(super) fn judge(&mut self, checks: &[Check]) {
        let failure = self.trap().or_else(|| {
            let mut failures = checks.iter().filter_map(|check| self.check(check));
            failures.next()
        });
        if self.report.failure.is_none() {
            self.report.failure = failure;
        }
    }

    fn trap(&self) -> Option<Failure> {
        self.sim.traps().first().map(|trap| Failure {
            line: None,
            expected: "no trap".to_owned(),
            got: format!("a trap in {}: {}", trap.callback, trap.message),
        })
    }

    fn check(&self, check: &Check) -> Option<Failure> {
        let (expected, got) = match &check.subject {
            Subject::Log(text) => {
                let mut logs = self.sim.logs().iter();
                if logs.any(|line| line.text.contains(text)) {
                    return None;
                }
                let all = format!("none of {} log lines with it", self.sim.logs().len());
                (format!("a log line with `{text}`"), all)
            }
            Subject::Property { name, text } => {
                let value = self.property(name);
                let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
                if value.as_ref().is_some_and(|set| set.contains(text)) {
                    return None;
                }
                let got = value.map_or("no such property".to_owned(), |set| format!("`{set}`"));
                (format!("property {name} with `{text}`"), got)
            }
            Subject::Json {
                property,
                pointer,
                value,
            } => {
                let set = self.property(property);
                return judge_json(check.line, pointer, value, set.as_deref());
            }
            Subject::Closed(reason) => {
                let closed = self.report.closed;
                if closed == Some(*reason) {
                    return None;
                }
                let got = closed.map_or("an open one", |reason| reason.name());
                (
                    format!("a session closed by {}", reason.name()),
                    got.to_owned(),
                )
            }
            Subject::Unchanged => {
                let difference = self.report.differences.first()?;
                let expected = "each side to read what the other wrote".to_owned();
                (expected, difference.to_string())
            }
        };
        Some(Failure {
            line: Some(check.line),
            expected,
            got,
        })
    }

    fn property(&self, name: &str) -> Option<Vec<u8>> {
        self.sim.properties(self.conn).remove(name)
    }
}
