//! What the core costs natively: `make bench-core`. Each bench holds what it measures against what
//! has to come out, in every iteration.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "benches say what they expect by failing"
)]

#[path = "../../tests/dialogues/mod.rs"]
mod dialogues;

mod bulk;
mod dnsbl;
mod ledger;
mod session;
mod slots;
mod tracker;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use std::time::Duration;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    session::benches(&mut criterion);
    tracker::benches(&mut criterion);
    ledger::benches(&mut criterion);
    slots::benches(&mut criterion);
    dnsbl::benches(&mut criterion);
    criterion.final_summary();
}

/// So many elements a second (commands, replies, calls), and the octets that they have.
fn rate(elements: u64, octets: usize) -> Throughput {
    Throughput::ElementsAndBytes {
        elements,
        bytes: octets as u64,
    }
}
