//! Questions on their way.

use super::steps::{LookupNote, Now, Question, Steps};
use super::{Lookups, Stage};
use crate::client::Client;
use crate::dnsbl::{
    Answer, Fault, Method, RecordType, query_name, question, read_answer, read_text, request,
};
use crate::policy::{DnsblConfig, DohMethod};
use crate::worker::health::TestPoint;
use crate::worker::known::{Finding, MAX_CODES, Says};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// Why a question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whether a zone has a client.
    Client(Client),
    /// What it says about it.
    Text(Client),
    /// Whether the zone is a list.
    Test(TestPoint),
}

/// A question that has no answer yet.
#[derive(Debug)]
pub(super) struct Asked {
    kind: Kind,
    zone: usize,
    name: String,
}

/// The questions that have no answer yet.
#[derive(Debug)]
pub(super) struct Questions {
    asked: HashMap<u32, Asked>,
    next_ticket: u32,
    /// Every question is answered, if only by the host's own time limit; were one ever not, its
    /// client would wait for ever. All wait equally long.
    deadlines: VecDeque<(Duration, u32)>,
    patience: Duration,
}

impl Questions {
    pub(super) fn new(config: &DnsblConfig) -> Self {
        Self {
            asked: HashMap::new(),
            next_ticket: 0,
            deadlines: VecDeque::new(),
            patience: Duration::from_millis(u64::from(config.timeout_ms) + 1000),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    fn add(&mut self, asked: Asked, now: Duration) -> u32 {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.asked.insert(self.next_ticket, asked);
        self.deadlines
            .push_back((now.saturating_add(self.patience), self.next_ticket));
        self.next_ticket
    }

    fn take(&mut self, ticket: u32) -> Option<Asked> {
        let asked = self.asked.remove(&ticket);
        while let Some((_, first)) = self.deadlines.front()
            && !self.asked.contains_key(first)
        {
            self.deadlines.pop_front();
        }
        asked
    }

    /// Those that were never answered.
    pub(super) fn overdue(&self, now: Duration) -> Vec<u32> {
        let deadlines = self.deadlines.iter();
        let due = deadlines.take_while(|(due, _)| *due <= now);
        due.map(|(_, ticket)| *ticket)
            .filter(|ticket| self.asked.contains_key(ticket))
            .collect()
    }
}

#[cfg(test)]
impl<W> Lookups<W> {
    /// The next but one ticket is the last before they begin anew.
    pub(in crate::worker) fn wind_tickets_on(&mut self) {
        self.questions.next_ticket = u32::MAX - 2;
    }

    /// Questions without an answer, and clients remembered.
    pub(in crate::worker) fn load(&self) -> (usize, usize) {
        (self.questions.len(), self.memory.len())
    }
}

impl<W: Copy + Eq> Lookups<W> {
    /// A question has come back: the body of a response that is one (RFC 8484), or what became of
    /// it instead.
    pub fn answered(&mut self, ticket: u32, body: Result<&[u8], Fault>, now: Now) -> Steps<W> {
        let mut steps = Steps::default();
        let Some(asked) = self.questions.take(ticket) else {
            return steps;
        };
        let (zone, name) = (asked.zone, &asked.name);
        let answer = |body: Result<&[u8], Fault>| match body {
            Ok(body) => read_answer(body, name),
            Err(fault) => Answer::Failed(fault),
        };
        match asked.kind {
            Kind::Client(client) => {
                let finding = self.found(zone, answer(body), now, &mut steps);
                self.remember(client, zone, finding.clone(), now);
                if let Some(open) = self.open.get_mut(&client) {
                    open.known.set(zone, finding);
                    if let Stage::Asking { left } = &mut open.stage {
                        *left = left.saturating_sub(1);
                    }
                }
                self.weigh(client, now, &mut steps);
            }
            Kind::Text(client) => {
                let text = body.ok().and_then(|body| read_text(body, name));
                self.texted(client, zone, text.map(Into::into));
                self.weigh(client, now, &mut steps);
            }
            Kind::Test(point) => {
                let health = self.health.get_mut(zone);
                let standing =
                    health.and_then(|health| health.tested(point, &answer(body), now.steady));
                let note = standing.map(|standing| LookupNote::Standing(zone, standing));
                steps.notes.extend(note);
            }
        }
        steps
    }

    /// Asks a zone; `false` if it cannot be asked at all, for a name that is too long.
    pub(super) fn ask(
        &mut self,
        kind: Kind,
        zone: usize,
        address: IpAddr,
        now: Now,
        steps: &mut Steps<W>,
    ) -> bool {
        let name = query_name(self.policy.zones().domain(zone), address);
        let record = match kind {
            Kind::Client(_) | Kind::Test(_) => RecordType::A,
            Kind::Text(_) => RecordType::Txt,
        };
        let Some(message) = question(&name, record) else {
            return false;
        };
        let config = &self.policy.config().dnsbl;
        let method = match config.method {
            DohMethod::Get => Method::Get,
            DohMethod::Post => Method::Post,
        };
        let request = request(method, &config.authority, &config.path, &message);
        let asked = Asked { kind, zone, name };
        let ticket = self.questions.add(asked, now.steady);
        steps.questions.push(Question {
            ticket,
            zone,
            request,
        });
        steps.notes.push(match kind {
            Kind::Client(_) | Kind::Text(_) => LookupNote::Asked(zone),
            Kind::Test(_) => LookupNote::Tested(zone),
        });
        true
    }

    /// Tests the sites whose time has come.
    pub(super) fn test_sites(&mut self, now: Now, steps: &mut Steps<W>) {
        for zone in 0..self.health.len() {
            let health = self.health.get_mut(zone);
            if health.is_some_and(|health| health.begin_test(now.steady)) {
                for point in [TestPoint::Listed, TestPoint::Unlisted] {
                    let address = point.address().into();
                    self.ask(Kind::Test(point), zone, address, now, steps);
                }
            }
        }
    }

    /// What an answer comes to, and for how long it holds.
    fn found(&mut self, zone: usize, answer: Answer, now: Now, steps: &mut Steps<W>) -> Finding {
        let ttl = &self.policy.config().dnsbl.ttl;
        let clamp = |ttl_said: Duration| super::seconds(ttl_said).clamp(ttl.min_s, ttl.max_s);
        let (says, holds, note) = match answer {
            Answer::Listed { mut codes, ttl } => {
                codes.truncate(MAX_CODES);
                (Says::Listed(codes), clamp(ttl), LookupNote::Listed(zone))
            }
            Answer::Unlisted { ttl } => {
                let holds = clamp(ttl.unwrap_or_default());
                (Says::Unlisted, holds, LookupNote::Unlisted(zone))
            }
            Answer::Failed(fault) => {
                let note = LookupNote::Failed(zone, fault);
                (Says::Nothing, ttl.error_s, note)
            }
        };
        steps.notes.push(note);
        if let Some(health) = self.health.get_mut(zone) {
            let standing = match note {
                LookupNote::Failed(_, fault) => health.failed(fault, now.steady),
                _ => {
                    health.succeeded();
                    None
                }
            };
            let note = standing.map(|standing| LookupNote::Standing(zone, standing));
            steps.notes.extend(note);
        }
        Finding {
            says,
            until: now.seconds().saturating_add(holds),
        }
    }
}
