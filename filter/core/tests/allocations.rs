//! What passes takes no memory: not an allocation for a command, a reply or a piece of a message,
//! once a session has seen its first ones. A global allocator counts.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "the allocator's interface; tests say what they expect by failing"
)]

use portcullis_core::ledger::{Account, Entry, Heard};
use portcullis_core::policy::Policy;
use portcullis_core::session::Session;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

struct Counting;

thread_local! {
    // Constant, so that to read it takes no memory itself.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends frees what it had when the counter is gone already.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: by the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: by the caller's own promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by the caller's own promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What each side says, in turn.
type Dialogue<'a> = &'a [(&'a [u8], &'a [u8])];

const OPENING: Dialogue<'_> = &[
    (b"", b"220 mx.example.test ESMTP\r\n"),
    (
        b"EHLO client.example.test\r\n",
        b"250-mx.example.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    ),
];

/// A session of a client that is remembered, on a worker that remembers unknown names.
fn session() -> Session {
    let policy = Rc::new(Policy::read(b"{}").unwrap());
    let client = "203.0.113.7".parse().unwrap();
    let watch = Rc::new(policy.watch());
    watch.tell_time(1_000_000);
    watch.heard(
        policy.client(client),
        Some(b"nobody@example.test"),
        Heard::Unknown,
    );
    let account = Account::new(policy.client(client), Entry::default(), watch);
    let (mut session, _) = Session::new(policy, Some(client));
    session.charge_to(Rc::new(account));
    session
}

/// Plays a dialogue, all of which has to pass.
fn play(session: &mut Session, dialogue: Dialogue<'_>) {
    for (client, server) in dialogue {
        let said = session.client_bytes(client);
        assert!(*said.to_server == **client);
        let said = session.server_bytes(server);
        assert!(*said.to_client == **server);
    }
}

/// Allocations for a dialogue that has been had a few times.
fn allocations(dialogue: Dialogue<'_>) -> usize {
    let mut session = session();
    play(&mut session, OPENING);
    for _ in 0..4 {
        play(&mut session, dialogue);
    }
    let before = ALLOCATIONS.get();
    play(&mut session, dialogue);
    ALLOCATIONS.get() - before
}

#[test]
fn what_passes_takes_no_memory() {
    const OK: &[u8] = b"250 2.0.0 Ok\r\n";
    const MAIL: &[u8] = b"MAIL FROM:<sender@client.example.test> SIZE=4096\r\n";
    const RCPT: &[u8] = b"RCPT TO:<Alice@Example.Test>\r\n";
    let dialogues: [(&str, Dialogue<'_>); 6] = [
        (
            "a message",
            &[
                (MAIL, OK),
                (RCPT, OK),
                (b"DATA\r\n", b"354 go\r\n"),
                (b"Subject: x\r\n\r\n..dots\r\nx\r\n.\r\n", OK),
            ],
        ),
        (
            "pipelined commands",
            &[
                (
                    b"MAIL FROM:<a@client.test>\r\nRCPT TO:<a@example.test>\r\n\
                      RCPT TO:<b@example.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\n",
                    b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
                ),
                (b"x\r\n.\r\n", OK),
            ],
        ),
        (
            "chunks",
            &[
                (MAIL, OK),
                (RCPT, OK),
                (b"BDAT 5\r\nab\r\nc", OK),
                (b"BDAT 2 LAST\r\n\r\n", OK),
            ],
        ),
        (
            "commands without a message",
            &[
                (b"NOOP\r\n", OK),
                (b"VRFY alice\r\n", b"252 2.0.0 alice\r\n"),
                (b"RSET\r\n", OK),
                (b"EHLO again.test\r\n", b"250-mx\r\n250 CHUNKING\r\n"),
                (b"HELP\r\n", b"214-help\r\n214 is here\r\n"),
            ],
        ),
        (
            "recipients that are refused",
            &[
                (MAIL, OK),
                (
                    b"RCPT TO:<sales@example.test>\r\n",
                    b"450 4.2.0 Greylisted\r\n",
                ),
                (b"RSET\r\n", OK),
            ],
        ),
        (
            "a message in pieces",
            &[
                (MAIL, OK),
                (RCPT, OK),
                (b"DATA\r\n", b"354 go\r\n"),
                (b"a line\r\n.", b""),
                (b".\r", b""),
                (b"\n.\r\n", OK),
            ],
        ),
    ];
    for (name, dialogue) in dialogues {
        assert_eq!(allocations(dialogue), 0, "{name}");
    }
}

#[test]
fn allocations_are_counted() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
