//! What passes takes no memory: not an allocation for a command, a reply or a piece of a message,
//! once a session has seen its first ones. A global allocator counts.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "the allocator's interface; tests say what they expect by failing"
)]

mod dialogues;

use dialogues::{Dialogue, OPENING, SHAPES, play, session};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

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

/// Allocations for a dialogue that has been had a few times.
fn allocations(dialogue: Dialogue<'_>) -> usize {
    let mut session = session(b"{}");
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
    for (name, dialogue) in SHAPES {
        assert_eq!(allocations(dialogue), 0, "{name}");
    }
}

#[test]
fn allocations_are_counted() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
