//! The clients listed, as records tell of them.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::log::{Listed, Record};

/// Clients kept; beyond them those whose listing ends first make room.
pub(super) const MOST: usize = 50_000;

/// Who is listed.
#[derive(Debug, Default)]
pub(super) struct Listings {
    by_client: HashMap<String, Known>,
    /// The same by the end of the listing.
    by_end: BTreeSet<(u64, String)>,
    /// Listings that made room for others while they held.
    crowded_out: u64,
    /// What the guard remembers begins here, in milliseconds since the Unix epoch.
    since_ms: u64,
}

/// When Envoy began is known to the second, and by another clock than its records'.
const SLACK_MS: u64 = 5000;

/// A listing and when the record was written that tells of it.
#[derive(Debug)]
struct Known {
    listed: Listed,
    told_ms: Option<u64>,
}

impl Known {
    /// Whether the guard has forgotten since. A record without a time is taken as new.
    fn forgotten(&self, since_ms: u64) -> bool {
        self.told_ms.is_some_and(|told| told + SLACK_MS < since_ms)
    }
}

/// A client that is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    client: String,
    reason: String,
    until: u64,
    times: u64,
}

/// Some of the clients listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Extract {
    /// How many there are.
    total: usize,
    /// How many are as wanted.
    matching: usize,
    /// Which of these the rows begin with.
    from: usize,
    /// How many rows there are at most.
    per_page: usize,
    /// Listings that made room for others while they held.
    crowded_out: u64,
    /// The rows.
    rows: Vec<Row>,
}

impl Listings {
    /// What a record says of its client. One that is no longer called listed has been released, or
    /// is exempt by now.
    pub(super) fn note(&mut self, record: &Record, now_s: u64) {
        self.expire(now_s);
        self.remove(&record.prefix);
        let Some(listed) = record.listed.as_ref().filter(|one| one.until > now_s) else {
            return;
        };
        let known = Known {
            listed: listed.clone(),
            told_ms: record.ended_ms,
        };
        if known.forgotten(self.since_ms) {
            return;
        }
        if self.by_client.len() >= MOST
            && let Some((_, client)) = self.by_end.pop_first()
        {
            self.by_client.remove(&client);
            self.crowded_out += 1;
        }
        self.by_end.insert((listed.until, record.prefix.clone()));
        self.by_client.insert(record.prefix.clone(), known);
    }

    /// The guard remembers nothing from before this moment: a new process, and no store that it
    /// shares with others.
    pub(super) fn begin(&mut self, since_ms: u64) {
        if since_ms <= self.since_ms + SLACK_MS {
            return;
        }
        self.since_ms = since_ms;
        let (by_client, by_end) = (&mut self.by_client, &mut self.by_end);
        by_client.retain(|_, known| !known.forgotten(since_ms));
        by_end.retain(|(_, client)| by_client.contains_key(client));
    }

    /// Listings that have run out go.
    pub(super) fn expire(&mut self, now_s: u64) {
        while let Some((until, _)) = self.by_end.first()
            && *until <= now_s
            && let Some((_, client)) = self.by_end.pop_first()
        {
            self.by_client.remove(&client);
        }
    }

    fn remove(&mut self, client: &str) {
        if let Some((client, known)) = self.by_client.remove_entry(client) {
            self.by_end.remove(&(known.listed.until, client));
        }
    }

    /// The clients that are as the filter says, those listed for longest first. Where there are
    /// fewer than `from`, their last page.
    pub(super) fn extract(&self, filter: &str, from: usize, per_page: usize) -> Extract {
        let filter = Filter::new(filter);
        let rows = self.by_end.iter().rev().filter_map(|(until, client)| {
            let listed = &self.by_client.get(client)?.listed;
            filter
                .takes(client, &listed.reason)
                .then_some((until, client, listed))
        });
        let found: Vec<_> = rows.collect();
        let last = found.len().saturating_sub(1) / per_page.max(1) * per_page;
        let from = from.min(last);
        let rows = found.iter().skip(from).take(per_page);
        let rows = rows.map(|(until, client, listed)| Row {
            client: (*client).clone(),
            reason: listed.reason.clone(),
            until: **until,
            times: listed.times,
        });
        Extract {
            total: self.by_client.len(),
            matching: found.len(),
            from,
            per_page,
            crowded_out: self.crowded_out,
            rows: rows.collect(),
        }
    }
}

/// What is looked for: the beginning of a client, a part of a reason, or an address, which the network
/// that has it answers to.
struct Filter {
    text: String,
    address: Option<IpAddr>,
}

impl Filter {
    fn new(text: &str) -> Self {
        let text = text.trim().to_lowercase();
        Self {
            address: text.parse().ok(),
            text,
        }
    }

    fn takes(&self, client: &str, reason: &str) -> bool {
        let within = |address| {
            let network = client.parse::<IpNet>();
            network.is_ok_and(|network| network.contains(&address))
        };
        client.starts_with(&self.text)
            || reason.contains(&self.text)
            || self.address.is_some_and(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;

    fn record(prefix: &str, listed: Option<(&str, u64)>) -> Record {
        let told = listed
            .map(|(reason, until)| format!(r#"{{"reason":"{reason}","until":{until},"times":1}}"#));
        let told = told.as_deref().unwrap_or("null");
        let line = format!(
            r#"{{"portcullis":{{"prefix":"{prefix}","verdict":"close","listed":{told}}}}}"#
        );
        Record::parse(line.as_bytes()).unwrap().unwrap()
    }

    fn listings(some: &[(&str, &str, u64)]) -> Listings {
        let mut listings = Listings::default();
        for (client, reason, until) in some {
            listings.note(&record(client, Some((reason, NOW + until))), NOW);
        }
        listings
    }

    fn clients(listings: &Listings, filter: &str) -> Vec<String> {
        let extract = listings.extract(filter, 0, 100);
        extract.rows.into_iter().map(|row| row.client).collect()
    }

    #[test]
    fn those_listed_for_longest_come_first() {
        let listings = listings(&[
            ("192.0.2.1/32", "ledger.streak", 60),
            ("2001:db8:1::/64", "traps.recipients", 7200),
            ("192.0.2.2/32", "ledger.max_score", 3600),
        ]);
        assert_eq!(
            clients(&listings, ""),
            ["2001:db8:1::/64", "192.0.2.2/32", "192.0.2.1/32"]
        );
    }

    #[test]
    fn a_filter_finds_beginnings_reasons_and_addresses_within() {
        let listings = listings(&[
            ("192.0.2.0/24", "ledger.streak", 60),
            ("2001:db8:1::/64", "traps.recipients", 7200),
        ]);
        for (filter, found) in [
            ("192.0", "192.0.2.0/24"),
            ("192.0.2.77", "192.0.2.0/24"),
            (" 2001:DB8:1::25 ", "2001:db8:1::/64"),
            ("Traps", "2001:db8:1::/64"),
        ] {
            assert_eq!(clients(&listings, filter), [found], "{filter}");
        }
        assert!(clients(&listings, "192.0.3.1").is_empty());
        assert!(clients(&listings, "2.0").is_empty());
    }

    #[test]
    fn a_newer_record_takes_the_place_of_an_older_one() {
        let mut listings = listings(&[("192.0.2.1/32", "ledger.streak", 60)]);
        listings.note(
            &record("192.0.2.1/32", Some(("ledger.max_score", NOW + 90))),
            NOW,
        );
        let rows = listings.extract("", 0, 10).rows;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].reason.as_str(), rows[0].until),
            ("ledger.max_score", NOW + 90)
        );
        assert_eq!(listings.by_end.len(), 1);
    }

    #[test]
    fn who_is_called_listed_no_longer_is_gone() {
        let mut listings = listings(&[("192.0.2.1/32", "ledger.streak", 60)]);
        listings.note(&record("192.0.2.1/32", None), NOW);
        assert!(clients(&listings, "").is_empty());
        assert!(listings.by_end.is_empty());
    }

    #[test]
    fn a_new_guard_has_forgotten_what_was_told_before_it_began() {
        let began = NOW * 1000;
        let at = |client: &str, ended_ms| Record {
            ended_ms,
            ..record(client, Some(("ledger.streak", NOW + 60)))
        };
        let old = at("192.0.2.1/32", Some(began - 60_000));
        let new = at("192.0.2.2/32", Some(began - 1000));
        let undated = at("192.0.2.3/32", None);
        let mut listings = Listings::default();
        for record in [&old, &new, &undated] {
            listings.note(record, NOW);
        }
        assert_eq!(clients(&listings, "").len(), 3);
        listings.begin(began);
        assert_eq!(clients(&listings, ""), ["192.0.2.3/32", "192.0.2.2/32"]);
        assert_eq!(listings.by_end.len(), 2);
        listings.note(&old, NOW);
        assert_eq!(clients(&listings, "").len(), 2);
        // The same moment, as another look at the clock has it.
        listings.begin(began + 1000);
        assert_eq!(clients(&listings, "").len(), 2);
    }

    #[test]
    fn a_listing_ends_by_itself() {
        let mut listings = listings(&[("192.0.2.1/32", "ledger.streak", 60)]);
        listings.expire(NOW + 59);
        assert_eq!(clients(&listings, "").len(), 1);
        listings.expire(NOW + 60);
        assert!(clients(&listings, "").is_empty());
        // One that is over when it is read is none.
        listings.note(&record("192.0.2.2/32", Some(("ledger.streak", NOW))), NOW);
        assert!(clients(&listings, "").is_empty());
    }

    #[test]
    fn pages_follow_each_other_and_the_last_one_is_never_empty() {
        let mut listings = Listings::default();
        for number in 0..10_000_u64 {
            let client = format!("10.{}.{}.0/24", number / 256, number % 256);
            listings.note(
                &record(&client, Some(("ledger.streak", NOW + 1 + number))),
                NOW,
            );
        }
        let first = listings.extract("", 0, 50);
        assert_eq!((first.total, first.matching), (10_000, 10_000));
        assert_eq!(first.rows.len(), 50);
        let last = listings.extract("", 9950, 50);
        assert_eq!(last.rows[49].client, "10.0.0.0/24");
        assert_eq!(listings.extract("", 1_000_000, 50), last);
        let few = listings.extract("10.3.", 9950, 50);
        assert_eq!((few.matching, few.from, few.rows.len()), (256, 250, 6));
        assert_eq!(listings.extract("nobody", 50, 50).from, 0);
    }

    #[test]
    fn beyond_the_bound_those_that_end_first_make_room() {
        let mut listings = Listings::default();
        for number in 0..MOST + 10 {
            let client = format!("c{number}");
            let until = NOW + 1 + number as u64;
            listings.note(&record(&client, Some(("ledger.streak", until))), NOW);
        }
        let extract = listings.extract("", 0, 1);
        assert_eq!((extract.total, extract.crowded_out), (MOST, 10));
        assert_eq!(listings.by_end.len(), MOST);
        assert!(!listings.by_client.contains_key("c9"));
        assert!(listings.by_client.contains_key("c10"));
    }
}
