//! What is remembered of a session: one object for the access log.

use super::{Phase, Session};
use crate::policy::{Counts, Listing, Mode, Rule};
use serde::Serialize;
use std::net::IpAddr;

/// The outcome of a session, serialised as one flat JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// `admit`, `close`, `refuse` (at the door), `detain` (in a dialogue of the guard's own),
    /// `observe` (a rule was met but nothing done) or
    /// `exempt`.
    pub verdict: &'static str,
    /// The rule behind `close`, `refuse` and `observe`.
    pub rule: Option<Rule>,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// Why the session was no longer read from some point on.
    pub opaque: Option<&'static str>,
    /// Whether the client has spoken under TLS that ends before the guard.
    pub tls: bool,
    /// What DNS blacklists say of the client, if they list it.
    pub dnsbl: Option<Listing>,
    /// What it did.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Record {
    pub(super) fn new(session: &Session) -> Self {
        // The first is the one that would have ended the session.
        let observed = session.observed.first().map(|verdict| verdict.rule);
        let (verdict, rule) = match session.phase {
            Phase::Closed(verdict) | Phase::Cut(verdict) | Phase::Sentenced(verdict) => {
                ("close", Some(verdict.rule))
            }
            Phase::Detained(verdict) => ("detain", Some(verdict.rule)),
            Phase::Refused(verdict, _) => ("refuse", Some(verdict.rule)),
            _ if observed.is_some() => ("observe", observed),
            Phase::Exempt(_) => ("exempt", None),
            Phase::Judged | Phase::Unpaired(_) | Phase::Opaque(_) => ("admit", None),
        };
        Self {
            client: session.client,
            verdict,
            rule,
            mode: session.policy.config().mode,
            opaque: match session.phase {
                Phase::Unpaired(cause) | Phase::Opaque(cause) => Some(cause.name()),
                _ => None,
            },
            tls: session.is_under_tls(),
            dnsbl: session.listing.as_deref().cloned(),
            counts: session.counts,
        }
    }
}
