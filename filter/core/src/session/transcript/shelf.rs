//! How much memory the transcripts of one worker may have.

use std::cell::Cell;

/// What is left for the transcripts of one worker's sessions.
#[derive(Debug)]
pub struct Shelf {
    left: Cell<usize>,
}

/// Why a transcript is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortened {
    /// The session said more than one may have kept.
    Session,
    /// The worker's sessions together said more than may be kept.
    Worker,
    /// The same, before the session had said anything: there is none.
    Dropped,
}

impl Shelf {
    /// With room for so many octets.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        Self {
            left: Cell::new(octets),
        }
    }

    /// Octets that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left.get()
    }

    pub(super) fn take(&self, octets: usize) -> bool {
        let left = self.left.get().checked_sub(octets);
        left.inspect(|left| self.left.set(*left)).is_some()
    }

    pub(super) fn give_back(&self, octets: usize) {
        self.left.set(self.left.get() + octets);
    }
}
