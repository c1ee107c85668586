//! Closes by the filter, and calls for another context.

use crate::case::{Case, On, client, client_ends, client_resets, open, pass, server};
use crate::hostcalls::{
    DOWNSTREAM, UPSTREAM, act_as, close, done, get_property, pause, set_buffer, set_property,
    set_tick,
};

pub(crate) fn cases() -> Vec<Case> {
    [by_stream(), by_root(), contexts()]
        .into_iter()
        .flatten()
        .collect()
}

fn by_stream() -> Vec<Case> {
    vec![
        Case::new("close_in_downstream_data")
            .on(On::DownstreamData, [close(DOWNSTREAM)])
            .steps([open(), client("x")]),
        Case::new("close_in_upstream_data_overtakes_it")
            .on(
                On::UpstreamData,
                [set_buffer(UPSTREAM, 0, 0, "421 "), close(UPSTREAM)],
            )
            .steps([open(), server("lost")]),
        Case::new("close_in_downstream_data_while_paused")
            .on(On::DownstreamData, [close(UPSTREAM), pause()])
            .steps([open(), server("arrives"), client("x")]),
        Case::new("close_in_new_connection")
            .on(On::NewConnection, [close(DOWNSTREAM)])
            .steps([open(), client("x")]),
        Case::new("close_in_new_connection_while_paused")
            .on(On::NewConnection, [close(DOWNSTREAM), pause()])
            .steps([open(), client("x")]),
        Case::new("close_twice")
            .on(On::DownstreamData, [close(DOWNSTREAM), close(UPSTREAM)])
            .steps([open(), client("x")]),
        Case::new("close_of_other_streams")
            .on(On::DownstreamData, [close(0), close(1), close(4)])
            .steps([open(), client("x"), server("y")]),
        Case::new("close_in_the_last_callbacks")
            .on(On::DownstreamClose, [close(DOWNSTREAM)])
            .on(On::Done, [close(DOWNSTREAM)])
            .on(On::Log, [close(DOWNSTREAM)])
            .on(On::Delete, [close(DOWNSTREAM)])
            .steps([open(), client("x"), client_resets()]),
        Case::new("close_at_the_clients_end")
            .on_nth(On::DownstreamData, 2, [close(DOWNSTREAM)])
            .steps([open(), client("x"), client_ends()]),
    ]
}

fn by_root() -> Vec<Case> {
    let ticking = |name| Case::new(name).on_nth(On::NewConnection, 2, [set_tick(5)]);
    vec![
        ticking("close_from_a_tick")
            .on(On::Tick, [set_tick(0), act_as(2), close(DOWNSTREAM)])
            .steps([open(), server("arrives"), open().of(1), pass(20)]),
        ticking("close_upstream_from_a_tick")
            .on(On::Tick, [set_tick(0), act_as(2), close(UPSTREAM)])
            .steps([
                open(),
                server("arrives"),
                client("too"),
                open().of(1),
                pass(20),
            ]),
        ticking("close_of_a_held_connection")
            .on_nth(On::NewConnection, 1, [pause()])
            .on(On::Tick, [set_tick(0), act_as(2), close(DOWNSTREAM)])
            .steps([open(), client("early"), open().of(1), pass(20)]),
        ticking("close_by_the_root_itself")
            .on(On::Tick, [set_tick(0), close(DOWNSTREAM), close(UPSTREAM)])
            .steps([open(), open().of(1), pass(20), client("x")]),
        Case::new("close_of_another_connection")
            .on_nth(On::DownstreamData, 2, [act_as(2), close(DOWNSTREAM)])
            .steps([
                open(),
                open().of(1),
                client("x"),
                client("y").of(1),
                client("z").of(1),
            ]),
    ]
}

fn contexts() -> Vec<Case> {
    vec![
        Case::new("context_that_is_gone")
            .on_nth(
                On::DownstreamData,
                2,
                [
                    act_as(99),
                    act_as(2),
                    set_property("who", "the second"),
                    act_as(3),
                    get_property("who"),
                    act_as(0),
                    act_as(1),
                    get_property("who"),
                ],
            )
            .steps([
                open(),
                client("x"),
                client_resets(),
                open().of(1),
                client("y").of(1),
            ]),
        Case::new("context_holds_for_one_callback")
            .on_nth(On::NewConnection, 2, [set_tick(5)])
            .on_nth(On::Tick, 1, [act_as(2), set_property("who", "the stream")])
            .on_nth(
                On::Tick,
                2,
                [
                    set_tick(0),
                    get_property("who"),
                    set_property("who", "the root"),
                ],
            )
            .on(On::DownstreamData, [get_property("who")])
            .steps([open(), open().of(1), pass(30), client("x")]),
        Case::new("context_that_is_not_there_changes_nothing")
            .on(
                On::DownstreamData,
                [
                    act_as(1),
                    act_as(99),
                    get_property("plugin_name"),
                    set_property("a", "b"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("done_is_for_nobody_who_is_not_asked")
            .on(On::NewConnection, [done()])
            .on_nth(On::NewConnection, 2, [set_tick(5)])
            .on(On::Tick, [set_tick(0), done()])
            .on(On::Log, [done()])
            .steps([open(), open().of(1), pass(20), client("x"), client_resets()]),
    ]
}
