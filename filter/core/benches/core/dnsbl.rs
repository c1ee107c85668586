//! Questions to blacklists, and what is read of their answers.

use crate::{Group, rate};
use criterion::Criterion;
use portcullis_core::dnsbl::{
    Answer, Method, RecordType, query_name, question, read_answer, read_text, request,
};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const NAME: &str = "99.2.0.192.bl.test";
/// The name in the question.
const OWN: [u8; 2] = [0xc0, 12];
/// NOERROR and NXDOMAIN with QR, RD and RA.
const FOUND: [u8; 2] = [0x81, 0x80];
const NO_SUCH_NAME: [u8; 2] = [0x81, 0x83];

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dnsbl");
    for (name, client) in [
        ("question by GET, IPv4", "192.0.2.99"),
        ("question by GET, IPv6", "2001:db8:1:2:3:4:567:89ab"),
    ] {
        asked(&mut group, name, client.parse().unwrap());
    }
    let codes: Vec<_> = (2..5).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect();
    let records = codes.iter().map(|code| record(1, 60, &code.octets()));
    let listed = response(RecordType::A, FOUND, [3, 0], &records.collect::<Vec<_>>());
    let ttl = Duration::from_secs(60);
    let expected = Answer::Listed { codes, ttl };
    answered(
        &mut group,
        "answer, listed for three reasons",
        &listed,
        &expected,
    );
    let unlisted = response(RecordType::A, NO_SUCH_NAME, [0, 1], &[soa(60)]);
    let expected = Answer::Unlisted { ttl: Some(ttl) };
    answered(&mut group, "answer, not listed", &unlisted, &expected);
    text(&mut group);
}

/// From a client's address to the request, as the host is given it.
fn asked(group: &mut Group<'_>, name: &str, client: IpAddr) {
    let ask = || {
        let name = query_name("bl.test", client);
        let message = question(&name, RecordType::A).unwrap();
        (
            request(Method::Get, "dnsbl", "/dns-query", &message),
            message.len(),
        )
    };
    let (expected, octets) = ask();
    assert!(expected.body.is_none() && expected.headers.len() == 5);
    group.throughput(rate(1, octets));
    group.bench_function(name, |bench| {
        bench.iter(|| {
            let (request, _) = ask();
            assert_eq!(request, expected);
            request
        });
    });
}

fn answered(group: &mut Group<'_>, name: &str, message: &[u8], expected: &Answer) {
    group.throughput(rate(1, message.len()));
    group.bench_function(name, |bench| {
        bench.iter(|| assert_eq!(read_answer(message, NAME), *expected));
    });
}

fn text(group: &mut Group<'_>) {
    const TEXT: &[u8] = b"Listed by bl.test, see https://bl.test/query/192.0.2.99";
    let data = [&[TEXT.len() as u8], TEXT].concat();
    let message = response(RecordType::Txt, FOUND, [1, 0], &[record(16, 60, &data)]);
    group.throughput(rate(1, message.len()));
    group.bench_function("text", |bench| {
        bench.iter(|| {
            let text = read_text(&message, NAME).unwrap();
            assert_eq!(text.as_bytes(), TEXT);
            text
        });
    });
}

/// A response to the question for [`NAME`] (RFC 1035 section 4.1), with so many answers and
/// authorities.
fn response(kind: RecordType, flags: [u8; 2], counts: [u8; 2], records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = question(NAME, kind).unwrap();
    message[2..4].copy_from_slice(&flags);
    [message[7], message[9]] = counts;
    message.extend(records.concat());
    message
}

fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut octets = OWN.to_vec();
    octets.extend([kind, 1].map(u16::to_be_bytes).concat());
    octets.extend(ttl.to_be_bytes());
    octets.extend((data.len() as u16).to_be_bytes());
    octets.extend(data);
    octets
}

/// How long it holds that there is no such name (RFC 2308 section 5).
fn soa(ttl: u32) -> Vec<u8> {
    let mut data = b"\x02ns\xc0\x0c\x04mail\xc0\x0c".to_vec();
    data.extend([1, 2, 3, 4, ttl].map(u32::to_be_bytes).concat());
    record(6, ttl, &data)
}
