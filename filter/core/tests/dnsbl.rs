//! Properties of sites and of messages, given whatever the network may bring.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use portcullis_core::dnsbl::{
    Answer, Fault, RecordType, Site, Zones, query_name, question, read_answer, read_text,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

const NAME: &str = "99.2.0.192.bl.test";

/// A field of a filter: its text, and the octets it stands for.
fn field() -> impl Strategy<Value = (String, Vec<RangeInclusive<u8>>)> {
    let span = (any::<u8>(), 0_u8..20, any::<bool>()).prop_map(|(first, more, as_range)| {
        let last = first.saturating_add(more);
        match as_range {
            true => (format!("{first}..{last}"), first..=last),
            false => (format!("{first:03}"), first..=first),
        }
    });
    let list = prop::collection::vec(span, 1..6).prop_map(|spans| {
        let (texts, ranges): (Vec<_>, Vec<_>) = spans.into_iter().unzip();
        (format!("[{}]", texts.join(";")), ranges)
    });
    let number = any::<u8>().prop_map(|octet| (octet.to_string(), vec![octet..=octet]));
    prop_oneof![number, list]
}

/// A site's text, its weight, and the octets its filter stands for.
fn site() -> impl Strategy<Value = (String, i32, Option<Vec<Vec<RangeInclusive<u8>>>>)> {
    let domain = "[a-zA-Z_][a-zA-Z0-9_]{0,8}(\\.[a-z0-9][a-z0-9-]{0,8}[a-z0-9]){0,3}\\.?";
    let filter = prop::option::of(prop::collection::vec(field(), 4));
    let weight = prop::option::of((1_i32..=1000, any::<bool>()));
    (domain, filter, weight).prop_map(|(domain, filter, weight)| {
        let weight = weight.map(|(size, good)| if good { -size } else { size });
        let (fields, ranges) = filter.into_iter().flatten().unzip::<_, _, Vec<_>, Vec<_>>();
        let mut text = domain;
        if !fields.is_empty() {
            text = format!("{text}={}", fields.join("."));
        }
        if let Some(weight) = weight {
            text = format!("{text}*{weight}");
        }
        (
            text,
            weight.unwrap_or(1),
            (!ranges.is_empty()).then_some(ranges),
        )
    })
}

/// A response to the question for `NAME`, with `count` records in a body of any octets.
fn response(record: RecordType, flags: [u8; 2], counts: [u8; 3], body: &[u8]) -> Vec<u8> {
    let mut message = question(NAME, record).unwrap();
    message[2..4].copy_from_slice(&flags);
    for (at, count) in [7, 9, 11].into_iter().zip(counts) {
        message[at] = count;
    }
    message.extend(body);
    message
}

/// Records, mostly well-formed, of the types that are read.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let owner = prop_oneof![
        8 => Just(vec![0xc0, 12]),
        1 => Just(b"\x01x\0".to_vec()),
        1 => (0_u8..64).prop_map(|at| vec![0xc0, at]),
    ];
    let data = prop_oneof![
        4 => any::<u8>().prop_map(|last| (1_u16, vec![127, 0, 0, last])),
        1 => any::<[u8; 4]>().prop_map(|address| (1, address.to_vec())),
        1 => Just((5, b"\x01x\0".to_vec())),
        1 => Just((5, vec![0xc0, 12])),
        1 => Just((6, [&[0, 0][..], &[9; 20]].concat())),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|data| (16, data)),
        1 => any::<u16>().prop_map(|code| (code, vec![1, b'x', 0])),
    ];
    let record = (owner, data, any::<u32>()).prop_map(|(owner, (code, data), ttl)| {
        let length = (data.len() as u16).to_be_bytes();
        let head = [code.to_be_bytes(), 1_u16.to_be_bytes()].concat();
        [
            owner,
            head,
            ttl.to_be_bytes().to_vec(),
            length.to_vec(),
            data,
        ]
        .concat()
    });
    prop::collection::vec(record, 0..24).prop_map(|records| records.concat())
}

/// What must hold of an answer, whatever it was read from.
fn sound(answer: &Answer) -> bool {
    let loopback = |code: &Ipv4Addr| {
        let octets = code.octets();
        octets[0] == 127 && octets != [127, 0, 0, 1] && octets[..3] != [127, 255, 255]
    };
    match answer {
        Answer::Listed { codes, ttl } => {
            (1..=16).contains(&codes.len()) && codes.iter().all(loopback) && ttl.as_secs() < 1 << 31
        }
        Answer::Unlisted { ttl } => ttl.is_none_or(|ttl| ttl.as_secs() < 1 << 31),
        Answer::Failed(_) => true,
    }
}

fn harmless(text: &str) -> bool {
    let printable = |octet: u8| (b' '..=b'~').contains(&octet) && !b"{}".contains(&octet);
    (1..=200).contains(&text.len()) && text.bytes().all(printable)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What a site prints reads back as the same site, and it matches what its text says.
    #[test]
    fn sites_print_what_they_mean(
        (text, weight, ranges) in site(),
        codes in prop::collection::vec(any::<[u8; 4]>(), 8),
    ) {
        let site = Site::parse(&text).unwrap();
        prop_assert_eq!(&Site::parse(&site.to_string()).unwrap(), &site);
        prop_assert_eq!(site.weight(), weight);
        let edge = |ranges: &Vec<RangeInclusive<u8>>, at: usize| *ranges[at % ranges.len()].end();
        let inside = ranges.iter().flat_map(|fields| {
            (0..4).map(|at| std::array::from_fn(|field| edge(&fields[field], at)))
        });
        for code in codes.iter().copied().chain(inside) {
            let naive = ranges.as_ref().is_none_or(|fields| {
                (0..4).all(|field| fields[field].iter().any(|range| range.contains(&code[field])))
            });
            prop_assert_eq!(site.matches(code.into()), naive, "{} {:?}", text, code);
        }
    }

    /// Nearly right texts are read or refused, never more; a refusal points into the text.
    #[test]
    fn any_text_is_read_or_refused(
        text in prop_oneof![
            any::<String>(),
            "[a-c]{1,3}(\\.[a-c]{0,2})?=?\\[?127[.;\\[\\]0-9]{0,12}(\\*[-+0-9]{0,4})?",
        ],
    ) {
        match Site::parse(&text) {
            Ok(site) => prop_assert_eq!(&Site::parse(&site.to_string()).unwrap(), &site),
            Err(error) => prop_assert!(error.position <= text.len()),
        }
    }

    /// No answer goes beyond the range of its zone.
    #[test]
    fn ranges_hold(
        sites in prop::collection::vec((0_u8..4, 0_u8..4, 1..=1000, any::<bool>()), 0..8),
        codes in prop::collection::vec(0_u8..8, 0..4),
    ) {
        let site = |(first, more, size, good): &(u8, u8, i32, bool)| {
            let sign = if *good { "-" } else { "" };
            let filter = match more {
                0 => String::new(),
                more => format!("=127.0.0.[{first}..{}]", first + more),
            };
            Site::parse(&format!("bl.test{filter}*{sign}{size}")).unwrap()
        };
        let zones = Zones::new(sites.iter().map(site).collect());
        let codes: Vec<_> = codes.iter().map(|last| Ipv4Addr::new(127, 0, 0, *last)).collect();
        let (lowest, highest) = zones.range(0);
        prop_assert!(lowest <= 0 && 0 <= highest);
        prop_assert!((lowest..=highest).contains(&zones.weight_of(0, &codes)));
    }

    /// Every client has a name, and a question, in every zone that a site may name.
    #[test]
    fn every_client_can_be_asked_about((text, _, _) in site(), client in any::<IpAddr>()) {
        let site = Site::parse(&text).unwrap();
        let name = query_name(site.domain(), client);
        prop_assert!(question(&name, RecordType::A).is_some(), "{}", name);
    }

    /// Octets of any kind are read without harm.
    #[test]
    fn any_octets_are_read(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(sound(&read_answer(&octets, NAME)));
        prop_assert_eq!(read_text(&octets, NAME), None);
    }

    /// So are octets behind a header and a question that are right, records among them.
    #[test]
    fn any_records_are_read(
        flags in prop_oneof![Just([0x81, 0x80]), Just([0x81, 0x83]), any::<[u8; 2]>()],
        counts in prop_oneof![Just([1, 0, 0]), Just([24, 0, 0]), any::<[u8; 3]>()],
        body in prop_oneof![records(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        let message = response(RecordType::A, flags, counts, &body);
        prop_assert!(sound(&read_answer(&message, NAME)));
        let message = response(RecordType::Txt, flags, counts, &body);
        prop_assert!(read_text(&message, NAME).is_none_or(|text| harmless(&text)));
    }

    /// A good message with octets changed, or its end lost, never becomes an unsound answer.
    #[test]
    fn damaged_messages_are_read(
        body in records(),
        count in 0_u8..24,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        for record in [RecordType::A, RecordType::Txt] {
            let mut message = response(record, [0x81, 0x80], [count, 0, 0], &body);
            message.truncate(end.index(message.len()) + 1);
            for (at, octet) in &changes {
                let at = at.index(message.len());
                message[at] = *octet;
            }
            prop_assert!(sound(&read_answer(&message, NAME)));
            prop_assert!(read_text(&message, NAME).is_none_or(|text| harmless(&text)));
        }
    }

    /// What is asked of one name is no answer for another.
    #[test]
    fn answers_to_others_are_refused(octet in 0_u8..=255, last in 2_u8..=255) {
        let body = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0][..], &[last]].concat();
        let message = response(RecordType::A, [0x81, 0x80], [1, 0, 0], &body);
        let answer = read_answer(&message, &format!("{octet}.2.0.192.bl.test"));
        let refused = answer == Answer::Failed(Fault::OtherQuestion);
        prop_assert_eq!(refused, octet != 99);
    }
}

/// Chains of aliases and pointers as long as a message allows take no noticeable time.
#[test]
fn the_worst_message_costs_little() {
    let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x02\xc0\x0c";
    let body = alias.repeat(280);
    let mut message = response(RecordType::A, [0x81, 0x80], [0, 0, 0], &body);
    message[6..8].copy_from_slice(&280_u16.to_be_bytes());
    assert!(message.len() < 4096);
    assert_eq!(
        read_answer(&message, NAME),
        Answer::Failed(Fault::Malformed)
    );
}
