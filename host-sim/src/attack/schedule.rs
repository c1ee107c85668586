//! What clients will do, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::honest::{Kind, Letter};
use crate::observe::ConnId;

/// Something a client does by itself.
#[derive(Debug)]
pub(super) enum Task {
    /// A bot begins its next session.
    Attack(Slot),
    /// An honest sender comes with its messages.
    Visit {
        /// The sender's number.
        sender: u32,
        kind: Kind,
        letters: Vec<Letter>,
    },
    /// A client says these words.
    Say(ConnId, Vec<u8>),
    /// A client leaves.
    Leave(ConnId),
    /// A client gives up if it has not heard anything for too long.
    GiveUp(ConnId),
}

/// One of a bot's sessions at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) bot: u32,
    pub(super) sibling: u32,
    /// Sessions that are left.
    pub(super) left: u32,
}

/// All tasks, by their time and then by age.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    times: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    tasks: Vec<Option<Task>>,
    /// Places in `tasks` that can be used again.
    free: Vec<usize>,
    added: u64,
    /// Tasks that begin a session.
    beginnings: usize,
}

impl Schedule {
    pub(super) fn add(&mut self, at: Duration, task: Task) {
        self.beginnings += usize::from(task.begins());
        self.added += 1;
        let place = self.free.pop().unwrap_or(self.tasks.len());
        match self.tasks.get_mut(place) {
            Some(free) => *free = Some(task),
            None => self.tasks.push(Some(task)),
        }
        self.times.push(Reverse((at, self.added, place)));
    }

    /// When the next task is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let Reverse((at, _, _)) = self.times.peek()?;
        Some(*at)
    }

    /// The next task, if it is due.
    pub(super) fn take(&mut self, now: Duration) -> Option<Task> {
        self.next_due().filter(|due| *due <= now)?;
        let Reverse((_, _, place)) = self.times.pop()?;
        let task = self.tasks.get_mut(place)?.take()?;
        self.free.push(place);
        self.beginnings -= usize::from(task.begins());
        Some(task)
    }

    /// Whether sessions are still to begin.
    pub(super) fn has_beginnings(&self) -> bool {
        self.beginnings > 0
    }
}

impl Task {
    fn begins(&self) -> bool {
        matches!(self, Self::Attack(_) | Self::Visit { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_by_time_then_by_age() {
        let mut schedule = Schedule::default();
        let at = Duration::from_secs;
        let slot = |bot| Slot {
            bot,
            sibling: 0,
            left: 1,
        };
        for (time, bot) in [(2, 1), (1, 2), (2, 3)] {
            schedule.add(at(time), Task::Attack(slot(bot)));
        }
        assert!(schedule.take(at(0)).is_none());
        let bots: Vec<u32> = std::iter::from_fn(|| schedule.take(at(2)))
            .filter_map(|task| match task {
                Task::Attack(slot) => Some(slot.bot),
                _ => None,
            })
            .collect();
        assert_eq!(bots, [2, 1, 3]);
        assert!(!schedule.has_beginnings());
        schedule.add(at(3), Task::Attack(slot(4)));
        assert_eq!(schedule.tasks.len(), 3, "places are used again");
    }
}
