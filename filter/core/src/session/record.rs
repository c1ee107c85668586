//! What is remembered of a session: one object for the access log.

use super::{Phase, Session};
use crate::ledger;
use crate::policy::{Counts, Listing, Mode, Rule, Verdict};
use serde::{Serialize, Serializer};
use std::net::IpAddr;

/// The outcome of a session, serialised as one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The network whose addresses are one client.
    pub prefix: Option<String>,
    /// `admit`, `close`, `refuse` (at the door), `detain` (in a dialogue of the guard's own),
    /// `observe` (a rule was met but nothing done) or
    /// `exempt`.
    pub verdict: &'static str,
    /// The rule behind `close`, `refuse`, `detain` and `observe`.
    pub rule: Option<Rule>,
    /// Whether verdicts on this client are carried out.
    pub mode: Mode,
    /// Which policy it was judged by.
    pub policy: String,
    /// Why the session was no longer read from some point on.
    pub opaque: Option<&'static str>,
    /// Whether the client has spoken under TLS that ends before the guard.
    pub tls: bool,
    /// What DNS blacklists say of the client, if they list it.
    pub dnsbl: Option<Listing>,
    /// What the ledger says of it, if it lists it.
    pub listed: Option<Listed>,
    /// What it did.
    #[serde(flatten)]
    pub counts: Counts,
    /// What of it the verdict rests on: the same numbers when the rule was met.
    pub evidence: Option<Counts>,
    /// All rules that were met but only observed, in that order.
    pub observed: Vec<Rule>,
    /// Octets each side wrote.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// How and when it ended.
    #[serde(flatten)]
    pub ending: Ending,
}

/// A client on our list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Why.
    pub reason: &'static str,
    /// Until when, in seconds since the Unix epoch.
    pub until: u32,
    /// How often in a row.
    pub times: u8,
}

/// Octets on their way, counted when the guard is shown them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// From the client.
    pub octets_from_client: u64,
    /// From the server, or what stands for it.
    pub octets_from_server: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, from_client: usize, from_server: usize) {
        self.octets_from_client += from_client as u64;
        self.octets_from_server += from_server as u64;
    }
}

/// Who ended a connection, as the host saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Neither side: a time-out, a server that cannot be reached, a drained listener.
    #[default]
    Proxy,
    /// The client, without a word.
    Client,
    /// The client, by QUIT.
    Quit,
    /// The server.
    Server,
    /// The guard.
    Guard,
}

/// How and when a session ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// Who ended it.
    pub ended: Ended,
    /// How long it lasted.
    pub duration_ms: u64,
    /// For how much of that the greeting was held.
    pub held_ms: u64,
}

impl From<ledger::Listing> for Listed {
    fn from(listing: ledger::Listing) -> Self {
        Self {
            reason: listing.reason.name(),
            until: listing.until,
            times: listing.times,
        }
    }
}

/// Serialised by the name that logs and metrics use, too.
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Record {
    /// The record with its end. What the guard or a QUIT ended, the host cannot tell apart.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        let ended = match self.ending.ended {
            Ended::Proxy => ending.ended,
            known => known,
        };
        self.ending = Ending { ended, ..ending };
        self
    }

    /// The verdict's name, and the rule behind it with its evidence.
    pub(super) fn verdict_of(session: &Session) -> (&'static str, Option<&Verdict>) {
        // The first is the one that would have ended the session.
        let observed = session.observed.first();
        match &session.phase {
            Phase::Closed(met) | Phase::Cut(met) | Phase::Sentenced(met) => ("close", Some(met)),
            Phase::Detained(met) => ("detain", Some(met)),
            Phase::Refused(met, _) => ("refuse", Some(met)),
            _ if observed.is_some() => ("observe", observed),
            Phase::Exempt(_) => ("exempt", None),
            Phase::Judged | Phase::Unpaired(_) | Phase::Opaque(_) => ("admit", None),
        }
    }

    pub(super) fn new(session: &Session) -> Self {
        let (verdict, met) = Self::verdict_of(session);
        let ended = match verdict {
            "close" | "refuse" | "detain" => Ended::Guard,
            _ if session.quits => Ended::Quit,
            _ => Ended::Proxy,
        };
        let account = session.account.as_ref();
        let now_listed =
            || account.and_then(|account| account.entry().listing(account.watch().now()));
        let prefix = session.client.map(|client| session.policy.client(client));
        Self {
            client: session.client,
            prefix: prefix.map(|prefix| prefix.to_string()),
            verdict,
            rule: met.map(|met| met.rule),
            mode: session.stance,
            policy: session.policy.version().to_owned(),
            opaque: match session.phase {
                Phase::Unpaired(cause) | Phase::Opaque(cause) => Some(cause.name()),
                _ => None,
            },
            tls: session.is_under_tls(),
            dnsbl: session.listing.as_deref().cloned(),
            listed: session.listed.or_else(now_listed).map(Listed::from),
            counts: session.counts,
            evidence: met.map(|met| met.counts),
            observed: session.observed.iter().map(|met| met.rule).collect(),
            traffic: session.traffic,
            ending: Ending {
                ended,
                ..Ending::default()
            },
        }
    }
}
