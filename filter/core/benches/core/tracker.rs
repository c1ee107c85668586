//! The tracker alone, without a policy: what bytes are, and which reply answers what.

use crate::bulk::{BASE64_LINE, DOTTED_LINE, SEGMENT, body};
use crate::dialogues::{Dialogue, OPENING, SHAPES};
use crate::{Group, rate};
use criterion::{BatchSize, Criterion};
use portcullis_core::smtp::{Answer, Framed, Hello, ReplyLine, Tracker, Unit, frame};

const MAX_LINE: usize = 4096;
const MAX_OWED: usize = 1000;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracker");
    for (name, dialogue) in SHAPES {
        shape(&mut group, name, dialogue);
    }
    data(&mut group, "10 MB of DATA", BASE64_LINE);
    data(
        &mut group,
        "10 MB of DATA, a dot on every line",
        DOTTED_LINE,
    );
    group.finish();
    let mut group = criterion.benchmark_group("replies");
    recipients(&mut group, 1);
    recipients(&mut group, 100);
    hello(&mut group);
}

/// Sends on what a client says; how many commands it were.
fn send(tracker: &mut Tracker, bytes: &[u8]) -> u64 {
    let (mut at, mut commands) = (0, 0);
    while at < bytes.len() {
        match tracker.peek(&bytes[at..]) {
            Unit::Command { command, len, end } => {
                assert_eq!(tracker.doubt(), None);
                let answer = tracker.answer_to(&command);
                tracker.sent(&command, end, answer);
                at += len;
                commands += 1;
            }
            Unit::Payload => at += tracker.take_payload(&bytes[at..]).0,
            Unit::Partial => break,
        }
    }
    assert_eq!(at, bytes.len());
    commands
}

/// Takes whole replies; how many there were, and what the last of them answered.
fn reply(tracker: &mut Tracker, bytes: &[u8]) -> (u64, Option<Answer>) {
    let (mut at, mut head) = (0, 0);
    let (mut replies, mut answered) = (0, None);
    while let Framed::Line { content, len, .. } = frame(&bytes[at..], MAX_LINE) {
        let line = ReplyLine::parse(content).unwrap();
        at += len;
        if line.last {
            answered = tracker.replied(line.code, &bytes[head..at]);
            assert!(answered.is_some());
            head = at;
            replies += 1;
        }
    }
    assert_eq!(at, bytes.len());
    (replies, answered)
}

fn play(tracker: &mut Tracker, dialogue: Dialogue<'_>) -> u64 {
    let mut commands = 0;
    for (client, server) in dialogue {
        commands += send(tracker, client);
        reply(tracker, server);
    }
    assert!(tracker.owed().is_empty());
    commands
}

fn opened() -> Tracker {
    let mut tracker = Tracker::new(MAX_LINE, MAX_OWED);
    play(&mut tracker, OPENING);
    tracker
}

fn shape(group: &mut Group<'_>, name: &str, dialogue: Dialogue<'_>) {
    let mut tracker = opened();
    let commands = play(&mut tracker, dialogue);
    let both = |(client, server): &(&[u8], &[u8])| client.len() + server.len();
    group.throughput(rate(commands, dialogue.iter().map(both).sum()));
    group.bench_function(name, |bench| {
        bench.iter(|| assert_eq!(play(&mut tracker, dialogue), commands));
    });
}

/// One message and its reply.
fn data(group: &mut Group<'_>, name: &str, line: &[u8]) {
    let body = body(line);
    let mut tracker = opened();
    group.throughput(rate(1, body.len()));
    group.bench_function(name, |bench| {
        bench.iter(|| {
            assert_eq!(send(&mut tracker, b"DATA\r\n"), 1);
            reply(&mut tracker, b"354 go\r\n");
            for segment in body.chunks(SEGMENT) {
                assert!(tracker.in_body());
                assert_eq!(send(&mut tracker, segment), 0);
            }
            assert!(tracker.expects_command());
            assert_eq!(
                reply(&mut tracker, b"250 ok\r\n"),
                (1, Some(Answer::Message))
            );
        });
    });
}

/// Replies to so many recipients that were sent at once.
fn recipients(group: &mut Group<'_>, count: usize) {
    let mut owing = opened();
    send(
        &mut owing,
        &b"RCPT TO:<alice@example.test>\r\n".repeat(count),
    );
    let replies = b"250 2.1.5 Ok\r\n".repeat(count);
    group.throughput(rate(count as u64, replies.len()));
    group.bench_function(format!("to RCPT, {count} owed"), |bench| {
        bench.iter_batched_ref(
            || owing.clone(),
            |tracker| {
                let answered = reply(tracker, &replies);
                assert_eq!(answered, (count as u64, Some(Answer::Rcpt)));
                assert!(tracker.owed().is_empty());
            },
            BatchSize::SmallInput,
        );
    });
}

/// One reply of many lines, which are searched for what is offered.
fn hello(group: &mut Group<'_>) {
    const REPLY: &[u8] = b"250-mx.example.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n\
        250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n";
    let mut owing = opened();
    send(&mut owing, b"EHLO client.example.test\r\n");
    group.throughput(rate(1, REPLY.len()));
    group.bench_function("to EHLO, of seven lines", |bench| {
        bench.iter_batched_ref(
            || owing.clone(),
            |tracker| {
                let answered = reply(tracker, REPLY);
                assert_eq!(answered, (1, Some(Answer::Hello(Hello::Ehlo))));
            },
            BatchSize::SmallInput,
        );
    });
}
