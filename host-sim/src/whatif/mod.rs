//! Recorded sessions before two policies: who would be treated differently.
//!
//! All sessions are played in one simulator for each policy, at the times they say
//! they began, so that a filter which remembers clients remembers them here, too.
//! Each client says what it said, as soon as it has seen as many replies as then;
//! each server answers a command as it did then. What a session would have gone on
//! to do had it not been cut, no record can say.

mod recording;
mod server;
mod stage;
mod treatment;
pub(crate) mod units;

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::Serialize;

pub use recording::Recording;
pub use treatment::Treatment;

use crate::attack::{Guard, RecordFields};
use crate::error::HostError;
use crate::threads::in_threads;
use stage::Stage;
use treatment::first_difference;

/// What is compared.
pub struct WhatIf<'a> {
    /// The sessions.
    pub recordings: &'a [Recording],
    /// The filter with the first policy.
    pub before: Guard,
    /// The filter with the second policy.
    pub after: Guard,
    /// What tells the filter's sessions apart.
    pub fields: RecordFields,
    /// Sessions that are over, under both policies.
    pub progress: AtomicU64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// How many sessions there were.
    pub sessions: usize,
    /// How many of them are of honest senders: mail was accepted in them, then or
    /// under one of the policies.
    pub honest: usize,
    /// Those that are treated differently: honest senders first, and of these, those
    /// whose mail would be lost.
    pub differences: Vec<Difference>,
    /// Every session, in the order of the recordings.
    #[serde(skip)]
    pub all: Vec<(Treatment, Treatment)>,
}

/// A session that is treated differently.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The recording's name.
    pub session: String,
    /// The client's address.
    pub client: SocketAddr,
    /// Whether its sender is honest.
    pub honest: bool,
    /// What it means for the client.
    pub change: Change,
    /// Under the first policy.
    pub before: Treatment,
    /// Under the second policy.
    pub after: Treatment,
    /// The first line that the client read under the first policy only.
    pub read_before: Option<String>,
    /// What it read instead under the second.
    pub read_after: Option<String>,
}

/// What the second policy means for a client, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Fewer messages are accepted.
    MailLost,
    /// The filter ends the session, or keeps it from the server, and did not before.
    CutNow,
    /// Anything else.
    Other,
    /// The filter no longer does.
    SparedNow,
    /// More messages are accepted.
    MailGained,
}

impl Change {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MailLost => "mail lost",
            Self::CutNow => "cut now",
            Self::Other => "otherwise",
            Self::SparedNow => "spared now",
            Self::MailGained => "mail gained",
        }
    }

    fn between(before: &Treatment, after: &Treatment) -> Self {
        let accepted = after.accepted.cmp(&before.accepted);
        match (accepted, before.is_cut(), after.is_cut()) {
            (Ordering::Less, ..) => Self::MailLost,
            (Ordering::Greater, ..) => Self::MailGained,
            (_, false, true) => Self::CutNow,
            (_, true, false) => Self::SparedNow,
            _ => Self::Other,
        }
    }
}

impl Comparison {
    /// Honest senders that are worse off under the second policy.
    #[must_use]
    pub fn harmed(&self) -> usize {
        let worse = [Change::MailLost, Change::CutNow];
        let differences = self.differences.iter();
        differences
            .filter(|at| at.honest && worse.contains(&at.change))
            .count()
    }

    /// When the last session was over.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        let ends = self.all.iter().flat_map(|(a, b)| [a.ended, b.ended]);
        ends.max().unwrap_or_default()
    }
}

impl WhatIf<'_> {
    /// Plays all sessions under both policies, side by side.
    ///
    /// # Errors
    /// When the filter does not start.
    pub fn compare(&self) -> Result<Comparison, HostError> {
        let guards = [&self.before, &self.after];
        let played = in_threads(&guards, |guard| {
            Stage::set(self.recordings, guard, &self.fields, &self.progress).map(Stage::play)
        });
        let mut played = played.into_iter();
        let mut next = || played.next().unwrap_or_else(|| Ok(Vec::new()));
        let (before, after) = (next()?, next()?);
        let all: Vec<_> = before.into_iter().zip(after).collect();
        let sessions = || self.recordings.iter().zip(&all);
        let mut differences: Vec<_> = sessions()
            .filter(|(_, (before, after))| !before.is_same(after))
            .map(|(recording, (before, after))| Difference::new(recording, before, after))
            .collect();
        differences.sort_by_key(|at| (!at.honest, at.change, at.session.clone()));
        Ok(Comparison {
            sessions: self.recordings.len(),
            honest: sessions()
                .filter(|(recording, both)| is_honest(recording, both))
                .count(),
            differences,
            all,
        })
    }
}

fn is_honest(recording: &Recording, (before, after): &(Treatment, Treatment)) -> bool {
    recording.accepted > 0 || before.accepted > 0 || after.accepted > 0
}

impl Difference {
    fn new(recording: &Recording, before: &Treatment, after: &Treatment) -> Self {
        let (read_before, read_after) = first_difference(&before.read, &after.read);
        Self {
            session: recording.name.clone(),
            client: recording.client,
            honest: is_honest(recording, &(before.clone(), after.clone())),
            change: Change::between(before, after),
            before: before.clone(),
            after: after.clone(),
            read_before,
            read_after,
        }
    }
}
