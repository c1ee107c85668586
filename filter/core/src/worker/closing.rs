//! Connections whose last word is out, waiting for their moment to be closed.

use std::collections::VecDeque;
use std::time::Duration;

/// Connections to close, each at its time. All wait equally long, so the first in is the first
/// out; there are never more than connections, if its user drops those that are gone.
#[derive(Debug)]
pub struct Closing<Id> {
    linger: Duration,
    due: VecDeque<(Duration, Id)>,
}

impl<Id> Closing<Id> {
    /// Connections are closed `linger` after their last word.
    #[must_use]
    pub fn new(linger: Duration) -> Self {
        Self {
            linger,
            due: VecDeque::new(),
        }
    }

    /// The last word of `connection` is out at `now`, a time on any steady clock.
    pub fn add(&mut self, connection: Id, now: Duration) {
        self.due.push_back((now + self.linger, connection));
    }

    /// The next connection whose time has come.
    pub fn pop_due(&mut self, now: Duration) -> Option<Id> {
        match self.due.front() {
            Some((due, _)) if *due <= now => self.due.pop_front().map(|(_, id)| id),
            _ => None,
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Leaves those out that need not be closed any more.
    pub fn retain(&mut self, mut still: impl FnMut(&Id) -> bool) {
        self.due.retain(|(_, id)| still(id));
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_is_closed_at_its_time_and_once() {
        let at = Duration::from_millis;
        let mut closing = Closing::new(at(100));
        closing.add("a", at(0));
        closing.add("b", at(50));
        assert_eq!(closing.pop_due(at(99)), None);
        assert_eq!(closing.pop_due(at(120)), Some("a"));
        assert_eq!(closing.pop_due(at(120)), None);
        assert!(!closing.is_empty());
        closing.add("c", at(60));
        closing.add("d", at(70));
        closing.retain(|id| *id != "c");
        assert_eq!(closing.len(), 2);
        assert_eq!(closing.pop_due(at(150)), Some("b"));
        assert_eq!(closing.pop_due(at(170)), Some("d"));
        assert!(closing.is_empty());
    }
}
