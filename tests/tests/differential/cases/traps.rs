//! What comes after a trap.

use std::time::Duration;

use crate::case::{Case, On, OnTrap, client, client_resets, open, pass, server, server_ends};
use crate::hostcalls::{Do, get_shared, pause, set_shared, set_tick};

/// The shortest that there is: with 1 ms Envoy divides by zero and dies.
const SOON: OnTrap = OnTrap::Reload(Duration::from_millis(2));
const LATE: OnTrap = OnTrap::Reload(Duration::from_secs(3600));

pub(crate) fn cases() -> Vec<Case> {
    [policies(), callbacks()].into_iter().flatten().collect()
}

/// The first connection is there, the second traps, the third and fourth come later.
fn policies() -> Vec<Case> {
    let after = |name, policy| {
        Case::new(name)
            .on_trap(policy)
            .on(
                On::NewConnection,
                [get_shared("key"), set_shared("key", "kept", 0)],
            )
            .on_nth(On::DownstreamData, 2, [Do::Trap])
            .steps([
                open(),
                open().of(1),
                client("passes"),
                client("traps").of(1),
                pass(10),
                open().of(2),
                client("third").of(2),
                server("to the third").of(2),
                client("goes on"),
                open().of(3),
                client("fourth").of(3),
                server("to the fourth").of(3),
                client_resets().of(3),
            ])
    };
    vec![
        after("trap_fail_closed", OnTrap::Closed),
        after("trap_fail_open", OnTrap::Open),
        after("trap_fail_reload", SOON),
        after("trap_fail_reload_in_backoff", LATE),
        Case::new("trap_and_the_server_talks")
            .on_nth(On::DownstreamData, 1, [Do::Trap])
            .steps([
                open(),
                open().of(1),
                client("x").of(1),
                server("to the first"),
            ]),
        Case::new("trap_and_the_server_ends")
            .on_nth(On::DownstreamData, 1, [Do::Trap])
            .steps([open(), open().of(1), client("x").of(1), server_ends()]),
        Case::new("trap_and_the_client_resets")
            .on_nth(On::DownstreamData, 1, [Do::Trap])
            .steps([open(), open().of(1), client("x").of(1), client_resets()]),
    ]
}

fn callbacks() -> Vec<Case> {
    let traps = |name, on, time| Case::new(name).on_trap(SOON).on_nth(on, time, [Do::Trap]);
    vec![
        traps("trap_in_context_create", On::ContextCreate, 2).steps([
            pass(10),
            open(),
            pass(10),
            open().of(1),
        ]),
        traps("trap_in_new_connection", On::NewConnection, 2).steps([
            pass(10),
            open(),
            open().of(1),
            pass(10),
            open().of(2),
            client("x").of(2),
        ]),
        traps("trap_in_upstream_data", On::UpstreamData, 1).steps([
            open(),
            server("lost"),
            pass(10),
            open().of(1),
            client("x").of(1),
        ]),
        traps("trap_in_downstream_close", On::DownstreamClose, 1).steps([
            open(),
            client_resets(),
            pass(10),
            open().of(1),
            client("x").of(1),
        ]),
        traps("trap_in_log", On::Log, 1).steps([
            open(),
            client_resets(),
            pass(10),
            open().of(1),
            client("x").of(1),
        ]),
        traps("trap_in_a_tick", On::Tick, 1)
            .on(On::DownstreamData, [set_tick(5)])
            .steps([
                open(),
                client("x"),
                pass(20),
                client("ends"),
                open().of(1),
                server("y").of(1),
            ]),
        Case::new("trap_while_another_is_held")
            .on_nth(On::NewConnection, 1, [pause()])
            .on(On::DownstreamData, [Do::Trap])
            .steps([open(), open().of(1), client("x").of(1), client("held")]),
    ]
}
