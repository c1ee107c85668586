//! What is remembered of a session: one object for the access log.

use super::json::{Object, field};
use super::{Phase, Session};
use crate::client::{Client, address_text};
use crate::ledger;
use crate::policy::{Counts, Listing, Mode, Rule, Verdict};
use serde::{Serialize, Serializer};
use std::net::IpAddr;

/// The outcome of a session, one JSON object. The filter writes it by [`Self::to_json`].
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

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Client => "client",
            Self::Quit => "quit",
            Self::Server => "server",
            Self::Guard => "guard",
        }
    }
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

/// Written field by field, which takes a third of what serde takes, and less of the filter.
impl Record {
    /// The record as JSON, octet for octet as serde would write it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = Object::new();
        json.word(field!("client"), self.client.map(address_text));
        json.word(field!("prefix"), self.prefix.as_ref());
        json.word(field!("verdict"), Some(self.verdict));
        json.word(field!("rule"), self.rule.map(Rule::name));
        json.word(field!("mode"), Some(self.mode.name()));
        json.value(field!("policy"), Some(&self.policy));
        json.word(field!("opaque"), self.opaque);
        json.plain(field!("tls"), if self.tls { "true" } else { "false" });
        json.value(field!("dnsbl"), self.dnsbl.as_ref());
        json.value(field!("listed"), self.listed.as_ref());
        json.counts(&self.counts);
        match &self.evidence {
            Some(counts) => {
                let mut evidence = Object::new();
                evidence.counts(counts);
                json.plain(field!("evidence"), &evidence.end());
            }
            None => json.plain(field!("evidence"), "null"),
        }
        json.words(
            field!("observed"),
            self.observed.iter().map(|rule| rule.name()),
        );
        json.number(
            field!("octets_from_client"),
            self.traffic.octets_from_client,
        );
        json.number(
            field!("octets_from_server"),
            self.traffic.octets_from_server,
        );
        json.word(field!("ended"), Some(self.ending.ended.name()));
        json.number(field!("duration_ms"), self.ending.duration_ms);
        json.number(field!("held_ms"), self.ending.held_ms);
        json.end()
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
            prefix: prefix.map(Client::to_text),
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

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// As little as a record can say.
    fn least() -> Record {
        Record {
            client: None,
            prefix: None,
            verdict: "admit",
            rule: None,
            mode: Mode::Enforce,
            policy: "0".to_owned(),
            opaque: None,
            tls: false,
            dnsbl: None,
            listed: None,
            counts: Counts::default(),
            evidence: None,
            observed: Vec::new(),
            traffic: Traffic::default(),
            ending: Ending::default(),
        }
    }

    /// As much.
    fn most(client: &str) -> Record {
        let site = crate::policy::Listed {
            site: "bl.example.org".to_owned(),
            codes: vec!["127.0.0.2".parse().unwrap(), "127.0.0.4".parse().unwrap()],
            weight: -3,
        };
        Record {
            client: client.parse().ok(),
            prefix: Some("2001:db8::/64".to_owned()),
            verdict: "close",
            rule: Some(Rule::RcptTotal),
            mode: Mode::Observe,
            policy: "v1\"\\/2".to_owned(),
            opaque: Some("starttls"),
            tls: true,
            dnsbl: Some(Listing {
                total: 7,
                sites: vec![site.clone(), site],
                text: Some("see \"https://bl.example.org\"\u{7f}".to_owned()),
            }),
            listed: Some(Listed {
                reason: "streak",
                until: u32::MAX,
                times: 3,
            }),
            counts: Counts {
                tried: 1,
                accepted: 20,
                rejected: 300,
                consecutive: 4000,
                wasted: 50_000,
                answered: 600_000,
                messages: u32::MAX,
            },
            evidence: Some(Counts::default()),
            observed: Rule::ALL.to_vec(),
            traffic: Traffic {
                octets_from_client: u64::MAX,
                octets_from_server: 0,
            },
            ending: Ending {
                ended: Ended::Guard,
                duration_ms: 1_234_567,
                held_ms: 89,
            },
        }
    }

    #[test]
    fn it_is_written_as_serde_writes_it() {
        let mut records = vec![least(), most("203.0.113.7"), most("2001:db8::1")];
        let ends = [
            Ended::Proxy,
            Ended::Client,
            Ended::Quit,
            Ended::Server,
            Ended::Guard,
        ];
        for ended in ends {
            let mut record = least();
            record.ending.ended = ended;
            records.push(record);
        }
        for rule in Rule::ALL {
            let mut record = least();
            record.rule = Some(rule);
            record.observed.push(rule);
            records.push(record);
        }
        for record in records {
            assert_eq!(record.to_json(), serde_json::to_string(&record).unwrap());
        }
    }
}
