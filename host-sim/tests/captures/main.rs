//! Captures of every kind, and the odd ways of TCP in them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[path = "../common/mod.rs"]
mod common;
mod dialogue;
mod packets;
mod program;

use std::time::Duration;

use common::pass_through;
use dialogue::{Dialogue, SESSION, both};
use packets::{BEGUN, Link, pcap, pcap_big_endian, pcap_of, pcapng};
use portcullis_host_sim::capture::{
    Beginning, CaptureError, Conversation, Happening, Limits, Options, Summary, read,
};
use portcullis_host_sim::scenario::{PlayOptions, Scenario, Side, play};

fn read_all(file: &[u8], options: &Options) -> (Vec<Conversation>, Summary) {
    let mut conversations = Vec::new();
    let summary = read(file, options, |ended| conversations.push(ended)).unwrap();
    (conversations, summary)
}

/// The one conversation of a capture.
fn one(file: &[u8]) -> Conversation {
    let (mut conversations, summary) = read_all(file, &Options::default());
    assert_eq!(summary.conversations, 1, "{summary}");
    conversations.remove(0)
}

fn said(conversation: &Conversation) -> (String, String) {
    let text = |side| String::from_utf8(conversation.sent(side)).unwrap();
    (text(Side::Client), text(Side::Server))
}

/// The scenario of a conversation, written out and read again, passes unchanged.
fn replays(conversation: &Conversation) {
    let text = conversation.scenario().to_string();
    let scenario: Scenario = text.parse().unwrap();
    for split in [0, 3] {
        let options = PlayOptions {
            split,
            ..PlayOptions::default()
        };
        let report = play(&scenario, &pass_through(), &options).unwrap();
        assert_eq!(report.failure, None, "{text}");
        assert_eq!(report.totals.client_wrote, report.totals.server_read);
    }
}

#[test]
fn every_link_type_and_both_ip_versions_show_the_session() {
    for link in Link::ALL {
        for ends in [
            "192.0.2.1:4000 198.51.100.1:25",
            "[2001:db8::1]:4000 [2001:db8::2]:25",
        ] {
            if matches!(link, Link::Ipv4) && ends.starts_with('[') {
                continue;
            }
            let packets = Dialogue::between(ends).session().packets;
            let conversation = one(&pcap(link, &packets));
            assert_eq!(said(&conversation), both(SESSION), "{link:?} {ends}");
            assert_eq!(conversation.beginning, Beginning::Captured);
            assert_eq!(conversation.oddities(), None);
            let ports = (conversation.client.port(), conversation.server.port());
            assert_eq!(ports, (4000, 25));
            replays(&conversation);
        }
    }
}

#[test]
fn every_file_format_shows_the_same() {
    let packets = Dialogue::default().session().packets;
    let plain = one(&pcap(Link::Ethernet, &packets));
    assert_eq!(one(&pcap_big_endian(Link::Ethernet, &packets)), plain);
    assert_eq!(one(&pcapng([Link::Cooked2, Link::Raw], &packets)), plain);
    assert_eq!(
        plain.started.as_unix_nanos(),
        u64::from(BEGUN) * 1_000_000_000
    );
    // After the handshake's three packets.
    assert_eq!(plain.events[0].at, Duration::from_millis(3));
}

#[test]
fn segments_are_as_they_were_sent() {
    let mut dialogue = Dialogue::default();
    dialogue.open();
    dialogue.server("220 mx ESMTP\r\n");
    dialogue.client("EHLO a\r\nMAIL ");
    dialogue.client("FROM:<>\r\n");
    dialogue.close();
    let conversation = one(&pcap(Link::Raw, &dialogue.packets));
    let text = conversation.scenario().to_string();
    assert_eq!(
        text,
        "client: 192.0.2.1:4000\nlocal: 198.51.100.1:25\nstarted: 2023-11-14T22:13:20.000Z\n\n\
         0.003 S> 220 mx ESMTP\n0.005 C> EHLO a\n      C+ MAIL \\\n0.007 C> FROM:<>\n\
         0.009 C|\n0.010 S|\n?unchanged\n"
    );
}

#[test]
fn any_order_and_repetition_is_put_right() {
    let mut dialogue = Dialogue::default();
    dialogue.open();
    dialogue.server("220 mx ESMTP\r\n");
    let seq = dialogue.client_seq;
    dialogue.raw_client(seq.wrapping_add(13), "QUIT\r\n");
    dialogue.raw_client(seq.wrapping_add(8), "NOOP");
    dialogue.raw_client(seq, "EHLO");
    dialogue.client("EHLO a\r\nNOOP\nQUIT\r\n");
    dialogue.client("");
    dialogue.close();
    let conversation = one(&pcap(Link::Ethernet, &dialogue.packets));
    assert_eq!(said(&conversation).0, "EHLO a\r\nNOOP\nQUIT\r\n");
    assert_eq!((conversation.lost, conversation.retransmitted), (0, 14));
    assert_eq!(
        conversation.oddities().as_deref(),
        Some("14 octets retransmitted")
    );
    let first = conversation
        .events
        .iter()
        .find(|event| event.side == Side::Client);
    assert_eq!(
        first.unwrap().happening,
        Happening::Sent(b"EHLO"[..].into())
    );
    replays(&conversation);
}

#[test]
fn what_was_not_captured_is_replayed_as_something_else_and_said() {
    let whole = Dialogue::default().session();
    let lost = "MAIL FROM:<a@b.test>\r\n";
    let mut packets = whole.packets.clone();
    packets.retain(|packet| packet.payload != lost.as_bytes());
    let conversation = one(&pcap(Link::Ethernet, &packets));
    assert_eq!(conversation.lost, lost.len() as u64);
    let (client, server) = said(&conversation);
    assert_eq!(
        client,
        both(SESSION).0.replace(lost, &"x".repeat(lost.len()))
    );
    assert_eq!(server, both(SESSION).1);
    // It is given up soon: the client's next words are not late.
    let text = conversation.scenario().to_string();
    assert!(text.contains("C> \\{22 lost}\\\n"), "{text}");
    let (mark, rcpt, data) = (text.find("lost}"), text.find("RCPT"), text.find("S> 354"));
    assert!(mark < rcpt && rcpt < data && data.is_some(), "{text}");
    assert!(text.contains("x-capture: 22 octets never captured\n"));
    replays(&conversation);
}

#[test]
fn packets_cut_short_lose_their_ends_only() {
    let packets = Dialogue::default().session().packets;
    let frames: Vec<Vec<u8>> = packets
        .iter()
        .map(|packet| {
            let mut frame = packet.ip();
            frame.truncate(20 + 20 + 10);
            frame
        })
        .collect();
    let conversation = one(&pcap_of(101, &frames));
    let (client, server) = said(&conversation);
    let (whole_client, whole_server) = both(SESSION);
    assert_eq!(
        (client.len(), server.len()),
        (whole_client.len(), whole_server.len())
    );
    assert!(client.starts_with("EHLO clienxxxxxxxxxxx"), "{client}");
    assert!(matches!(
        conversation.events.last().unwrap().happening,
        Happening::Ended
    ));
    replays(&conversation);
}

#[test]
fn overlaps_keep_the_first_copy_and_are_counted() {
    let mut dialogue = Dialogue::default();
    dialogue.open();
    dialogue.server("220 mx ESMTP\r\n");
    let seq = dialogue.client_seq;
    dialogue.raw_client(seq.wrapping_add(8), "MAIL FROM:<a@b>\r\n");
    dialogue.raw_client(seq, "EHLO a\r\nNOOP");
    dialogue.client_seq = seq.wrapping_add(25);
    dialogue.close();
    let conversation = one(&pcap(Link::Raw, &dialogue.packets));
    assert_eq!(said(&conversation).0, "EHLO a\r\nMAIL FROM:<a@b>\r\n");
    assert_eq!(
        (conversation.retransmitted, conversation.conflicting),
        (4, 4)
    );
}

#[test]
fn a_reset_ends_a_session_and_ports_may_be_used_again() {
    let mut dialogue = Dialogue::default();
    dialogue.open();
    dialogue.server("220 mx ESMTP\r\n");
    dialogue.client("EHLO a\r\n");
    dialogue.reset();
    // A straggler, then the same ports anew.
    dialogue.client("late\r\n");
    let mut next = Dialogue {
        client_seq: 77_777,
        server_seq: 4_294_967_290,
        ..Dialogue::default()
    };
    next = next.session();
    dialogue.packets.extend(next.packets);
    let file = pcap(Link::Ethernet, &dialogue.packets);
    let (conversations, summary) = read_all(&file, &Options::default());
    assert_eq!(summary.conversations, 2);
    let last = &conversations[0].events.last().unwrap();
    assert_eq!(
        (last.side, &last.happening),
        (Side::Client, &Happening::Reset)
    );
    assert_eq!(said(&conversations[0]).0, "EHLO a\r\n");
    assert_eq!(said(&conversations[1]), both(SESSION));
    conversations.iter().for_each(replays);
}

#[test]
fn a_session_begun_before_the_capture_is_told_by_its_ports() {
    let mut dialogue = Dialogue::default();
    dialogue.server("250 ok\r\n");
    dialogue.client("MAIL FROM:<>\r\n");
    dialogue.server("250 ok\r\n");
    let conversation = one(&pcap(Link::Ethernet, &dialogue.packets));
    assert_eq!(conversation.beginning, Beginning::Missed);
    assert_eq!(conversation.server.port(), 25);
    assert_eq!(said(&conversation).1, "250 ok\r\n250 ok\r\n");
    assert_eq!(
        conversation.oddities().as_deref(),
        Some("begun before the capture")
    );
}

#[test]
fn smtp_is_found_on_any_port_and_everything_else_counted() {
    let smtp = Dialogue::between("192.0.2.1:4000 198.51.100.1:2525").session();
    let mut http = Dialogue::between("192.0.2.1:4000 198.51.100.1:80");
    http.open();
    http.client("GET / HTTP/1.0\r\n\r\n");
    http.server("HTTP/1.0 200 OK\r\n\r\n");
    http.close();
    let packets = [smtp.packets, http.packets].concat();
    let mut frames: Vec<_> = packets.iter().map(packets::Packet::ip).collect();
    // UDP, a fragment of TCP, half a header, and no IP at all.
    let mut udp = frames[0].clone();
    udp[9] = 17;
    let mut fragment = frames[5].clone();
    fragment[6] = 0x20;
    frames.extend([udp, fragment, frames[0][..30].to_vec(), vec![0; 40]]);
    let (conversations, summary) = read_all(&pcap_of(101, &frames), &Options::default());
    assert_eq!(said(&conversations[0]), both(SESSION));
    let expected = Summary {
        packets: frames.len() as u64,
        conversations: 1,
        other_connections: 1,
        other_packets: 2,
        fragments: 1,
        broken: 1,
        ..Summary::default()
    };
    assert_eq!(summary, expected);
    let options = Options {
        ports: vec![80],
        ..Options::default()
    };
    assert_eq!(
        read_all(&pcap_of(101, &frames), &options).1.conversations,
        2
    );
    let (_, unknown) = read_all(&pcap_of(147, &frames), &options);
    assert_eq!(
        unknown.unknown_links.get(&147),
        Some(&(frames.len() as u64))
    );
}

#[test]
fn limits_hand_over_what_there_is() {
    let many: Vec<_> = (0..10)
        .flat_map(|number| {
            let ends = format!("192.0.2.1:{} 198.51.100.1:25", 4000 + number);
            let mut dialogue = Dialogue::between(&ends);
            dialogue.open();
            dialogue.server("220 mx ESMTP\r\n");
            dialogue.packets
        })
        .collect();
    let file = pcap(Link::Ethernet, &many);
    let with = |limits| Options {
        limits,
        ..Options::default()
    };
    let (conversations, _) = read_all(
        &file,
        &with(Limits {
            connections: 4,
            ..Limits::default()
        }),
    );
    let numbers: Vec<_> = conversations
        .iter()
        .map(|ended| (ended.number, ended.cut))
        .collect();
    let expected: Vec<_> = (1..=10).map(|number| (number, number <= 6)).collect();
    assert_eq!(numbers, expected);
    let (conversations, _) = read_all(
        &file,
        &with(Limits {
            octets: 200,
            ..Limits::default()
        }),
    );
    assert_eq!(conversations.iter().filter(|ended| ended.cut).count(), 8);

    let session = pcap(Link::Ethernet, &Dialogue::default().session().packets);
    let (conversations, _) = read_all(
        &session,
        &with(Limits {
            octets_per_connection: 200,
            ..Limits::default()
        }),
    );
    assert!(conversations[0].cut);
    assert_eq!(said(&conversations[0]).1, "220 mx.example ESMTP\r\n");
    assert!(matches!(
        conversations[0].events.last().unwrap().happening,
        Happening::Ended
    ));

    let mut dialogue = Dialogue::default();
    dialogue.open();
    let seq = dialogue.client_seq;
    for number in 1..100 {
        dialogue.raw_client(seq.wrapping_add(10 * number), "0123456789");
    }
    let (conversations, _) = read_all(
        &pcap(Link::Ethernet, &dialogue.packets),
        &with(Limits {
            waiting: 1000,
            ..Limits::default()
        }),
    );
    // Not only at the end, which all of these waited for.
    assert!(conversations[0].events[0].at < Duration::from_millis(30));
    assert_eq!(conversations[0].lost, 10);
}

#[test]
fn what_is_no_capture_or_a_broken_one_is_said() {
    let read = |file: &[u8]| read(file, &Options::default(), |_| {});
    for file in [&b""[..], b"S> 220 mx\n", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]] {
        assert!(
            matches!(read(file), Err(CaptureError::NoCapture)),
            "{file:?}"
        );
    }
    let file = pcap(Link::Ethernet, &Dialogue::default().session().packets);
    let cut = read(&file[..file.len() - 10]).unwrap();
    assert!(cut.ends_early);
    assert_eq!(cut.conversations, 1);
    let mut long = file;
    long[24 + 8..24 + 12].copy_from_slice(&[0xff; 4]);
    let error = read(&long).unwrap_err();
    assert!(
        matches!(error, CaptureError::TooLarge { packet: 1, .. }),
        "{error}"
    );
}

#[test]
fn packets_of_an_interface_never_described_are_counted() {
    let packets = Dialogue::default().session().packets;
    let mut file = pcapng([Link::Raw, Link::Raw], &packets);
    // The second interface's description becomes a block of no known kind.
    let second = 28 + 32;
    assert_eq!(file[second], 1);
    file[second] = 0xbb;
    let (_, summary) = read_all(&file, &Options::default());
    let odd = packets.len() as u64 / 2;
    assert_eq!(summary.unknown_links.get(&-1), Some(&odd));
    assert_eq!(summary.conversations, 1);
}

#[test]
fn any_octets_are_read_without_harm() {
    let file = pcapng(
        [Link::Ethernet, Link::Cooked2],
        &Dialogue::default().session().packets,
    );
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2000 {
        let mut broken = file.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..broken.len());
            broken[at] = random.u8(..);
        }
        broken.truncate(random.usize(..=broken.len()));
        let mut seen = 0;
        // Whether it can be read at all is open; that it ends is not.
        let _ = read(&broken[..], &Options::default(), |ended| {
            seen += ended.scenario().to_string().len();
        });
    }
}
