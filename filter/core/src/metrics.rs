//! Every metric there is: one table, from which the host's names are made.
//!
//! A metric is exported from the beginning, whether anything was counted or not, so that its
//! absence means a fault and not a quiet day. What parts a family is a tag: the host knows its
//! metrics as `portcullis_closed_total;rule=rcpt.max_consecutive`, and `envoy.yaml` has the patterns
//! by which Envoy makes that `portcullis_closed_total{rule="rcpt.max_consecutive"}`.

use Kind::{Counter, Gauge, Histogram};

/// What a metric does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down; each worker adds its part.
    Gauge,
    /// Has a distribution.
    Histogram,
}

/// What parts the metrics of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Nothing: it is one metric.
    None,
    /// One of these words.
    Word(&'static str, &'static [&'static str]),
    /// `site`: the domain of a DNS blacklist.
    Site,
}

/// What the metrics of a family have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The name, with the unit at its end.
    pub name: &'static str,
    /// What they do.
    pub kind: Kind,
    /// What parts them.
    pub tag: Tag,
}

impl Definition {
    /// The host's name for the metric with this tag value.
    #[must_use]
    pub fn full_name(&self, value: &str) -> String {
        match self.tag {
            Tag::None => self.name.to_owned(),
            Tag::Word(tag, _) => [self.name, ";", tag, "=", value].concat(),
            Tag::Site => [self.name, ";site=", value].concat(),
        }
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $family:ident: $kind:ident $name:literal $tag:expr,)*) => {
        /// The families of metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Family { $($(#[$doc])* $family,)* }

        /// Their definitions, in the order of [`Family`].
        pub const FAMILIES: [Definition; [$(Family::$family),*].len()] = [
            $(Definition {
                name: concat!("portcullis_", $name),
                kind: $kind,
                tag: $tag,
            },)*
        ];
    };
}

const RULE: Tag = Tag::Word(
    "rule",
    &[
        "rcpt.max_consecutive",
        "rcpt.max_total",
        "reset.max_wasted",
        "reset.strict",
        "desync",
        "smuggling",
        "rcpt.hidden",
        "dnsbl",
        "listed.networks",
        "ledger.streak",
        "ledger.max_score",
        "traps.recipients",
        "ledger.listing",
        "sessions.max_per_client",
    ],
);
const DOOR_RULE: Tag = Tag::Word(
    "rule",
    &[
        "dnsbl",
        "listed.networks",
        "ledger.listing",
        "sessions.max_per_client",
    ],
);
const DETAIN_RULE: Tag = Tag::Word("rule", &["listed.networks", "ledger.listing"]);
const REASON: Tag = Tag::Word(
    "reason",
    &[
        "ledger.streak",
        "ledger.max_score",
        "traps.recipients",
        "told",
    ],
);
const VERB: Tag = Tag::Word("verb", &crate::smtp::Verb::NAMES);

families! {
    /// Sessions begun.
    Sessions: Counter "sessions_total" Tag::None,
    /// Sessions open.
    Open: Gauge "sessions_open" Tag::None,
    /// Commands read.
    Commands: Counter "commands_total" VERB,
    /// Recipients the server took.
    Accepted: Counter "recipients_accepted_total" Tag::None,
    /// Recipients unknown to the server.
    Rejected: Counter "recipients_rejected_total" Tag::None,
    /// Recipients the guard answered.
    Answered: Counter "recipients_answered_total" Tag::None,
    /// Messages the server took.
    Messages: Counter "messages_total" Tag::None,
    /// Transactions with rejected and no accepted recipients.
    Wasted: Counter "wasted_transactions_total" Tag::None,
    /// Sessions ended by a rule.
    Closed: Counter "closed_total" RULE,
    /// Sessions refused at the door.
    Refused: Counter "refused_total" DOOR_RULE,
    /// Sessions kept busy by the guard.
    Detained: Counter "detained_total" DETAIN_RULE,
    /// Verdicts not carried out.
    Observed: Counter "observed_total" RULE,
    /// Sessions left alone.
    Exempt: Counter "exempt_total" Tag::Word("reason", &["network", "authenticated", "verified"]),
    /// Sessions read no further.
    Opaque: Counter "opaque_total" Tag::Word("cause", &[
        "starttls", "unexpected_reply", "invalid_reply", "long_reply", "unknown_dialogue",
        "closed_ahead",
    ]),
    /// Sessions switched to TLS before the guard.
    StartTls: Counter "starttls_total" Tag::None,
    /// Of these, those with cleartext behind STARTTLS, which was dropped.
    BehindStartTls: Counter "starttls_injected_total" Tag::None,
    /// Of these, those that were closed since no TLS came.
    StartTlsSilent: Counter "starttls_silent_total" Tag::None,
    /// Sessions ended because another one of their client crossed a line.
    Siblings: Counter "siblings_cut_total" Tag::None,
    /// Batches of commands that waited by their client's score.
    Delayed: Counter "delayed_total" Tag::None,
    /// Held commands that the host could not send on.
    ReleaseFailed: Counter "release_failed_total" Tag::None,
    /// Errands of a worker to itself that the host did not take.
    ErrandsLost: Counter "errands_lost_total" Tag::None,
    /// Transcripts, by what became of them.
    Transcripts: Counter "transcripts_total" Tag::Word("how", &["whole", "shortened", "dropped"]),
    /// Refusals that went to the server for want of another place.
    Unrouted: Counter "refusals_unrouted_total" Tag::None,
    /// How long greetings waited for blacklists.
    Held: Histogram "greeting_held_ms" Tag::None,
    /// Listings made.
    Listed: Counter "listed_total" REASON,
    /// Listings taken back.
    Pardoned: Counter "pardoned_total" Tag::None,
    /// Listings that ran out.
    Expired: Counter "listings_expired_total" Tag::None,
    /// Listings in force.
    Listings: Gauge "listings" Tag::None,
    /// Clients remembered.
    Clients: Gauge "ledger_clients" Tag::None,
    /// Scores that made room for others.
    EvictedScores: Counter "ledger_evicted_scores_total" Tag::None,
    /// Listings in force, or good standings, that made room for others.
    EvictedListings: Counter "ledger_evicted_listings_total" Tag::None,
    /// News of clients that could not be written down.
    LedgerLost: Counter "ledger_lost_total" Tag::None,
    /// What each worker keeps in mind, all of them together.
    Tables: Gauge "table_entries" Tag::Word("table", &["clients", "dnsbl", "unknown"]),
    /// Entries of those tables that made room for others.
    Evicted: Counter "table_evicted_total" Tag::Word("table", &["dnsbl", "unknown"]),
    /// Workers that hold an attack to be under way.
    Attack: Gauge "attack_workers" Tag::None,
    /// Attacks begun.
    AttacksBegun: Counter "attacks_begun_total" Tag::None,
    /// Attacks over.
    AttacksOver: Counter "attacks_over_total" Tag::None,
    /// Questions about clients.
    DnsblQuestions: Counter "dnsbl_questions_total" Tag::Site,
    /// Answers that were at hand, so that no question was asked.
    DnsblRecalled: Counter "dnsbl_recalled_total" Tag::Site,
    /// Questions about test points.
    DnsblTests: Counter "dnsbl_tests_total" Tag::Site,
    /// Answers that have the client.
    DnsblListed: Counter "dnsbl_listed_total" Tag::Site,
    /// Answers that do not.
    DnsblUnlisted: Counter "dnsbl_unlisted_total" Tag::Site,
    /// Questions without a usable answer.
    DnsblErrors: Counter "dnsbl_errors_total" Tag::Site,
    /// The same by what was wrong.
    DnsblFaults: Counter "dnsbl_faults_total" Tag::Word("fault", &crate::dnsbl::Fault::NAMES),
    /// How long answers took.
    DnsblLatency: Histogram "dnsbl_answer_ms" Tag::Site,
    /// Workers with connections that use a site.
    DnsblSites: Gauge "dnsbl_site_workers" Tag::Site,
    /// Times a site came into use on a worker.
    DnsblSiteOn: Counter "dnsbl_site_on_total" Tag::Site,
    /// Times a site was given up.
    DnsblSiteOff: Counter "dnsbl_site_off_total" Tag::Site,
    /// Lookups over without a question, by how.
    DnsblTold: Counter "dnsbl_told_total" Tag::Word("how", &[
        "reserved", "remembered", "joined", "no_site", "skipped",
    ]),
    /// Greetings that waited in vain.
    DnsblOverBudget: Counter "dnsbl_over_budget_total" Tag::None,
    /// Looks at what other guards listed.
    FleetReads: Counter "fleet_reads_total" Tag::None,
    /// Batches of news written.
    FleetWrites: Counter "fleet_writes_total" Tag::None,
    /// Calls to the store that failed.
    FleetErrors: Counter "fleet_errors_total" Tag::None,
    /// News that never reached the store.
    FleetLost: Counter "fleet_lost_total" Tag::None,
    /// Times the store was given up.
    FleetGone: Counter "fleet_gone_total" Tag::None,
    /// Times it came back.
    FleetBack: Counter "fleet_back_total" Tag::None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Reason;
    use crate::policy::Rule;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        for (at, family) in FAMILIES.iter().enumerate() {
            let name = family.name;
            assert_eq!(family.kind == Counter, name.ends_with("_total"), "{name}");
            assert_eq!(family.kind == Histogram, name.ends_with("_ms"), "{name}");
            let others = FAMILIES.iter().skip(at + 1);
            assert!(others.into_iter().all(|other| other.name != name), "{name}");
        }
    }

    /// The reference is for people, so people write it; it may not differ from what is counted.
    #[test]
    fn the_reference_has_each_of_them() {
        let page = include_str!("../../../docs/metrics.md");
        let told = page
            .lines()
            .filter(|line| line.starts_with("| `portcullis_"));
        let told: Vec<String> = told
            .map(|row| row.split('|').take(3).collect::<Vec<_>>().join("|"))
            .collect();
        let expected = FAMILIES.map(|Definition { name, kind, tag }| {
            let tag = match tag {
                Tag::None => String::new(),
                Tag::Word(tag, _) => format!("{{{tag}}}"),
                Tag::Site => "{site}".to_owned(),
            };
            format!("| `{name}{tag}` | {} ", format!("{kind:?}").to_lowercase())
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn every_rule_and_every_reason_has_a_metric() {
        let Tag::Word(_, rules) = RULE else {
            unreachable!("words")
        };
        for rule in Rule::ALL {
            assert!(rules.contains(&rule.name()), "{rule:?}");
        }
        assert_eq!(rules.len(), Rule::ALL.len());
        let Tag::Word(_, reasons) = REASON else {
            unreachable!("words")
        };
        let names = [Reason::Streak, Reason::Score, Reason::Trap, Reason::Told].map(Reason::name);
        assert_eq!(reasons, names);
    }
}
