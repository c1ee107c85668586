//! Sessions by what is said in them: framing, commands, replies and the policy.

use crate::Group;
use crate::bulk::{BASE64_LINE, DOTTED_LINE, LARGE, SEGMENT, body, repeated};
use crate::dialogues::{Dialogue, OPENING, SHAPES, is_untouched, play, session};
use crate::rate;
use criterion::Criterion;
use portcullis_core::session::Session;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    for (name, dialogue) in SHAPES {
        shape(&mut group, name, dialogue, DEFAULT);
    }
    shape(
        &mut group,
        "pipelined, 100 recipients, observed",
        &[hundred()],
        OBSERVE,
    );
    data(&mut group, "10 MB of DATA", BASE64_LINE);
    data(
        &mut group,
        "10 MB of DATA, a dot on every line",
        DOTTED_LINE,
    );
    chunk(&mut group, "10 MB of BDAT, read", offered);
    chunk(&mut group, "10 MB of BDAT, not shown", not_shown);
    opaque(&mut group);
}

const DEFAULT: &[u8] = b"{}";
/// Nothing waits for its turn.
const OBSERVE: &[u8] = br#"{ "mode": "observe" }"#;

/// A transaction that is reset once all its recipients are taken.
fn hundred() -> (&'static [u8], &'static [u8]) {
    let mut client = b"MAIL FROM:<a@client.test>\r\n".to_vec();
    for number in 0..100 {
        client.extend(format!("RCPT TO:<user{number}@example.test>\r\n").into_bytes());
    }
    client.extend(b"RSET\r\n");
    (client.leak(), b"250 2.1.5 Ok\r\n".repeat(102).leak())
}

fn octets(dialogue: Dialogue<'_>) -> usize {
    let both = |(client, server): &(&[u8], &[u8])| client.len() + server.len();
    dialogue.iter().map(both).sum()
}

/// On a kept connection.
fn shape(group: &mut Group<'_>, name: &str, dialogue: Dialogue<'_>, policy: &[u8]) {
    let mut session = session(policy);
    play(&mut session, OPENING);
    let commands = play(&mut session, dialogue);
    group.throughput(rate(commands, octets(dialogue)));
    group.bench_function(name, |bench| {
        bench.iter(|| assert_eq!(play(&mut session, dialogue), commands));
    });
}

const ENVELOPE: Dialogue<'_> = &[
    (
        b"MAIL FROM:<sender@client.example.test>\r\n",
        b"250 2.1.0 Ok\r\n",
    ),
    (b"RCPT TO:<alice@example.test>\r\n", b"250 2.1.5 Ok\r\n"),
];
const DATA: Dialogue<'_> = &[(b"DATA\r\n", b"354 go\r\n")];
const TAKEN: Dialogue<'_> = &[(b"", b"250 2.0.0 Ok: queued as 4Xk2Q1\r\n")];

/// As the host shows what is to be read.
fn offered(session: &mut Session, segment: &[u8]) -> bool {
    is_untouched(&session.client_bytes(segment).to_server, segment)
}

/// As the host tells of what need not be read.
fn not_shown(session: &mut Session, segment: &[u8]) -> bool {
    session.client_passes(segment.len())
}

/// Whole messages on a kept connection. One whose end was missed would swallow the commands behind
/// it, which are counted.
fn data(group: &mut Group<'_>, name: &str, line: &[u8]) {
    let body = body(line);
    let mut session = session(DEFAULT);
    play(&mut session, OPENING);
    group.throughput(rate(3, body.len()));
    group.bench_function(name, |bench| {
        bench.iter(|| {
            let commands = play(&mut session, ENVELOPE) + play(&mut session, DATA);
            assert_eq!(commands, 3);
            for segment in body.chunks(SEGMENT) {
                assert!(offered(&mut session, segment));
            }
            play(&mut session, TAKEN);
        });
    });
}

fn chunk(group: &mut Group<'_>, name: &str, passes: fn(&mut Session, &[u8]) -> bool) {
    let octets = repeated(b"any octet\n.\n", LARGE);
    let command = format!("BDAT {LARGE} LAST\r\n").into_bytes();
    let mut session = session(DEFAULT);
    play(&mut session, OPENING);
    group.throughput(rate(3, LARGE));
    group.bench_function(name, |bench| {
        bench.iter(|| {
            let commands = play(&mut session, ENVELOPE) + play(&mut session, &[(&command, b"")]);
            assert_eq!(commands, 3);
            for segment in octets.chunks(SEGMENT) {
                assert!(passes(&mut session, segment));
            }
            play(&mut session, TAKEN);
        });
    });
}

/// What follows STARTTLS that is the server's own affair.
fn opaque(group: &mut Group<'_>) {
    let octets = repeated(b"\x17\x03\x03", LARGE);
    let mut session = session(DEFAULT);
    play(&mut session, OPENING);
    play(&mut session, &[(b"STARTTLS\r\n", b"220 2.0.0 Ready\r\n")]);
    assert!(session.is_opaque());
    group.throughput(rate((LARGE.div_ceil(SEGMENT)) as u64, LARGE));
    group.bench_function("10 MB of an opaque session", |bench| {
        bench.iter(|| {
            for segment in octets.chunks(SEGMENT) {
                assert!(offered(&mut session, segment));
            }
        });
    });
}
