//! DNS blacklists that have the clients of a log when the filter's records say so.
//!
//! A record names the sites that had the client only where these were enough for a verdict. So a
//! session's questions are answered by what its record says: with its sites and codes, or that
//! nobody knows the client. Where answers came too late for a session and the client's next one
//! was found listed, they come too late here, too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::Deserialize;

use super::Transcript;
use crate::callouts::HttpRequest;
use crate::clock::Timestamp;
use crate::resolver::{Found, Lists};

/// The field of a record that names the lists.
const FIELD: &str = "dnsbl";

/// For a filter that waits for ever, an answer that is too late comes then.
const LATE: Duration = Duration::from_secs(5);
/// So long before it would not be waited for any more.
const IN_TIME: Duration = Duration::from_millis(1);

/// What a record says of the lists that have its client.
#[derive(Clone, Debug, Deserialize)]
struct Listing {
    sites: Vec<Listed>,
    text: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Listed {
    site: String,
    codes: Vec<Ipv4Addr>,
}

/// A session, as far as lists had to do with it.
#[derive(Clone, Debug)]
struct Stay {
    from: Timestamp,
    to: Timestamp,
    listing: Option<Listing>,
}

/// The lists, as they were when the sessions of a log took place.
pub(super) struct Blacklists {
    /// The sessions of each client, by when they began.
    clients: HashMap<IpAddr, Vec<Stay>>,
}

impl Blacklists {
    pub(super) fn of(transcripts: &[Transcript]) -> Self {
        let mut clients: HashMap<IpAddr, Vec<Stay>> = HashMap::new();
        for transcript in transcripts {
            let Some(from) = transcript.scenario.record.started else {
                continue;
            };
            let client = transcript.scenario.client.ip().to_canonical();
            let steps = transcript.scenario.steps.iter();
            let last = steps.filter_map(|step| step.at).max();
            clients.entry(client).or_default().push(Stay {
                from,
                to: from.after(last.unwrap_or_default()),
                listing: listing(transcript),
            });
        }
        for stays in clients.values_mut() {
            stays.sort_by_key(|stay| stay.from);
        }
        Self { clients }
    }
}

fn listing(transcript: &Transcript) -> Option<Listing> {
    let value = transcript.record.as_ref()?.get(FIELD)?;
    Listing::deserialize(value).ok()
}

impl Lists for Blacklists {
    fn find(&mut self, client: IpAddr, list: &str, question: &HttpRequest) -> Found {
        let stays = self.clients.get(&client.to_canonical());
        let stays = stays.map_or(&[][..], Vec::as_slice);
        let (begun, coming) = stays.split_at(stays.partition_point(|at| at.from <= question.at));
        // Of several at once only those that asked for it say so.
        let in_progress = begun.iter().rev().filter(|stay| stay.to >= question.at);
        let now = in_progress
            .chain(begun.last())
            .find_map(|stay| stay.listing.as_ref());
        let next = || coming.first()?.listing.as_ref();
        match (now, next()) {
            (Some(listing), _) => listing.found(list, Duration::ZERO),
            (None, Some(listing)) => {
                let late = question.timeout.unwrap_or(LATE).saturating_sub(IN_TIME);
                listing.found(list, late)
            }
            (None, None) => Found::default(),
        }
    }
}

impl Listing {
    /// What a list says. It holds no longer than the filter itself wants, since the next session
    /// may have heard something else.
    fn found(&self, list: &str, after: Duration) -> Found {
        let mut sites = self.sites.iter();
        let place = sites.position(|site| site.site.eq_ignore_ascii_case(list));
        let site = place.and_then(|place| self.sites.get(place));
        Found {
            codes: site.map_or_else(Vec::new, |site| site.codes.clone()),
            // Only the first is asked for its words.
            text: self.text.clone().filter(|_| place == Some(0)),
            after,
            ttl: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcripts::{Choice, read};

    const SITES: &str = r#"{"total":5,"sites":[{"site":"bl.test","codes":["127.0.0.4"],"weight":3},
        {"site":"pbl.test","codes":["127.0.0.10","127.0.0.11"],"weight":2}],"text":"spam"}"#;

    /// A session of a client, in seconds after noon.
    fn session(client: &str, from: u32, to: u32, dnsbl: &str) -> String {
        let dnsbl = dnsbl.replace('\n', "");
        format!(
            r#"{{"portcullis":{{"verdict":"x","dnsbl":{dnsbl}}},"transcript":"client: {client}\nstarted: 2026-01-31T12:00:{from:02}Z\n\n{}.0 C|\n"}}"#,
            to - from
        ) + "\n"
    }

    fn question(at: u32) -> HttpRequest {
        let moment = humantime::parse_rfc3339(&format!("2026-01-31T12:00:{at:02}Z")).unwrap();
        let since_epoch = moment.duration_since(std::time::UNIX_EPOCH).unwrap();
        HttpRequest {
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            timeout: Some(Duration::from_secs(3)),
            at: Timestamp::from_unix(since_epoch),
        }
    }

    fn lists(sessions: &[String]) -> Blacklists {
        let log = sessions.concat();
        Blacklists::of(&read(log.as_bytes(), &Choice::default()).unwrap())
    }

    /// The last octets of a list's codes, and after how many milliseconds.
    fn says(lists: &mut Blacklists, client: &str, list: &str, at: u32) -> (Vec<u8>, u128) {
        let found = lists.find(client.parse().unwrap(), list, &question(at));
        let last = |code: &Ipv4Addr| code.octets()[3];
        (
            found.codes.iter().map(last).collect(),
            found.after.as_millis(),
        )
    }

    #[test]
    fn a_record_says_which_lists_have_its_client() {
        let mut lists = lists(&[
            session("192.0.2.7:1", 1, 1, SITES),
            session("192.0.2.8:1", 1, 1, "null"),
            session("[2001:db8::1]:1", 1, 1, SITES),
        ]);
        for (client, list, codes) in [
            ("192.0.2.7", "bl.test", &[4][..]),
            ("::ffff:192.0.2.7", "BL.test", &[4]),
            ("192.0.2.7", "pbl.test", &[10, 11]),
            ("192.0.2.7", "wl.test", &[]),
            ("192.0.2.8", "bl.test", &[]),
            ("192.0.2.9", "bl.test", &[]),
            ("2001:db8::1", "bl.test", &[4]),
        ] {
            let told = says(&mut lists, client, list, 1);
            assert_eq!(told, (codes.to_vec(), 0), "{client} {list}");
        }
        let text = |list: &str, lists: &mut Blacklists| {
            let client = Ipv4Addr::new(192, 0, 2, 7).into();
            lists.find(client, list, &question(1)).text
        };
        assert_eq!(text("bl.test", &mut lists).as_deref(), Some("spam"));
        assert_eq!(text("pbl.test", &mut lists), None);
    }

    #[test]
    fn each_session_hears_what_its_record_says() {
        let mut lists = lists(&[
            // Told too late, then in time; a day later the list has let it go.
            session("192.0.2.7:1", 1, 5, "null"),
            session("192.0.2.7:2", 10, 10, SITES),
            session("192.0.2.7:3", 40, 50, "null"),
            // One of two at once had asked.
            session("192.0.2.8:1", 1, 20, SITES),
            session("192.0.2.8:2", 2, 20, "null"),
        ]);
        for (client, at, told) in [
            ("192.0.2.7", 1, (vec![4], 2999)),
            ("192.0.2.7", 10, (vec![4], 0)),
            ("192.0.2.7", 12, (vec![4], 0)),
            ("192.0.2.7", 40, (vec![], 0)),
            ("192.0.2.8", 7, (vec![4], 0)),
        ] {
            let says = says(&mut lists, client, "bl.test", at);
            assert_eq!(says, told, "{client} at {at}");
        }
    }
}
