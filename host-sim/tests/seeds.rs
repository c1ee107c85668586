//! Runs whose order a seed chooses: the same again, others for other seeds, and
//! never against what Envoy keeps.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{calling_filter, filter, local, log_texts, pass_through, peer};
use portcullis_host_sim::mta::{Mailboxes, SimulatedMta};
use portcullis_host_sim::{
    Builder, ConnId, FilterModule, Heard, HttpAnswer, HttpRequest, Said, SeedError, Simulator,
    for_seeds,
};

/// The longest something is on its way, as `Builder::seed` says.
const LONGEST_WAY: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(1);

/// Every worker ticks, and every connection puts an item into the one queue.
const BUSY: &str = r#"
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (drop (call $register (i32.const 120) (i32.const 3) (i32.const 200)))
  (drop (call $tick (i32.const 1))) (i32.const 1))
(func (export "proxy_on_tick") (param i32) (call $say (i32.const 50)))
(func (export "proxy_on_new_connection") (param i32) (result i32)
  (drop (call $enqueue (i32.load (i32.const 200)) (i32.const 125) (i32.const 5))) (i32.const 0))
(func (export "proxy_on_queue_ready") (param i32 i32)
  (call $say (call $dequeue (local.get 1) (i32.const 204) (i32.const 208))))"#;

/// Adds one to a shared number at every connection, in a loop until nobody else
/// was faster; says what it became.
const COUNT: &str = r#"
(func $get (result i32)
  (call $get_shared (i32.const 120) (i32.const 3) (i32.const 200) (i32.const 204) (i32.const 208)))
(func $count (result i32)
  (i32.store (i32.const 220) (i32.const 1))
  (if (i32.eqz (call $get))
    (then (i32.store (i32.const 220) (i32.add (i32.const 1) (i32.load (i32.load (i32.const 200)))))))
  (call $set_shared (i32.const 120) (i32.const 3) (i32.const 220) (i32.const 4) (i32.load (i32.const 208))))
(func (export "proxy_on_new_connection") (param i32) (result i32)
  (loop $again (br_if $again (call $count)))
  (call $say (i32.load (i32.const 220))) (i32.const 0))"#;

fn seeded(module: &FilterModule, seed: u64) -> Builder {
    Simulator::builder_for(module).workers(2).seed(seed)
}

fn quiet(sim: &mut Simulator) {
    assert!(sim.advance_until_quiet(PATIENCE));
}

fn open_many(sim: &mut Simulator, count: usize) -> Vec<ConnId> {
    (0..count).map(|_| sim.open(peer(), local())).collect()
}

/// Ten connections whose sides both write, and the ticks of ten milliseconds.
fn busy_run(module: &FilterModule, seed: u64) -> String {
    let mut sim = seeded(module, seed).build().unwrap();
    for conn in open_many(&mut sim, 10) {
        sim.client_write(conn, b"EHLO a\r\n");
        sim.server_write(conn, b"220 ready\r\n");
    }
    sim.advance(Duration::from_millis(10));
    sim.trace()
}

#[test]
fn one_seed_is_one_trace_and_others_are_others() {
    let module = filter(BUSY);
    let mut traces = BTreeSet::new();
    for seed in 0..20 {
        let trace = busy_run(&module, seed);
        assert_eq!(trace, busy_run(&module, seed));
        for part in [
            " C> EHLO", " S< EHLO", " C< 220", " tick", " queue", "info: 50",
        ] {
            assert!(trace.contains(part), "no {part:?} in:\n{trace}");
        }
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 20);
}

#[test]
fn the_bytes_of_each_side_stay_in_order() -> Result<(), SeedError> {
    for_seeds(0..50, |seed| {
        let mut sim = seeded(&pass_through(), seed).build().unwrap();
        let conns = open_many(&mut sim, 6);
        let mut sent = Vec::new();
        for number in 0..10 {
            let line = format!("line {number}\r\n");
            for conn in &conns {
                sim.client_write(*conn, line.as_bytes());
                sim.server_write(*conn, line.as_bytes());
            }
            sent.extend(line.into_bytes());
            let pause = sim.draw(0..=100);
            sim.advance(Duration::from_micros(pause));
        }
        for conn in &conns {
            sim.client_half_close(*conn);
            sim.server_half_close(*conn);
        }
        quiet(&mut sim);
        for conn in conns {
            assert_eq!(sim.client_inbox(conn).bytes(), sent);
            assert_eq!(sim.server_inbox(conn).bytes(), sent);
            assert!(sim.summary(conn).is_some());
        }
        assert_eq!(sim.server_connections(), 6);
    })
}

#[test]
fn nothing_happens_before_the_clock_moves() {
    let mut sim = seeded(&pass_through(), 3).build().unwrap();
    let conn = sim.open(peer(), local());
    sim.client_write(conn, b"EHLO a\r\n");
    assert!(sim.server_inbox(conn).pieces.is_empty());
    assert_eq!(sim.server_connections(), 0);
    sim.advance(LONGEST_WAY * 2);
    assert_eq!(sim.server_inbox(conn).bytes(), b"EHLO a\r\n");
    assert_eq!(sim.until_next_event(), None);
}

#[test]
fn the_seed_chooses_the_worker_unless_it_is_named() {
    let workers = |seed| -> Vec<usize> {
        let mut sim = seeded(&pass_through(), seed).build().unwrap();
        let conns = open_many(&mut sim, 12);
        assert_eq!(sim.open_on(1, peer(), local()).worker, 1);
        conns.iter().map(|conn| conn.worker).collect()
    };
    assert_eq!(workers(1), workers(1));
    assert_ne!(workers(1), workers(2));
    assert_eq!(
        workers(1).into_iter().collect::<BTreeSet<_>>(),
        [0, 1].into()
    );
}

#[test]
fn each_worker_takes_its_connections_in_the_order_they_came() -> Result<(), SeedError> {
    let module = filter(
        r#"(func (export "proxy_on_new_connection") (param $context i32) (result i32)
             (call $say (local.get $context)) (i32.const 0))"#,
    );
    for_seeds(0..30, |seed| {
        let mut sim = seeded(&module, seed).build().unwrap();
        open_many(&mut sim, 20);
        quiet(&mut sim);
        for worker in [0, 1] {
            let logs = sim.logs().iter().filter(|line| line.worker == worker);
            let contexts: Vec<_> = logs.map(|line| &line.text).collect();
            assert!(contexts.is_sorted(), "{contexts:?}");
        }
    })
}

/// The order of the workers in what was logged at one time.
fn workers_of(sim: &Simulator) -> Vec<usize> {
    sim.logs().iter().map(|line| line.worker).collect()
}

#[test]
fn ticks_at_one_time_come_in_either_order() {
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $tick (i32.const 5))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) (call $say (i32.const 7)))"#,
    );
    let orders: BTreeSet<_> = (0..30)
        .map(|seed| {
            let mut sim = seeded(&module, seed).build().unwrap();
            sim.advance(Duration::from_millis(5));
            assert!(
                sim.logs()
                    .iter()
                    .all(|line| sim.since_start(line.at).as_millis() == 5)
            );
            workers_of(&sim)
        })
        .collect();
    assert_eq!(orders, [vec![0, 1], vec![1, 0]].into());
}

#[test]
fn connections_of_two_workers_come_in_either_order() {
    let module = filter(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (i32.const 1)) (i32.const 0))"#,
    );
    let orders: BTreeSet<_> = (0..30)
        .map(|seed| {
            let mut sim = seeded(&module, seed).build().unwrap();
            sim.open_on(0, peer(), local());
            sim.open_on(1, peer(), local());
            quiet(&mut sim);
            workers_of(&sim)
        })
        .collect();
    assert_eq!(orders, [vec![0, 1], vec![1, 0]].into());
}

#[test]
fn answers_to_two_workers_come_in_either_order() {
    let module = calling_filter(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (drop (call $ask (i32.const 100))) (i32.const 0))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
             (call $say (i32.const 2)))"#,
    );
    let orders: BTreeSet<_> = (0..30)
        .map(|seed| {
            let answer =
                |_: &HttpRequest| HttpAnswer::respond(200, &[], "").after(Duration::from_millis(3));
            let mut sim = seeded(&module, seed)
                .cluster("names", answer)
                .build()
                .unwrap();
            sim.open_on(0, peer(), local());
            sim.open_on(1, peer(), local());
            quiet(&mut sim);
            let late = Duration::from_millis(3) + LONGEST_WAY * 2;
            assert!(sim.elapsed() <= late, "{:?}", sim.elapsed());
            workers_of(&sim)
        })
        .collect();
    assert_eq!(orders, [vec![0, 1], vec![1, 0]].into());
}

#[test]
fn a_queues_items_take_their_time_and_keep_their_order() -> Result<(), SeedError> {
    // Each line of a client goes into the queue; the consumer logs what it takes out.
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 120) (i32.const 3) (i32.const 200))) (i32.const 1))
           (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (drop (call $get_buffer (i32.const 2) (i32.const 0) (local.get 1) (i32.const 204) (i32.const 208)))
             (drop (call $enqueue (i32.load (i32.const 200)) (i32.load (i32.const 204)) (i32.load (i32.const 208))))
             (i32.const 0))
           (func (export "proxy_on_queue_ready") (param i32 i32)
             (drop (call $dequeue (local.get 1) (i32.const 204) (i32.const 208)))
             (drop (call $log (i32.const 2) (i32.load (i32.const 204)) (i32.load (i32.const 208)))))"#,
    );
    for_seeds(0..20, |seed| {
        let mut sim = seeded(&module, seed).build().unwrap();
        let conn = sim.open_on(0, peer(), local());
        for number in 0..10 {
            sim.client_write(conn, number.to_string().as_bytes());
        }
        quiet(&mut sim);
        assert_eq!(log_texts(&sim).concat(), "0123456789");
        assert!(sim.logs().iter().all(|line| line.worker == 1));
        let passed = sim.server_inbox(conn).pieces;
        let late = sim.logs().iter().zip(&passed);
        let late: Vec<_> = late
            .map(|(line, piece)| sim.since_start(line.at) - piece.at)
            .collect();
        assert!(late.iter().all(|late| *late <= LONGEST_WAY), "{late:?}");
        assert!(late.iter().any(|late| *late > Duration::ZERO), "{late:?}");
    })
}

#[test]
fn contention_makes_loops_turn_and_lets_them_end() {
    let module = filter(COUNT);
    let mut contentions = 0;
    for seed in 0..20 {
        let mut sim = seeded(&module, seed).contention(60).build().unwrap();
        open_many(&mut sim, 12);
        quiet(&mut sim);
        let expected: Vec<String> = (1..=12).map(|number| format!("{number:02}")).collect();
        assert_eq!(log_texts(&sim), expected);
        let noted = sim.trace().matches(" contended ").count() as u64;
        assert_eq!(noted > 0, sim.contentions() > 0);
        contentions += sim.contentions();
    }
    assert!(contentions > 20, "{contentions}");
}

#[test]
fn contention_shows_a_loop_that_is_missing() {
    let once = COUNT.replace("br_if $again (call $count)", "drop (call $count)");
    let last = |percent: u8| {
        let builder = Simulator::builder_for(&filter(&once)).workers(2);
        let mut sim = builder.contention(percent).build().unwrap();
        open_many(&mut sim, 12);
        log_texts(&sim).last().unwrap().to_string()
    };
    assert_eq!(last(0), "12");
    assert_ne!(last(60), "12");
}

#[test]
fn a_server_answers_within_its_delay_and_in_order() -> Result<(), SeedError> {
    let (soon, late) = (Duration::from_millis(5), Duration::from_millis(9));
    for_seeds(0..20, |seed| {
        let echo = |_: ConnId, heard: Heard<'_>| match heard {
            Heard::Connected => Said::bytes("220 ready\r\n"),
            Heard::Bytes(bytes) => Said::bytes(bytes),
            Heard::Ended => Said::nothing().and_close(),
            Heard::Gone => Said::bytes("nobody reads this"),
        };
        let builder = seeded(&pass_through(), seed).responder(echo);
        let mut sim = builder.server_delay(soon..=late).build().unwrap();
        let conn = sim.open(peer(), local());
        for line in ["a", "b", "c", "d"] {
            sim.client_write(conn, line.as_bytes());
        }
        sim.client_half_close(conn);
        quiet(&mut sim);
        let (read, written) = (sim.client_inbox(conn), sim.server_inbox(conn));
        assert_eq!(read.bytes(), b"220 ready\r\nabcd");
        assert!(read.ended.is_some() && sim.summary(conn).is_some());
        let answers = read.pieces.iter().skip(1).zip(&written.pieces);
        for (answer, question) in answers {
            let took = answer.at - question.at;
            assert!(took >= soon && took <= late + LONGEST_WAY, "{took:?}");
        }
    })
}

#[test]
fn a_server_answers_in_the_fixed_order_too() {
    let mta = || SimulatedMta::new(Mailboxes::new("example.test", ["alice"]));
    let builder = Simulator::builder_for(&pass_through()).responder(mta());
    let mut sim = builder.build().unwrap();
    let conn = sim.open(peer(), local());
    assert!(sim.take_client(conn).bytes.starts_with(b"220 example.test"));
    sim.client_write(conn, b"NOOP\r\n");
    assert_eq!(sim.take_client(conn).bytes, b"250 2.0.0 Nothing done\r\n");
    sim.client_write(conn, b"QUIT\r\n");
    assert_eq!(sim.take_client(conn).bytes, b"221 2.0.0 Bye\r\n");
    sim.client_half_close(conn);
    assert!(sim.summary(conn).is_some());

    let delay = Duration::from_millis(2);
    let builder = Simulator::builder_for(&pass_through()).responder(mta());
    let mut sim = builder.server_delay(delay..=delay).build().unwrap();
    let conn = sim.open(peer(), local());
    assert!(sim.take_client(conn).bytes.is_empty());
    quiet(&mut sim);
    assert_eq!(sim.client_inbox(conn).pieces[0].at, delay);
}

#[test]
fn a_client_that_leaves_on_the_way_is_gone() {
    let (mut dialogues, mut early) = (0, 0);
    for seed in 0..40 {
        let mta = SimulatedMta::new(Mailboxes::new("example.test", ["alice"]));
        let stats = mta.stats();
        let mut sim = seeded(&pass_through(), seed)
            .responder(mta)
            .build()
            .unwrap();
        let conn = sim.open(peer(), local());
        let pause = sim.draw(0..=300);
        sim.advance(Duration::from_micros(pause));
        sim.client_abort(conn);
        quiet(&mut sim);
        assert!(sim.summary(conn).is_some());
        dialogues += stats.snapshot().connections;
        early += u64::from(sim.client_inbox(conn).pieces.is_empty());
    }
    assert!(dialogues > 0 && early > 0, "{dialogues} {early}");
}

#[test]
fn a_trap_under_a_seed_ends_one_connection_and_the_next_is_served() -> Result<(), SeedError> {
    let module = filter(
        r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (if (i32.eq (local.get 1) (i32.const 1)) (then (unreachable))) (i32.const 0))"#,
    );
    for_seeds(0..20, |seed| {
        let mut sim = seeded(&module, seed).workers(1).build().unwrap();
        let doomed = sim.open(peer(), local());
        sim.client_write(doomed, b"x");
        quiet(&mut sim);
        let next = sim.open(peer(), local());
        sim.client_write(next, b"EHLO a\r\n");
        quiet(&mut sim);
        assert_eq!(sim.server_inbox(next).bytes(), b"EHLO a\r\n");
        assert!(sim.trace().contains("trap in proxy_on_downstream_data"));
    })
}
