//! A dictionary attack on virtual time, honest mail mixed in, with and without a
//! filter before the server.
//!
//! [`Attack::play`] performs a [`Plan`] twice with the same seed: behind the filter,
//! and with nothing between the clients and the server. Clients choose names, paces
//! and times alike in both. The filter can be any network filter: of what it does,
//! only what any host sees is counted, and the fields of its record that
//! [`RecordFields`] names.

mod blacklists;
mod bot;
mod clients;
mod dialogue;
mod honest;
mod names;
mod plan;
mod reply;
mod schedule;
mod serial;
mod series;
mod session;
mod stage;
mod tally;

use std::sync::atomic::AtomicU64;

use serde::Serialize;

pub use clients::MOST_BOTS;
pub use honest::Kind;
pub use plan::{Plan, Reset, Sending, Variant};
pub(crate) use series::float;
pub use series::{Sample, Series};
pub(crate) use tally::quantile;
pub use tally::{Mail, Performance, RecordFields};

use crate::error::HostError;
use crate::module::FilterModule;
use crate::threads::in_threads;
use stage::{Share, Stage};

/// What stands between the clients and the server.
#[derive(Clone)]
pub struct Guard {
    /// The filter.
    pub module: FilterModule,
    /// Its configuration.
    pub policy: Vec<u8>,
    /// Clusters that lead a connection routed to them to an echo.
    pub echo_clusters: Vec<String>,
    /// Clusters that answer DNS-over-HTTPS for blacklists.
    pub dns_clusters: Vec<String>,
}

/// An attack to be played.
pub struct Attack {
    /// How it goes.
    pub plan: Plan,
    /// The filter.
    pub guard: Guard,
    /// What tells the filter's sessions apart.
    pub fields: RecordFields,
    /// Attack sessions that are over, with and without the guard: readable from
    /// another thread while it is played.
    pub progress: AtomicU64,
}

/// Both performances of an attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// How it went.
    pub plan: Plan,
    /// The server alone.
    pub without: Performance,
    /// With the filter before it.
    pub with: Performance,
}

impl Attack {
    /// Plays the attack, each host in a thread of its own as far as there are
    /// processors. The outcome does not depend on how many there are.
    ///
    /// # Errors
    /// When the filter does not start.
    pub fn play(&self) -> Result<Outcome, HostError> {
        let open = Guard {
            module: FilterModule::without_callbacks()?,
            policy: Vec::new(),
            echo_clusters: Vec::new(),
            dns_clusters: Vec::new(),
        };
        let hosts = self.plan.hosts.max(1);
        let guards = [&self.guard, &open];
        let jobs: Vec<(&Guard, Share)> = guards
            .into_iter()
            .flat_map(|guard| (0..hosts).map(move |host| (guard, Share { host, hosts })))
            .collect();
        let mut performances = in_threads(&jobs, |(guard, share)| {
            let fields = self.fields.clone();
            Stage::set(&self.plan, guard, fields, *share, &self.progress).map(Stage::play)
        })
        .into_iter();
        let mut add_up = || {
            let hosts = performances.by_ref().take(hosts as usize);
            let sum = hosts.reduce(|sum, next| Ok(sum?.and(next?)));
            sum.unwrap_or_else(|| Ok(Performance::default()))
        };
        let (with, without) = (add_up()?, add_up()?);
        Ok(Outcome {
            plan: self.plan.clone(),
            without,
            with,
        })
    }
}
