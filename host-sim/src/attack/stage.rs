//! One host under attack, on virtual time.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;

use super::blacklists::Blacklists;
use super::bot::Bot;
use super::clients;
use super::honest::{Kind, Letter, Visit};
use super::names::{self, DOMAIN};
use super::plan::Plan;
use super::schedule::{Schedule, Slot, Task};
use super::series::Sample;
use super::session::{Role, Session};
use super::tally::{Performance, RecordFields, Tally};
use crate::error::HostError;
use crate::mta::{Mailboxes, SimulatedMta, Stats};
use crate::observe::{ConnId, LogLevel};
use crate::resolver::resolver;
use crate::simulator::Simulator;

use super::Guard;

/// A filter that is asked at once whether all is well has some time to begin.
const SETTLING: Duration = Duration::from_millis(500);

/// Of all clients, those that come to one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) host: u32,
    pub(super) hosts: u32,
}

impl Share {
    fn has(self, number: u32) -> bool {
        number % self.hosts.max(1) == self.host
    }
}

/// A host, its clients, and what is counted.
pub(super) struct Stage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) sim: Simulator,
    stats: Arc<Stats>,
    dns_questions: Arc<AtomicU64>,
    pub(super) schedule: Schedule,
    pub(super) sessions: HashMap<ConnId, Session>,
    pub(super) tally: Tally,
    /// Attack sessions that are over, over all hosts.
    pub(super) progress: &'a AtomicU64,
}

impl<'a> Stage<'a> {
    /// Prepares a host of the plan's, and everybody who will come to it.
    pub(super) fn set(
        plan: &'a Plan,
        guard: &Guard,
        fields: RecordFields,
        share: Share,
        progress: &'a AtomicU64,
    ) -> Result<Self, HostError> {
        let mailboxes = Mailboxes::new(DOMAIN, names::mailboxes(plan.mailboxes))
            .unknown_reply(&plan.unknown_reply);
        let mta = SimulatedMta::new(mailboxes);
        let stats = mta.stats();
        let dns_questions = Arc::new(AtomicU64::new(0));
        let mut builder = Simulator::builder_for(&guard.module)
            .plugin_config(guard.policy.clone())
            .workers(plan.workers as usize)
            .seed(plan.seed ^ u64::from(share.host) << 32)
            .log_level(LogLevel::Error)
            .responder(mta)
            .server_delay(plan.server_delay.clone());
        for name in &guard.echo_clusters {
            builder = builder.echo_cluster(name);
        }
        for name in &guard.dns_clusters {
            let asked = Arc::clone(&dns_questions);
            builder = builder.cluster(name, resolver(Blacklists::of(plan, asked)));
        }
        let mut stage = Self {
            plan,
            sim: builder.build()?,
            stats,
            dns_questions,
            schedule: Schedule::default(),
            sessions: HashMap::new(),
            tally: Tally::new(fields),
            progress,
        };
        stage.sim.advance(SETTLING);
        stage.invite_bots(share);
        stage.invite_honest(share);
        Ok(stage)
    }

    fn invite_bots(&mut self, share: Share) {
        let plan = self.plan;
        for bot in (0..plan.bots).filter(|bot| share.has(*bot)) {
            let siblings = plan.siblings.clamp(1, plan.sessions.max(1));
            for sibling in 0..siblings {
                let more = u32::from(sibling < plan.sessions % siblings);
                let left = plan.sessions / siblings + more;
                let slot = Slot { bot, sibling, left };
                let at = SETTLING + time(&mut choices(plan, slot), &(Duration::ZERO..=plan.ramp));
                if left > 0 {
                    self.schedule.add(at, Task::Attack(slot));
                }
            }
        }
    }

    fn invite_honest(&mut self, share: Share) {
        let plan = self.plan;
        let (mut left, mut sender) = (plan.honest, 0);
        for kind in Kind::ALL.into_iter().cycle() {
            if left == 0 {
                return;
            }
            let count = kind.letters().min(left);
            left -= count;
            sender += 1;
            if !share.has(sender) {
                continue;
            }
            let mut rng = clients::choices(plan.seed, honest_choices(sender, 0));
            let letters = (0..count).map(|_| Letter::draw(kind, plan, &mut rng));
            let letters = letters.collect();
            let at = SETTLING + time(&mut rng, &(Duration::ZERO..=plan.shortest()));
            let visit = Task::Visit {
                sender,
                kind,
                letters,
            };
            self.schedule.add(at, visit);
        }
    }

    /// Plays it to the end.
    pub(super) fn play(mut self) -> Performance {
        while self.schedule.has_beginnings() || !self.sessions.is_empty() {
            self.sample_if_due();
            let now = self.sim.elapsed();
            let sample_due = self.tally.performance.series.next_due();
            let due = self
                .schedule
                .next_due()
                .map_or(sample_due, |due| due.min(sample_due));
            if self.sim.advance_until_heard(due.saturating_sub(now)) {
                for conn in self.sim.take_heard() {
                    self.hear(conn);
                }
            }
            while let Some(task) = self.schedule.take(self.sim.elapsed()) {
                self.perform(task);
            }
        }
        self.finish()
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Attack(slot) => {
                self.tally.performance.attack_sessions += 1;
                let client = clients::bot(slot.bot);
                let rng = choices(self.plan, slot);
                self.open(client, rng, Role::Bot(Bot::new(), slot));
            }
            Task::Visit {
                sender,
                kind,
                letters,
            } => {
                let tries = letters.first().map_or(0, |letter| letter.tries);
                let rng = clients::choices(self.plan.seed, honest_choices(sender, tries + 1));
                let now = self.sim.elapsed();
                let visit = Box::new(Visit::new(kind, letters, now));
                self.open(clients::honest(sender), rng, Role::Honest { sender, visit });
            }
            Task::Say(conn, words) => self.say(conn, &words),
            Task::Leave(conn) => self.leave(conn),
            Task::GiveUp(conn) => self.give_up(conn),
        }
    }

    fn sample_if_due(&mut self) {
        while self.sim.elapsed() >= self.tally.performance.series.next_due() {
            self.sample();
        }
        // What nobody will read would only pile up.
        self.sim.take_logs();
    }

    fn sample(&mut self) {
        self.tally.sample(Sample {
            lookups: self.stats.snapshot().rcpt,
            server_sessions: self.sim.server_connections() as u64,
            dns_questions: self.dns_questions.load(Ordering::Relaxed),
            metrics: self.sim.metrics(),
            ..Sample::default()
        });
    }

    fn finish(mut self) -> Performance {
        self.sample();
        let performance = &mut self.tally.performance;
        performance.lasted = self.sim.elapsed();
        performance.server = self.stats.snapshot();
        performance.dns_questions = self.dns_questions.load(Ordering::Relaxed);
        performance.traps = self.sim.traps().len() as u64;
        performance.metrics = self.sim.metrics();
        performance.wasm_memory_bytes = self.sim.wasm_memory_bytes() as u64;
        performance.trace = format!("{:016x}", self.sim.trace_digest());
        for mail in performance.honest.values_mut() {
            mail.delays.sort_unstable();
        }
        self.tally.performance
    }
}

/// A time of this range.
pub(super) fn time(rng: &mut Rng, range: &RangeInclusive<Duration>) -> Duration {
    let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (from, to) = (nanos(range.start()), nanos(range.end()));
    Duration::from_nanos(rng.u64(from..=to.max(from)))
}

/// The choices of one bot in one session.
fn choices(plan: &Plan, slot: Slot) -> Rng {
    let Slot { bot, sibling, left } = slot;
    let of = u64::from(bot) << 32 | u64::from(sibling) << 20 | u64::from(left);
    clients::choices(plan.seed, of)
}

/// What stands for the choices of an honest sender when it comes for this time.
fn honest_choices(sender: u32, time: u32) -> u64 {
    1 << 63 | u64::from(sender) << 8 | u64::from(time)
}
