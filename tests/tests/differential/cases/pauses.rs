//! Pause and Continue in each callback that can pause.

use crate::case::{Case, On, client, client_ends, client_resets, open, pass, server, server_ends};
use crate::hostcalls::{
    ALL, DOWNSTREAM, Do, UPSTREAM, act_as, get_buffer, pause, resume, set_buffer, set_tick,
};

/// The second connection comes: a tick follows.
fn then_ticks(case: Case) -> Case {
    case.on_nth(On::NewConnection, 2, [set_tick(5)])
}

/// What a tick does once, for the first connection.
fn once(does: impl IntoIterator<Item = Do>) -> Vec<Do> {
    [set_tick(0), act_as(2)].into_iter().chain(does).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    [downstream(), new_connections(), upstream()]
        .into_iter()
        .flatten()
        .collect()
}

fn downstream() -> Vec<Case> {
    vec![
        Case::new("pause_gathers_until_continue")
            .on_nth(On::DownstreamData, 1, [pause()])
            .on_nth(On::DownstreamData, 2, [get_buffer(DOWNSTREAM, 0, ALL)])
            .steps([open(), client("one"), client("two"), client("three")]),
        then_ticks(Case::new("pause_then_resume_from_a_tick"))
            .on(On::DownstreamData, [pause()])
            .on(
                On::Tick,
                once([get_buffer(DOWNSTREAM, 0, ALL), resume(DOWNSTREAM)]),
            )
            .steps([
                open(),
                client("held"),
                open().of(1),
                pass(20),
                client("again"),
            ]),
        Case::new("pause_and_resume_in_one_callback")
            .on(On::DownstreamData, [resume(DOWNSTREAM), pause()])
            .steps([open(), client("one"), client("two"), client_ends()]),
        then_ticks(Case::new("pause_and_resume_leaves_the_buffer_in_reach"))
            .on(On::DownstreamData, [resume(DOWNSTREAM), pause()])
            .on(
                On::Tick,
                once([set_buffer(DOWNSTREAM, 0, 0, "NOOP\r\n"), resume(DOWNSTREAM)]),
            )
            .steps([
                open(),
                client("EHLO\r\n"),
                open().of(1),
                pass(20),
                client("QUIT\r\n"),
            ]),
        then_ticks(Case::new("pause_at_the_end_then_resume"))
            .on(On::DownstreamData, [pause()])
            .on(On::Tick, once([resume(DOWNSTREAM)]))
            .steps([
                open(),
                client("last"),
                client_ends(),
                open().of(1),
                pass(20),
                server_ends(),
            ]),
        Case::new("pause_with_a_full_buffer")
            .read_limit(1024)
            .on(On::DownstreamData, [pause()])
            .steps([
                open(),
                client(vec![b'a'; 1024]),
                client(vec![b'b'; 1024]),
                client("c"),
            ]),
        Case::new("pause_is_dropped_with_a_reset")
            .on(On::DownstreamData, [pause()])
            .steps([open(), client("held"), client_resets()]),
        Case::new("pause_while_the_server_ends")
            .on(On::DownstreamData, [pause()])
            .steps([open(), client("held"), server("bye"), server_ends()]),
        then_ticks(Case::new("resume_when_nothing_is_held"))
            .on(
                On::Tick,
                once([resume(DOWNSTREAM), set_buffer(DOWNSTREAM, 0, 0, "x")]),
            )
            .steps([
                open(),
                client("passed"),
                open().of(1),
                pass(20),
                client("too"),
            ]),
        Case::new("resume_of_other_streams")
            .on(
                On::DownstreamData,
                [resume(0), resume(1), resume(UPSTREAM), resume(4)],
            )
            .steps([open(), client("x")]),
        Case::new("return_beyond_pause")
            .on_nth(On::DownstreamData, 1, [Do::Return(7)])
            .steps([open(), client("one"), client("two")]),
    ]
}

fn new_connections() -> Vec<Case> {
    let held = |name| then_ticks(Case::new(name)).on_nth(On::NewConnection, 1, [pause()]);
    vec![
        held("held_until_a_tick")
            .on(On::Tick, once([resume(DOWNSTREAM)]))
            .steps([
                open(),
                client("early"),
                open().of(1),
                pass(20),
                server("220\r\n"),
                client("late"),
            ]),
        held("held_while_the_client_ends")
            .on(On::Tick, once([resume(DOWNSTREAM)]))
            .steps([
                open(),
                client("early"),
                client_ends(),
                open().of(1),
                pass(20),
            ]),
        held("held_and_never_let_on")
            .on(On::Tick, [set_tick(0)])
            .steps([
                open(),
                client("early"),
                open().of(1),
                pass(20),
                client("more"),
            ]),
        Case::new("held_and_resumed_at_once")
            .on(On::NewConnection, [resume(DOWNSTREAM), pause()])
            .steps([open(), client("x"), server("y")]),
        Case::new("resumed_and_not_held")
            .on(On::NewConnection, [resume(DOWNSTREAM)])
            .steps([open(), client("x"), server("y")]),
    ]
}

fn upstream() -> Vec<Case> {
    vec![
        Case::new("pause_upstream_gathers")
            .on_nth(On::UpstreamData, 1, [pause()])
            .on_nth(On::UpstreamData, 2, [get_buffer(UPSTREAM, 0, ALL)])
            .steps([open(), server("one"), server("two"), server("three")]),
        Case::new("pause_upstream_at_the_end_loses_the_reply")
            .on(On::UpstreamData, [pause()])
            .steps([open(), server("lost"), server_ends(), client("x")]),
        Case::new("pause_upstream_resume_is_unknown")
            .on(On::UpstreamData, [resume(UPSTREAM), pause()])
            .steps([open(), server("kept"), client("x")]),
        Case::new("pause_upstream_then_the_client_ends")
            .on_nth(On::UpstreamData, 1, [pause()])
            .steps([open(), server("kept"), client("x"), client_ends()]),
        Case::new("resume_downstream_inside_upstream_data")
            .on(On::DownstreamData, [pause()])
            .on(
                On::UpstreamData,
                [set_buffer(DOWNSTREAM, 0, 0, "> "), resume(DOWNSTREAM)],
            )
            .steps([open(), client("held"), server("220\r\n"), client("more")]),
    ]
}
