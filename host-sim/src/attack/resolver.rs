//! DNS blacklists behind a DNS-over-HTTPS resolver (RFC 8484), for the filter's
//! HTTP calls.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype, ToName as _, Ttl};
use domain::rdata::A;

use super::clients;
use super::plan::Plan;
use crate::callouts::{Answerer, HttpAnswer, HttpRequest};

const MEDIA_TYPE: (&str, &str) = ("content-type", "application/dns-message");
/// How long an answer takes, and how long it holds.
const DELAY: Duration = Duration::from_millis(20);
const TTL: Ttl = Ttl::from_secs(300);
/// What a list says of a client that it knows, and of the test point that every
/// list knows (RFC 5782 sections 2.1 and 5).
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A resolver for which every list knows the plan's share of the bots, and nobody
/// else. It counts what it is asked.
pub(super) fn blacklists(plan: &Plan, asked: Arc<AtomicU64>) -> impl Answerer {
    let lists = Lists {
        share: plan.blacklisted,
        domains: plan.blacklists.clone(),
    };
    move |request: &HttpRequest| match question(request) {
        Some(question) => {
            asked.fetch_add(1, Ordering::Relaxed);
            match lists.answer(&question) {
                Some(body) => HttpAnswer::respond(200, &[MEDIA_TYPE], body).after(DELAY),
                None => HttpAnswer::respond(500, &[], ""),
            }
        }
        None => HttpAnswer::respond(400, &[], ""),
    }
}

fn question(request: &HttpRequest) -> Option<Message<Vec<u8>>> {
    let octets = match request.header(":method") {
        Some("POST") => request.body.clone(),
        _ => {
            let (_, dns) = request.header(":path")?.split_once("?dns=")?;
            URL_SAFE_NO_PAD.decode(dns.as_bytes()).ok()?
        }
    };
    Message::from_octets(octets).ok()
}

/// Who is on which list.
struct Lists {
    share: u8,
    domains: Vec<String>,
}

impl Lists {
    fn answer(&self, question: &Message<Vec<u8>>) -> Option<Vec<u8>> {
        let asked = question.sole_question().ok()?;
        let name = asked.qname().to_vec().to_string();
        let listed = reversed(&name).is_some_and(|client| self.know(client, &name));
        let rcode = if listed {
            Rcode::NOERROR
        } else {
            Rcode::NXDOMAIN
        };
        let builder = MessageBuilder::new_vec();
        let mut answer = builder.start_answer(question, rcode).ok()?;
        answer.header_mut().set_ra(true);
        if listed && asked.qtype() == Rtype::A {
            answer.push((asked.qname(), TTL, A::new(LISTED))).ok()?;
        }
        Some(answer.finish())
    }

    /// Whether the list that this name belongs to knows the client.
    fn know(&self, client: Ipv4Addr, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        let mut domains = self.domains.iter();
        if client == LISTED {
            return true;
        }
        let is_meant = self.domains.is_empty() || domains.any(|domain| name.ends_with(domain));
        // Addresses are scattered, so any part of one is as good as a draw.
        let [_, _, c, d] = client.octets();
        let drawn = u16::from_be_bytes([c, d]) % 100;
        is_meant && clients::is_bot(client) && drawn < u16::from(self.share)
    }
}

/// The address that a name of a list begins with, last octet first.
fn reversed(name: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let labels = name.split('.');
    for (octet, label) in octets.iter_mut().rev().zip(labels) {
        *octet = label.parse().ok()?;
    }
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn names_of_a_list_name_their_client() {
        let table = [
            ("7.2.0.192.bl.example.test", Some([192, 0, 2, 7])),
            ("x.2.0.192.bl.example.test", None),
        ];
        for (name, client) in table {
            assert_eq!(reversed(name), client.map(Ipv4Addr::from), "{name}");
        }
    }

    #[test]
    fn lists_know_their_share_of_the_bots() {
        let lists = Lists {
            share: 30,
            domains: vec!["bl.example.test".to_owned()],
        };
        let known = |list: &str| {
            let addresses = (0..10_000).filter_map(|number| match clients::bot(number) {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            });
            addresses
                .filter(|address| lists.know(*address, list))
                .count()
        };
        let bots = known("bl.example.test.");
        assert!((2800..3200).contains(&bots), "{bots}");
        assert_eq!(known("wl.example.test."), 0);
        assert!(lists.know(LISTED, "wl.example.test."), "the test point");
        assert!(!lists.know(Ipv4Addr::new(127, 0, 0, 1), "bl.example.test."));
    }
}
