//! DNS blacklists behind a DNS-over-HTTPS resolver (RFC 8484), for a filter's HTTP calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype, ToName as _, Ttl};
use domain::rdata::{A, Txt};

use crate::callouts::{Answerer, HttpAnswer, HttpRequest};

const MEDIA_TYPE: (&str, &str) = ("content-type", "application/dns-message");

/// What a list says of a client that it has, and of the test point that every list has (RFC 5782
/// sections 2.1 and 5).
pub(crate) const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Who is on which list.
pub(crate) trait Lists: Send + 'static {
    /// What a list says of a client. That it has the test point, the resolver sees to.
    fn find(&mut self, client: IpAddr, list: &str, question: &HttpRequest) -> Found;
}

/// What a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its addresses, which say why (RFC 5782 section 2.3); none for a client that it does not have.
    pub(crate) codes: Vec<Ipv4Addr>,
    /// Its words, for those who ask for TXT.
    pub(crate) text: Option<String>,
    /// How long it takes to say so.
    pub(crate) after: Duration,
    /// How long that holds, in seconds.
    pub(crate) ttl: u32,
}

/// A resolver that knows these lists.
pub(crate) fn resolver(mut lists: impl Lists) -> impl Answerer {
    move |request: &HttpRequest| {
        let Some(question) = question(request) else {
            return HttpAnswer::respond(400, &[], "");
        };
        match answer(&mut lists, &question, request) {
            Some((body, after)) => HttpAnswer::respond(200, &[MEDIA_TYPE], body).after(after),
            None => HttpAnswer::respond(500, &[], ""),
        }
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

fn answer(
    lists: &mut impl Lists,
    question: &Message<Vec<u8>>,
    request: &HttpRequest,
) -> Option<(Vec<u8>, Duration)> {
    let asked = question.sole_question().ok()?;
    let name = asked.qname().to_vec().to_string();
    let found = match asked_about(name.trim_end_matches('.')) {
        Some((client, list)) => match client.to_canonical() {
            IpAddr::V4(LISTED) => Found {
                codes: vec![LISTED],
                ..lists.find(client, list, request)
            },
            client => lists.find(client, list, request),
        },
        None => Found::default(),
    };
    let rcode = match found.codes.is_empty() {
        true => Rcode::NXDOMAIN,
        false => Rcode::NOERROR,
    };
    let builder = MessageBuilder::new_vec();
    let mut answer = builder.start_answer(question, rcode).ok()?;
    answer.header_mut().set_ra(true);
    let ttl = Ttl::from_secs(found.ttl);
    match (asked.qtype(), found.text) {
        (Rtype::A, _) => {
            for code in found.codes {
                answer.push((asked.qname(), ttl, A::new(code))).ok()?;
            }
        }
        (Rtype::TXT, Some(text)) if !found.codes.is_empty() => {
            let text = Txt::<Vec<u8>>::build_from_slice(text.as_bytes()).ok()?;
            answer.push((asked.qname(), ttl, text)).ok()?;
        }
        _ => {}
    }
    Some((answer.finish(), found.after))
}

/// Whom a name of a list is about, and which list's it is: the octets of an IPv4 address or the
/// nibbles of an IPv6 address, last first (RFC 5782 sections 2.1 and 2.4).
fn asked_about(name: &str) -> Option<(IpAddr, &str)> {
    let nibbles = reversed::<32>(name, |label| match label.len() {
        1 => u8::from_str_radix(label, 16).ok(),
        _ => None,
    });
    if let Some((nibbles, list)) = nibbles {
        let joined = nibbles
            .iter()
            .fold(0, |joined: u128, nibble| joined << 4 | u128::from(*nibble));
        return Some((Ipv6Addr::from(joined).into(), list));
    }
    let (octets, list) = reversed::<4>(name, |label| label.parse().ok())?;
    Some((Ipv4Addr::from(octets).into(), list))
}

/// So many labels, the last first, and what comes behind them.
fn reversed<const N: usize>(
    name: &str,
    read: impl Fn(&str) -> Option<u8>,
) -> Option<([u8; N], &str)> {
    let mut numbers = [0; N];
    let mut rest = name;
    for number in numbers.iter_mut().rev() {
        let (label, behind) = rest.split_once('.')?;
        *number = read(label)?;
        rest = behind;
    }
    Some((numbers, rest))
}

#[cfg(test)]
mod tests {
    use domain::base::Name;
    use domain::rdata::AllRecordData;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn names_of_a_list_name_their_client() {
        let nibbles = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4";
        let long = format!("{nibbles}.bl.example.test");
        let table = [
            ("7.2.0.192.bl.example.test", Some("192.0.2.7")),
            (long.as_str(), Some("4321:0:1:2:3:4:567:89ab")),
            ("x.2.0.192.bl.example.test", None),
            ("7.2.0.192", None),
            ("bl.example.test", None),
        ];
        for (name, client) in table {
            let client = client.map(|client| (client.parse().unwrap(), "bl.example.test"));
            assert_eq!(asked_about(name), client, "{name}");
        }
    }

    /// Lists that have one client.
    struct One;

    impl Lists for One {
        fn find(&mut self, client: IpAddr, list: &str, _: &HttpRequest) -> Found {
            let is_listed = client == Ipv4Addr::new(192, 0, 2, 7) && list == "bl.test";
            Found {
                codes: vec![Ipv4Addr::new(127, 0, 0, 9); usize::from(is_listed)],
                text: Some("because".to_owned()),
                after: Duration::from_millis(3),
                ttl: 60,
            }
        }
    }

    /// What is answered: the code and the records.
    fn asked(name: &str, rtype: Rtype) -> (Rcode, Vec<String>) {
        let mut question = MessageBuilder::new_vec().question();
        let name: Name<Vec<u8>> = name.parse().unwrap();
        question.push((name, rtype)).unwrap();
        let request = HttpRequest {
            headers: vec![(":method".to_owned(), "POST".to_owned())],
            body: question.finish(),
            trailers: Vec::new(),
            timeout: None,
            at: Timestamp::SIMULATION_START,
        };
        let HttpAnswer::Respond { response, after } = resolver(One).answer(&request) else {
            panic!("no response");
        };
        assert_eq!((response.status, after), (200, Duration::from_millis(3)));
        let message = Message::from_octets(response.body).unwrap();
        let answer = message.answer().unwrap();
        let records = answer.limit_to::<AllRecordData<_, _>>();
        let data = records.map(|record| record.unwrap().data().to_string());
        (message.header().rcode(), data.collect())
    }

    #[test]
    fn lists_answer_for_their_clients_and_their_test_points() {
        let point = format!("2.0.0.0.0.0.f.7.f.f.f.f.{}bl.test", "0.".repeat(20));
        for (name, code) in [
            ("7.2.0.192.bl.test", Some("127.0.0.9")),
            ("7.2.0.192.wl.test", None),
            ("8.2.0.192.bl.test", None),
            ("2.0.0.127.wl.test", Some("127.0.0.2")),
            (&point, Some("127.0.0.2")),
            ("1.0.0.127.bl.test", None),
        ] {
            let (rcode, records) = asked(name, Rtype::A);
            let found = match code {
                Some(_) => Rcode::NOERROR,
                None => Rcode::NXDOMAIN,
            };
            assert_eq!(rcode, found, "{name}");
            assert_eq!(records, Vec::from_iter(code), "{name}");
        }
        let (rcode, text) = asked("7.2.0.192.bl.test", Rtype::TXT);
        assert_eq!(rcode, Rcode::NOERROR);
        assert!(text.concat().contains("because"), "{text:?}");
        assert!(asked("8.2.0.192.bl.test", Rtype::TXT).1.is_empty());
    }
}
