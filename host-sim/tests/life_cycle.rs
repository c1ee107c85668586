//! Loading, configuring, sharing between workers, trapping.

mod common;

use std::time::Duration;

use common::{filter, local, log_texts, peer, simulate};
use portcullis_host_sim::{
    AbiVersion, CloseReason, FailurePolicy, FilterModule, HostError, ServerState, Simulator,
    Timestamp,
};

/// Traps when the client says something of one byte.
const TRAP_ON_ONE_BYTE: &str = r#"
(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
  (if (i32.eq (local.get 1) (i32.const 1)) (then (unreachable))) (i32.const 0))"#;

#[test]
fn an_unknown_import_is_named() {
    let module = r#"(module (import "env" "proxy_teleport" (func)) (memory (export "memory") 1))"#;
    let error = FilterModule::from_bytes(&wat::parse_str(module).unwrap()).err();
    let Some(HostError::UnknownImport { module, name }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((module.as_str(), name.as_str()), ("env", "proxy_teleport"));
}

#[test]
fn what_is_no_filter_is_refused_with_a_reason() {
    let error = FilterModule::from_bytes(b"no wasm").err();
    assert!(
        matches!(error, Some(HostError::Compile { .. })),
        "{error:?}"
    );
    let error = FilterModule::from_file("/nonexistent.wasm".as_ref()).err();
    assert!(matches!(error, Some(HostError::Read { .. })), "{error:?}");
    let bare = FilterModule::from_bytes(&wat::parse_str("(module)").unwrap()).unwrap();
    let error = Simulator::builder_for(&bare).build().err();
    assert!(
        matches!(error, Some(HostError::MissingExport { name: "memory" })),
        "{error:?}"
    );
}

#[test]
fn a_refused_configuration_says_what_the_filter_logged() {
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (call $say (local.get 1)) (i32.const 0))"#,
    );
    let error = Simulator::builder_for(&module)
        .plugin_config(b"{bad}")
        .build()
        .err();
    let Some(HostError::ConfigurationRefused { callback, log }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((callback, log.as_str()), ("proxy_on_configure", "05"));
}

#[test]
fn a_trap_while_starting_is_an_error_too() {
    let module = filter(r#"(func (export "_initialize") unreachable)"#);
    let error = Simulator::builder_for(&module).build().err();
    let starting = matches!(&error, Some(HostError::StartTrapped { callback: "_initialize", message }) if message.contains("unreachable"));
    assert!(starting, "{error:?}");
}

#[test]
fn a_trap_ends_its_connection_now_and_the_vms_others_at_their_next_data() {
    let (mut sim, first) = simulate(TRAP_ON_ONE_BYTE);
    let second = sim.open(peer(), local());
    sim.client_write(second, b"x");
    assert_eq!(sim.summary(second).unwrap().reason, CloseReason::Trap);
    assert_eq!(sim.traps().len(), 1);
    assert_eq!(sim.traps()[0].callback, "proxy_on_downstream_data");
    assert!(
        sim.traps()[0].message.contains("unreachable"),
        "{:?}",
        sim.traps()
    );
    assert!(sim.summary(first).is_none(), "nothing happened to it yet");

    let third = sim.open(peer(), local());
    sim.client_write(third, b"EHLO a\r\n");
    assert_eq!(
        sim.server_inbox(third).bytes(),
        b"EHLO a\r\n",
        "a new VM serves"
    );
    sim.server_write(first, b"250 ok\r\n");
    assert_eq!(sim.summary(first).unwrap().reason, CloseReason::Trap);
    assert!(sim.take_client(first).ended);
    sim.client_write(third, b"QUIT\r\n");
    assert!(
        sim.summary(third).is_none(),
        "the new VM's connection lives on"
    );
}

#[test]
fn compare_and_swap_through_the_hostcalls() {
    // Statuses of: get (none there), set with a cas on a new key, set with a stale
    // cas, set with cas 0, get; then the sizes read.
    let (sim, _) = simulate(
        r#"(func $get (result i32)
             (call $get_shared (i32.const 120) (i32.const 3) (i32.const 200) (i32.const 204) (i32.const 208)))
           (func $set (param i32) (result i32)
             (call $set_shared (i32.const 120) (i32.const 3) (i32.const 125) (i32.const 5) (local.get 0)))
           (func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (call $get)) (call $say (call $set (i32.const 99)))
             (call $say (call $set (i32.const 98))) (call $say (call $set (i32.const 0)))
             (call $say (call $get)) (call $say (i32.load (i32.const 204)))
             (call $say (call $set (i32.load (i32.const 208))))
             (i32.const 0))"#,
    );
    assert_eq!(log_texts(&sim), ["01", "00", "08", "00", "00", "05", "00"]);
}

#[test]
fn a_queue_has_one_consumer_among_the_workers() {
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register (i32.const 120) (i32.const 3) (i32.const 200))) (i32.const 1))
           (func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (call $enqueue (i32.load (i32.const 200)) (i32.const 125) (i32.const 5)))
             (i32.const 0))
           (func (export "proxy_on_queue_ready") (param i32 i32)
             (call $say (call $dequeue (local.get 1) (i32.const 204) (i32.const 208)))
             (call $say (i32.load (i32.const 208)))
             (call $say (call $dequeue (local.get 1) (i32.const 204) (i32.const 208))))"#,
    );
    let mut sim = Simulator::builder_for(&module).workers(2).build().unwrap();
    sim.open_on(0, peer(), local());
    let seen: Vec<(usize, &str)> = sim
        .logs()
        .iter()
        .map(|line| (line.worker, line.text.as_str()))
        .collect();
    assert_eq!(seen, [(0, "00"), (1, "00"), (1, "05"), (1, "07")]);
}

#[test]
fn ticks_follow_the_virtual_clock_on_every_worker() {
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $tick (i32.const 30))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) (call $say (i32.const 7)))"#,
    );
    let mut sim = Simulator::builder_for(&module).workers(2).build().unwrap();
    sim.advance(Duration::from_millis(29));
    assert!(sim.logs().is_empty());
    sim.advance(Duration::from_millis(71));
    let seen: Vec<(u128, usize)> = sim
        .logs()
        .iter()
        .map(|line| (sim.since_start(line.at).as_millis(), line.worker))
        .collect();
    assert_eq!(seen, [(30, 0), (30, 1), (60, 0), (60, 1), (90, 0), (90, 1)]);
    assert_eq!(sim.elapsed(), Duration::from_millis(100));
}

#[test]
fn a_gone_context_is_refused_and_the_one_before_stays() {
    // Sets a property as context 2, whatever happens after a bad choice.
    let (mut sim, conn) = simulate(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $tick (i32.const 1))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (call $say (call $act_as (i32.const 2))) (call $say (call $act_as (i32.const 77)))
             (call $say (call $set_property (i32.const 130) (i32.const 7) (i32.const 125) (i32.const 5))))"#,
    );
    sim.advance(Duration::from_millis(1));
    assert_eq!(log_texts(&sim), ["00", "02", "00"]);
    assert_eq!(sim.properties(conn)["verdict"], b"value");
}

#[test]
fn properties_can_be_read_and_set_until_the_log_callback() {
    let (mut sim, conn) = simulate(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (call $get_property (i32.const 140) (i32.const 15) (i32.const 200) (i32.const 204)))
             (drop (call $log (i32.const 2) (i32.load (i32.const 200)) (i32.load (i32.const 204))))
             (call $say (call $get_property (i32.const 130) (i32.const 7) (i32.const 200) (i32.const 204)))
             (i32.const 0))
           (func (export "proxy_on_log") (param i32)
             (drop (call $set_property (i32.const 130) (i32.const 7) (i32.const 125) (i32.const 5)))
             (call $say (call $get_property (i32.const 130) (i32.const 7) (i32.const 200) (i32.const 204))))"#,
    );
    sim.client_abort(conn);
    assert_eq!(log_texts(&sim), ["00", "203.0.113.7:40001", "01", "00"]);
    assert_eq!(sim.summary(conn).unwrap().properties["verdict"], b"value");
}

#[test]
fn connections_can_be_given_properties_each_its_own() {
    let module = filter(
        r#"(data (i32.const 600) "connection\00requested_server_name")
           (func (export "proxy_on_new_connection") (param i32) (result i32)
             (call $say (call $get_property (i32.const 600) (i32.const 32) (i32.const 200) (i32.const 204)))
             (drop (call $log (i32.const 2) (i32.load (i32.const 200)) (i32.load (i32.const 204))))
             (i32.const 0))"#,
    );
    for seed in [None, Some(7)] {
        let mut builder = Simulator::builder_for(&module);
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        let mut sim = builder.build().unwrap();
        let [client, server] = [40_001, 25].map(|port| ([203, 0, 113, 7], port).into());
        sim.open(client, server);
        for name in ["mx.example.test", "mail.example.test"] {
            sim.give_property(&["connection", "requested_server_name"], name.as_bytes());
            sim.open(client, server);
        }
        sim.advance(Duration::from_millis(1));
        let expected = ["00", "", "00", "mx.example.test", "00", "mail.example.test"];
        assert_eq!(log_texts(&sim), expected);
    }
}

#[test]
fn the_same_calls_give_the_same_results() {
    let run = || {
        let (mut sim, conn) = simulate(TRAP_ON_ONE_BYTE);
        sim.client_write(conn, b"EHLO a\r\n");
        sim.server_write(conn, b"250 ok\r\n");
        sim.advance(Duration::from_secs(1));
        (
            sim.client_inbox(conn),
            sim.server_inbox(conn),
            sim.wasm_memory_bytes(),
        )
    };
    assert_eq!(run(), run());
    assert_eq!(run().2, 16 * 64 * 1024);
}

/// Says the version of the ABI by this export.
fn speaking(version: &str) -> Result<FilterModule, HostError> {
    let module = format!(
        r#"(module (import "env" "proxy_get_log_level" (func (param i32) (result i32)))
             (memory (export "memory") 1) (func (export "{version}"))
             (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0))"#
    );
    FilterModule::from_bytes(&wat::parse_str(module).unwrap_or_default())
}

#[test]
fn each_version_of_the_abi_has_its_own_hostcalls() {
    let newest = speaking("proxy_abi_version_0_2_1").unwrap();
    assert_eq!(newest.abi_version(), AbiVersion::V0_2_1);
    let older = speaking("proxy_abi_version_0_2_0").err();
    assert!(
        matches!(&older, Some(HostError::UnknownImport { name, .. }) if name == "proxy_get_log_level"),
        "{older:?}"
    );
    let other = speaking("proxy_abi_version_0_1_0").err();
    assert!(
        matches!(&other, Some(HostError::UnknownAbi { version }) if version == "0.1.0"),
        "{other:?}"
    );
}

#[test]
fn after_a_trap_new_connections_meet_the_failure_policy() {
    let module = filter(TRAP_ON_ONE_BYTE);
    let after = |policy, wait| {
        let mut sim = Simulator::builder_for(&module)
            .failure_policy(policy)
            .build()
            .unwrap();
        let first = sim.open(peer(), local());
        sim.advance(Duration::from_secs(60));
        let second = sim.open(peer(), local());
        for conn in [first, second] {
            sim.client_write(conn, b"x");
            sim.advance(wait);
        }
        let third = sim.open(peer(), local());
        sim.client_write(third, b"EHLO a\r\n");
        (sim.server_inbox(third).bytes().len(), sim.traps().len())
    };
    let reload = FailurePolicy::Reload {
        base_interval: Duration::from_secs(1),
    };
    let long = Duration::from_secs(1);
    assert_eq!(after(FailurePolicy::Closed, long), (0, 1));
    assert_eq!(after(FailurePolicy::Open, long), (8, 1));
    assert_eq!(after(reload, long), (8, 1));
}

#[test]
fn a_vm_is_loaded_no_more_often_than_the_backoff_allows() {
    let module = filter(TRAP_ON_ONE_BYTE);
    let mut sim = Simulator::builder_for(&module)
        .failure_policy(FailurePolicy::Reload {
            base_interval: Duration::from_secs(1),
        })
        .build()
        .unwrap();
    let mut served = |wait| {
        sim.advance(Duration::from_millis(wait));
        let conn = sim.open(peer(), local());
        sim.client_write(conn, b"x");
        sim.traps().len()
    };
    assert_eq!(served(2000), 1, "the first VM traps");
    assert_eq!(
        served(1),
        2,
        "loaded long ago, so it is loaded anew, and traps"
    );
    assert_eq!(served(999), 2, "too early");
    assert_eq!(served(1), 3);
}

#[test]
fn the_wall_clock_jumps_and_ticks_do_not_notice() {
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $tick (i32.const 1000))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) (drop (call $now (i32.const 200)))
             (call $say (i32.wrap_i64 (i64.div_u (i64.load (i32.const 200)) (i64.const 1000000000)))))"#,
    );
    let start = Timestamp::from_unix(Duration::from_secs(10));
    let mut sim = Simulator::builder_for(&module)
        .start_at(start)
        .build()
        .unwrap();
    sim.advance(Duration::from_secs(1));
    sim.set_wall_clock(Timestamp::from_unix(Duration::from_secs(60)));
    sim.advance(Duration::from_secs(1));
    sim.set_wall_clock(Timestamp::from_unix(Duration::from_secs(5)));
    sim.advance(Duration::from_secs(2));
    assert_eq!(log_texts(&sim), ["11", "61", "06", "07"]);
    assert_eq!(sim.elapsed(), Duration::from_secs(4));
}

#[test]
fn a_server_that_is_not_there_ends_the_connection_and_a_silent_one_does_later() {
    let (mut sim, _) = simulate("");
    sim.set_server(ServerState::Refusing);
    let refused = sim.open(peer(), local());
    assert_eq!(
        sim.summary(refused).unwrap().reason,
        CloseReason::ConnectFailed
    );
    sim.set_server(ServerState::Silent);
    let silent = sim.open(peer(), local());
    sim.advance(Duration::from_millis(4999));
    assert!(sim.summary(silent).is_none() && !sim.reached_server(silent));
    sim.advance(Duration::from_millis(1));
    assert_eq!(
        sim.summary(silent).unwrap().reason,
        CloseReason::ConnectFailed
    );
}
