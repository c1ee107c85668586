//! What is to be done about connections at some time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Things to do, each at its time. Its user adds a bounded number for each connection.
#[derive(Debug)]
pub struct Timers<T>(BinaryHeap<Reverse<(Duration, T)>>);

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<T: Ord> Timers<T> {
    /// `thing` is to be done at `due`, a time on any steady clock.
    pub fn add(&mut self, due: Duration, thing: T) {
        self.0.push(Reverse((due, thing)));
    }

    /// The next thing whose time has come.
    pub fn pop_due(&mut self, now: Duration) -> Option<T> {
        let Reverse((due, _)) = self.0.peek()?;
        match *due <= now {
            true => self.0.pop().map(|Reverse((_, thing))| thing),
            false => None,
        }
    }

    /// How many things there are to do.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_due_first_is_done_first() {
        let at = Duration::from_millis;
        let mut timers = Timers::default();
        timers.add(at(50), "b");
        timers.add(at(20), "a");
        timers.add(at(50), "c");
        assert_eq!(timers.pop_due(at(19)), None);
        assert_eq!(timers.pop_due(at(60)), Some("a"));
        assert_eq!(timers.pop_due(at(60)), Some("b"));
        assert_eq!(timers.pop_due(at(60)), Some("c"));
        assert!(timers.is_empty());
    }
}
