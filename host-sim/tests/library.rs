//! The library as anybody would use it: the example, and many simulators at once.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[path = "../examples/shout.rs"]
mod shout;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use portcullis_host_sim::{FilterModule, Piece, Simulator};

#[test]
fn the_example_sees_all_that_its_filter_does() {
    shout::main().unwrap();
}

/// A run whose trace depends on its seed, and on nothing else in the process.
fn run(module: &FilterModule, seed: u64) -> (String, Option<u64>) {
    let mut sim = Simulator::builder_for(module)
        .workers(2)
        .seed(seed)
        .segments(1..=4)
        .build()
        .unwrap();
    for port in 40_001..40_006 {
        let conn = sim.open(([203, 0, 113, 7], port).into(), ([192, 0, 2, 25], 7).into());
        sim.client_write(conn, b"hello world\n");
        sim.server_write(conn, b"hello yourself\n");
        sim.client_half_close(conn);
    }
    sim.advance(Duration::from_secs(3));
    (sim.trace(), sim.metrics().get("octets").copied())
}

#[test]
fn many_simulators_run_in_one_process_at_once() {
    let module =
        FilterModule::from_bytes(&wat::parse_str(include_str!("../examples/shout.wat")).unwrap())
            .unwrap();
    let seeds = || 0..8;
    let alone: Vec<_> = seeds().map(|seed| run(&module, seed)).collect();
    let together: Vec<_> = thread::scope(|scope| {
        let module = &module;
        let threads: Vec<_> = seeds()
            .map(|seed| scope.spawn(move || run(module, seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(together, alone);
    assert!(alone.iter().all(|(_, octets)| *octets == Some(60)));
    let traces: BTreeSet<_> = alone.iter().map(|(trace, _)| trace).collect();
    assert_eq!(traces.len(), 8);
}

#[test]
fn a_seed_cuts_what_both_sides_write() {
    let module =
        FilterModule::from_bytes(&wat::parse_str(include_str!("../examples/shout.wat")).unwrap())
            .unwrap();
    let mut sizes = BTreeSet::new();
    let mut apart = 0;
    for seed in 0..20 {
        let mut sim = Simulator::builder_for(&module)
            .seed(seed)
            .segments(2..=5)
            .build()
            .unwrap();
        let conn = sim.open(([203, 0, 113, 7], 1).into(), ([192, 0, 2, 25], 7).into());
        sim.client_write(conn, &[b'a'; 50]);
        sim.server_write(conn, &[b'b'; 50]);
        sim.client_write(conn, b"");
        assert!(sim.advance_until_quiet(Duration::from_secs(1)));
        for inbox in [sim.client_inbox(conn), sim.server_inbox(conn)] {
            assert_eq!(inbox.bytes().len(), 50);
            sizes.extend(
                inbox
                    .pieces
                    .iter()
                    .rev()
                    .skip(1)
                    .map(|piece| piece.bytes.len()),
            );
            let at = |piece: Option<&Piece>| piece.unwrap().at;
            apart += u32::from(at(inbox.pieces.first()) < at(inbox.pieces.last()));
        }
    }
    // What arrives before the server is reached is read together.
    assert!(
        sizes.is_superset(&BTreeSet::from([2, 3, 4, 5])),
        "{sizes:?}"
    );
    // Nothing overtakes the slowest, which may be the first.
    assert!(apart > 20, "{apart} of 40");
}
