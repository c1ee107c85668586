//! Reading and changing buffers.

use crate::case::{Case, On, client, client_ends, open, pass, server, server_ends};
use crate::hostcalls::{
    ALL, CALL_BODY, CALL_DATA, DOWNSTREAM, Do, GRPC_MESSAGE, PLUGIN_CONFIGURATION, UPSTREAM,
    VM_CONFIGURATION, act_as, buffer_status, get_buffer, pause, set_buffer, set_tick,
};

pub(crate) fn cases() -> Vec<Case> {
    [reads(), changes(), out_of_reach(), others()]
        .into_iter()
        .flatten()
        .collect()
}

fn reads() -> Vec<Case> {
    let ranges = [
        (0, ALL),
        (0, 5),
        (0, 0),
        (1, 2),
        (3, 99),
        (5, 1),
        (5, 0),
        (6, 0),
        (6, 1),
        (1, -1),
    ];
    let reads = |kind| ranges.map(|(start, size)| get_buffer(kind, start, size));
    vec![
        Case::new("buffer_ranges_downstream")
            .on(On::DownstreamData, reads(DOWNSTREAM))
            .on(On::DownstreamData, [buffer_status(DOWNSTREAM)])
            .steps([open(), client("12345"), client_ends()]),
        Case::new("buffer_ranges_upstream")
            .on(On::UpstreamData, reads(UPSTREAM))
            .on(On::UpstreamData, [buffer_status(UPSTREAM)])
            .steps([open(), server("12345"), server_ends()]),
    ]
}

/// Changes in the client's first five bytes, and the same in the server's.
fn changes() -> Vec<Case> {
    let changing = |down: &'static str, up: &'static str, changes: &[(i32, i32, &str)]| {
        let set = |kind| -> Vec<Do> {
            let changes = changes.iter();
            changes
                .map(|(start, size, bytes)| set_buffer(kind, *start, *size, bytes))
                .collect()
        };
        let (mut downstream, mut upstream) = (set(DOWNSTREAM), set(UPSTREAM));
        downstream.push(get_buffer(DOWNSTREAM, 0, ALL));
        upstream.push(get_buffer(UPSTREAM, 0, ALL));
        [
            Case::new(down)
                .on_nth(On::DownstreamData, 1, downstream)
                .steps([open(), client("12345"), client("67")]),
            Case::new(up).on_nth(On::UpstreamData, 1, upstream).steps([
                open(),
                server("12345"),
                server("67"),
            ]),
        ]
    };
    let mut cases = Vec::new();
    cases.extend(changing(
        "replace_all_down",
        "replace_all_up",
        &[(0, ALL, "other")],
    ));
    cases.extend(changing(
        "replace_first_down",
        "replace_first_up",
        &[(0, 2, "abc")],
    ));
    cases.extend(changing(
        "replace_exactly_down",
        "replace_exactly_up",
        &[(0, 5, "abc")],
    ));
    cases.extend(changing(
        "replace_by_nothing_down",
        "replace_by_nothing_up",
        &[(0, 5, "")],
    ));
    cases.extend(changing("prepend_down", "prepend_up", &[(0, 0, "> ")]));
    cases.extend(changing(
        "append_down",
        "append_up",
        &[(5, 0, "6"), (99, 3, "7")],
    ));
    cases.extend(changing(
        "replace_middle_down",
        "replace_middle_up",
        &[(2, 1, "x"), (4, 1, "")],
    ));
    cases.push(
        Case::new("append_at_the_end_of_the_stream")
            .on_nth(
                On::DownstreamData,
                2,
                [set_buffer(DOWNSTREAM, 0, 0, "QUIT\r\n")],
            )
            .on_nth(On::UpstreamData, 2, [set_buffer(UPSTREAM, 7, 0, "221\r\n")])
            .steps([
                open(),
                client("a"),
                client_ends(),
                server("b"),
                server_ends(),
            ]),
    );
    cases
}

fn out_of_reach() -> Vec<Case> {
    let both = || {
        [
            set_buffer(UPSTREAM, 0, 0, "x"),
            set_buffer(DOWNSTREAM, 0, 0, "y"),
            get_buffer(UPSTREAM, 0, ALL),
            get_buffer(DOWNSTREAM, 0, ALL),
            buffer_status(DOWNSTREAM),
        ]
    };
    let from_tick = || [vec![set_tick(0), act_as(2)], both().to_vec()].concat();
    vec![
        Case::new("buffer_of_the_other_direction")
            .on(On::DownstreamData, both())
            .on(On::UpstreamData, both())
            .steps([open(), client("c"), server("s")]),
        Case::new("buffer_before_and_after")
            .on(On::NewConnection, both())
            .on(On::DownstreamClose, both())
            .on(On::Log, both())
            .steps([open(), client("c"), client_ends(), server_ends()]),
        Case::new("buffer_after_continue")
            .on_nth(On::NewConnection, 2, [set_tick(5)])
            .on(On::Tick, from_tick())
            .steps([open(), client("c"), open().of(1), pass(20)]),
        Case::new("buffer_while_paused")
            .on_nth(On::NewConnection, 2, [set_tick(5)])
            .on(On::DownstreamData, [pause()])
            .on(On::Tick, from_tick())
            .steps([open(), client("c"), open().of(1), pass(20), client("d")]),
        Case::new("buffer_of_the_root")
            .on_nth(On::NewConnection, 2, [set_tick(5)])
            .on(On::Tick, [vec![set_tick(0)], both().to_vec()].concat())
            .steps([open(), open().of(1), pass(20), client("c")]),
    ]
}

fn others() -> Vec<Case> {
    let kinds = [
        0,
        1,
        CALL_BODY,
        GRPC_MESSAGE,
        VM_CONFIGURATION,
        PLUGIN_CONFIGURATION,
        9,
    ];
    let reads = || kinds.map(|kind| get_buffer(kind, 0, ALL));
    let changes = kinds.map(|kind| set_buffer(kind, 0, 0, "x"));
    let sizes = kinds.map(buffer_status);
    vec![
        Case::new("buffer_kinds_in_configure")
            .configuration("settings")
            .on(On::ContextCreate, reads())
            .on(On::VmStart, reads())
            .on(On::Configure, reads())
            .steps([open()]),
        Case::new("buffer_of_call_data")
            .configuration("settings")
            .on(
                On::Configure,
                [
                    get_buffer(CALL_DATA, 0, ALL),
                    get_buffer(PLUGIN_CONFIGURATION, 0, ALL),
                    get_buffer(CALL_DATA, 0, ALL),
                ],
            )
            .on(
                On::DownstreamData,
                [
                    get_buffer(CALL_DATA, 0, ALL),
                    buffer_status(CALL_DATA),
                    set_buffer(CALL_DATA, 0, 0, "x"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("buffer_kinds_of_a_stream")
            .configuration("settings")
            .on(On::NewConnection, reads())
            .on(On::DownstreamData, sizes)
            .steps([open(), client("x")]),
        Case::new("buffer_kinds_changed")
            .configuration("settings")
            .on(On::Configure, changes.clone())
            .on(On::DownstreamData, changes)
            .steps([open(), client("x")]),
    ]
}
