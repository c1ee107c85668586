//! Messages written out octet by octet, so that the library is not held against itself.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NAME: &str = "99.2.0.192.bl.test";

/// NOERROR and NXDOMAIN with QR, RD and RA.
const FOUND: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;

/// A pointer to the name in the question.
const OWN: [u8; 2] = [0xc0, 12];

fn wire(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[label.len() as u8], label.as_bytes()].concat();
    let mut octets = name.split('.').flat_map(label).collect::<Vec<u8>>();
    octets.push(0);
    octets
}

fn record(owner: &[u8], record_type: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut octets = owner.to_vec();
    octets.extend([record_type.to_be_bytes(), 1_u16.to_be_bytes()].concat());
    octets.extend(ttl.to_be_bytes());
    octets.extend((data.len() as u16).to_be_bytes());
    octets.extend(data);
    octets
}

fn address(ttl: u32, address: [u8; 4]) -> Vec<u8> {
    record(&OWN, 1, ttl, &address)
}

fn alias(owner: &str, target: &str) -> Vec<u8> {
    record(&wire(owner), 5, 60, &wire(target))
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let mut data = [wire("ns.bl.test"), wire("mail.bl.test")].concat();
    data.extend([1, 2, 3, 4, minimum].map(u32::to_be_bytes).concat());
    record(&wire("bl.test"), 6, ttl, &data)
}

/// A response to the question for `name`, with answers and authorities.
fn reply(flags: u16, name: &str, code: u16, sections: [&[Vec<u8>]; 2]) -> Vec<u8> {
    let [answers, authorities] = sections;
    let counts = [1, answers.len() as u16, authorities.len() as u16, 0];
    let mut octets = [0, flags].map(u16::to_be_bytes).concat();
    octets.extend(counts.map(u16::to_be_bytes).concat());
    octets.extend(wire(name));
    octets.extend([code, 1].map(u16::to_be_bytes).concat());
    octets.extend([answers, authorities].concat().concat());
    octets
}

fn answers(records: &[Vec<u8>]) -> Answer {
    read_answer(&reply(FOUND, NAME, 1, [records, &[]]), NAME)
}

fn listed(last: &[u8], ttl: u64) -> Answer {
    let code = |octet: &u8| Ipv4Addr::new(127, 0, 0, *octet);
    Answer::Listed {
        codes: last.iter().map(code).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

#[test]
fn questions_are_those_of_the_rfc() {
    // RFC 8484 section 4.1.1, first example.
    let expected = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
    let asked = question("www.example.com", RecordType::A).unwrap();
    assert_eq!(asked, expected);
    let asked = question("www.example.com", RecordType::Txt).unwrap();
    assert_eq!(asked[..expected.len() - 4], expected[..expected.len() - 4]);
    assert_eq!(asked[expected.len() - 4..], [0, 16, 0, 1]);
}

#[test]
fn only_names_are_asked_for() {
    let longest = format!("{}.abc", ["x"; 125].join("."));
    assert_eq!(longest.len(), 253);
    let asked = question(&longest, RecordType::A).unwrap();
    assert_eq!(asked.len(), MAX_QUESTION);
    for name in [
        "",
        ".",
        "a..b",
        ".a",
        "sch\u{f6}n.test",
        &"x".repeat(64),
        &format!("{longest}d"),
    ] {
        assert_eq!(question(name, RecordType::A), None, "{name:?}");
    }
}

#[test]
fn addresses_are_listings() {
    let one = address(300, [127, 0, 0, 2]);
    assert_eq!(answers(std::slice::from_ref(&one)), listed(&[2], 300));
    let three = [one.clone(), address(60, [127, 0, 0, 4]), one];
    assert_eq!(answers(&three), listed(&[2, 4], 60));
    let ancient = [address(0x8000_0000, [127, 0, 0, 2])];
    assert_eq!(answers(&ancient), listed(&[2], 0));
    let longest = [address(0x7fff_ffff, [127, 0, 0, 2])];
    assert_eq!(answers(&longest), listed(&[2], 0x7fff_ffff));
}

#[test]
fn at_most_sixteen_codes_are_kept_but_all_are_judged() {
    let many = |count: u8| (2..2 + count).map(|last| address(9, [127, 0, 0, last]));
    let kept: Vec<u8> = (2..18).collect();
    for count in [16, 17, 100] {
        let records: Vec<_> = many(count).collect();
        assert_eq!(answers(&records), listed(&kept, 9), "{count}");
    }
    let records: Vec<_> = many(20).chain([address(9, [192, 0, 2, 1])]).collect();
    assert_eq!(answers(&records), Answer::Failed(Fault::OutsideLoopback));
}

#[test]
fn addresses_no_list_may_give_fail() {
    for (code, fault) in [
        ([127, 0, 0, 1], Fault::TestPoint),
        ([127, 255, 255, 0], Fault::ErrorCode),
        ([127, 255, 255, 252], Fault::ErrorCode),
        ([127, 255, 255, 255], Fault::ErrorCode),
        ([126, 255, 255, 255], Fault::OutsideLoopback),
        ([128, 0, 0, 0], Fault::OutsideLoopback),
        ([192, 0, 2, 1], Fault::OutsideLoopback),
        ([0, 0, 0, 0], Fault::OutsideLoopback),
    ] {
        let (good, bad) = (address(9, [127, 0, 0, 2]), address(9, code));
        for records in [
            &[bad.clone()][..],
            &[good.clone(), bad.clone()],
            &[bad, good],
        ] {
            assert_eq!(answers(records), Answer::Failed(fault), "{code:?}");
        }
    }
    for code in [[127, 0, 0, 0], [127, 255, 254, 255], [127, 254, 255, 255]] {
        let Answer::Listed { codes, .. } = answers(&[address(9, code)]) else {
            panic!("{code:?}");
        };
        assert_eq!(codes, [Ipv4Addr::from(code)]);
    }
}

#[test]
fn addresses_may_stand_behind_aliases() {
    let there = record(&wire("y.test"), 1, 5, &[127, 0, 0, 3]);
    let chain = [alias(NAME, "X.test"), alias("x.test", "y.test"), there];
    assert_eq!(answers(&chain), listed(&[3], 5));
    let [first, second, there] = chain;
    assert_eq!(answers(&[there.clone(), second, first]), listed(&[3], 5));
    assert_eq!(answers(&[there]), Answer::Unlisted { ttl: None });
    let circle = [alias(NAME, "x.test"), alias("x.test", NAME)];
    assert_eq!(answers(&circle), Answer::Failed(Fault::Malformed));
}

#[test]
fn no_address_is_no_listing() {
    let text = record(&OWN, 16, 9, b"\x02hi");
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (flags, authorities, ttl) in [
        (NO_SUCH_NAME, &[soa(900, 300)][..], seconds(300)),
        (NO_SUCH_NAME, &[soa(30, 300)], seconds(30)),
        (NO_SUCH_NAME, &[soa(300, 0x8000_0000)], seconds(0)),
        (NO_SUCH_NAME, &[], None),
        (NO_SUCH_NAME, std::slice::from_ref(&text), None),
        (NO_SUCH_NAME, &[text.clone(), soa(7, 8)], seconds(7)),
        (FOUND, &[soa(900, 300)], seconds(300)),
        (FOUND, &[], None),
    ] {
        for records in [&[][..], std::slice::from_ref(&text)] {
            let message = reply(flags, NAME, 1, [records, authorities]);
            assert_eq!(read_answer(&message, NAME), Answer::Unlisted { ttl });
        }
    }
}

#[test]
fn other_codes_flags_and_questions_fail() {
    let good = [address(9, [127, 0, 0, 2])];
    for (flags, name, code, fault) in [
        (0x0100, NAME, 1, Fault::Malformed),
        (0x9180, NAME, 1, Fault::Malformed),
        (0x8380, NAME, 1, Fault::Truncated),
        (0x8181, NAME, 1, Fault::ResponseCode(1)),
        (0x8182, NAME, 1, Fault::ServFail),
        (0x8184, NAME, 1, Fault::ResponseCode(4)),
        (0x8185, NAME, 1, Fault::RefusedByServer),
        (0x8189, NAME, 1, Fault::ResponseCode(9)),
        (NO_SUCH_NAME, NAME, 1, Fault::Malformed),
        (FOUND, "98.2.0.192.bl.test", 1, Fault::OtherQuestion),
        (FOUND, NAME, 16, Fault::OtherQuestion),
        (FOUND, NAME, 28, Fault::OtherQuestion),
    ] {
        let message = reply(flags, name, code, [&good, &[]]);
        let answer = read_answer(&message, NAME);
        assert_eq!(answer, Answer::Failed(fault), "{flags:x} {name} {code}");
    }
    let other_case = reply(FOUND, "99.2.0.192.Bl.TEST", 1, [&good, &[]]);
    assert_eq!(read_answer(&other_case, NAME), listed(&[2], 9));
    let mut other_class = reply(FOUND, NAME, 1, [&good, &[]]);
    other_class[12 + wire(NAME).len() + 3] = 3;
    let answer = read_answer(&other_class, NAME);
    assert_eq!(answer, Answer::Failed(Fault::OtherQuestion));
    let mut two_questions = reply(FOUND, NAME, 1, [&[], &[]]);
    two_questions[5] = 2;
    two_questions.extend([&OWN[..], &[0, 1, 0, 1]].concat());
    let answer = read_answer(&two_questions, NAME);
    assert_eq!(answer, Answer::Failed(Fault::OtherQuestion));
    let bare = |flags: u16| [&[0, 0], &flags.to_be_bytes()[..], &[0; 8]].concat();
    let answer = read_answer(&bare(0x8182), NAME);
    assert_eq!(answer, Answer::Failed(Fault::ServFail));
    let answer = read_answer(&bare(FOUND), NAME);
    assert_eq!(answer, Answer::Failed(Fault::OtherQuestion));
}

#[test]
fn a_message_that_ends_early_is_malformed() {
    let listing = reply(FOUND, NAME, 1, [&[address(9, [127, 0, 0, 2])], &[]]);
    let denial = reply(NO_SUCH_NAME, NAME, 1, [&[], &[soa(9, 9)]]);
    for message in [listing, denial] {
        for end in 0..message.len() {
            let answer = read_answer(&message[..end], NAME);
            assert_eq!(answer, Answer::Failed(Fault::Malformed), "{end}");
        }
        let mut long = message.clone();
        long.resize(MAX_BODY, 0);
        assert_eq!(read_answer(&long, NAME), read_answer(&message, NAME));
        long.push(0);
        assert_eq!(read_answer(&long, NAME), Answer::Failed(Fault::TooLong));
    }
}

#[test]
fn texts_are_joined_and_made_harmless() {
    let text = |data: &[u8]| record(&OWN, 16, 9, data);
    let long = [&[255][..], &[b'x'; 255]].concat();
    for (records, expected) in [
        (
            &[text(b"\x07Listed,\x0b see {x}\r\n.")][..],
            Some("Listed, see (x)??."),
        ),
        (&[text(b"\x03one"), text(b"\x03two")], Some("one")),
        (&[address(9, [127, 0, 0, 2]), text(b"\x02hi")], Some("hi")),
        (
            &[
                alias(NAME, "x.test"),
                record(&wire("x.test"), 16, 9, b"\x02hi"),
            ],
            Some("hi"),
        ),
        (&[text(&long)], Some(&*"x".repeat(200))),
        (&[text(b"\0")], None),
        (&[text(b"\x09short")], None),
        (&[record(&wire("x.test"), 16, 9, b"\x02hi")], None),
        (&[], None),
    ] {
        let message = reply(FOUND, NAME, 16, [records, &[]]);
        assert_eq!(read_text(&message, NAME).as_deref(), expected);
    }
    let asked_for_addresses = reply(FOUND, NAME, 1, [&[text(b"\x02hi")], &[]]);
    assert_eq!(read_text(&asked_for_addresses, NAME), None);
}
