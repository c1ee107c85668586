//! The root's own: ticks, time, the log, and what only HTTP filters have.

use crate::case::{Case, On, client, open, pass};
use crate::hostcalls::{
    add_header, count_headers, get_header, get_log_level, get_status, get_time, header_size, log,
    remove_header, replace_header, send_local_response, set_headers, set_tick,
};

pub(crate) fn cases() -> Vec<Case> {
    let maps = 0..9;
    vec![
        Case::new("tick_until_it_is_disarmed")
            .on(On::NewConnection, [set_tick(20)])
            .on_nth(On::Tick, 3, [set_tick(0)])
            .steps([open(), pass(30), pass(20), pass(20), pass(20), client("x")]),
        Case::new("tick_armed_anew_in_a_tick")
            .on(On::NewConnection, [set_tick(20)])
            .on_nth(On::Tick, 1, [set_tick(10)])
            .on_nth(On::Tick, 2, [set_tick(0)])
            .steps([open(), pass(25), pass(15), client("x")]),
        Case::new("tick_disarmed_before_it_comes")
            .on(On::NewConnection, [set_tick(20), set_tick(0)])
            .steps([open(), pass(30), client("x")]),
        Case::new("log_levels")
            .on(
                On::DownstreamData,
                (0..8).map(|level| log(level, "line")).collect::<Vec<_>>(),
            )
            .on(On::DownstreamData, [get_log_level()])
            .steps([open(), client("x")]),
        Case::new("time_and_status")
            .on(On::DownstreamData, [get_time(), get_status()])
            .steps([open(), client("x")]),
        Case::new("local_response_does_nothing")
            .on(On::DownstreamData, [send_local_response()])
            .steps([open(), client("x")]),
        Case::new("header_maps_read")
            .on(
                On::DownstreamData,
                maps.clone()
                    .map(|map| get_header(map, "a"))
                    .collect::<Vec<_>>(),
            )
            .on(
                On::DownstreamData,
                maps.clone().map(count_headers).collect::<Vec<_>>(),
            )
            .on(
                On::Log,
                maps.clone()
                    .map(|map| get_header(map, "a"))
                    .collect::<Vec<_>>(),
            )
            .steps([open(), client("x"), crate::case::client_resets()]),
        Case::new("header_maps_sized")
            .on(
                On::DownstreamData,
                maps.clone().map(header_size).collect::<Vec<_>>(),
            )
            .steps([open(), client("x")]),
        Case::new("header_maps_changed")
            .on(
                On::DownstreamData,
                maps.clone()
                    .map(|map| add_header(map, "a", "b"))
                    .collect::<Vec<_>>(),
            )
            .on(
                On::DownstreamData,
                maps.clone()
                    .map(|map| remove_header(map, "a"))
                    .collect::<Vec<_>>(),
            )
            .on(
                On::UpstreamData,
                maps.clone()
                    .map(|map| replace_header(map, "a", "b"))
                    .collect::<Vec<_>>(),
            )
            .on(
                On::UpstreamData,
                maps.map(|map| set_headers(map, &[("a", "b")]))
                    .collect::<Vec<_>>(),
            )
            .steps([open(), client("x"), crate::case::server("y")]),
    ]
}
