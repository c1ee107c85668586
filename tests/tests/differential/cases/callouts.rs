//! HTTP calls.

use crate::case::{Case, On, Step, client, client_resets, open, pass};
use crate::hostcalls::{
    ALL, CALL_BODY, CALL_HEADERS, CALL_TRAILERS, DOWNSTREAM, Do, act_as, add_header, close,
    count_headers, get_buffer, get_header, get_status, header_size, http_call, http_call_with,
    pause, remove_header, resume, set_buffer, set_tick,
};
use crate::services::{BREAKING, EMPTY, HTTP, REFUSED};

/// Longer than any case takes.
const LONG: i32 = 20_000;

pub(crate) fn cases() -> Vec<Case> {
    [answers(), refusals(), contexts(), maps()]
        .into_iter()
        .flatten()
        .collect()
}

fn shows() -> Vec<Do> {
    vec![
        get_header(CALL_HEADERS, ":status"),
        count_headers(CALL_HEADERS),
        count_headers(CALL_TRAILERS),
        get_buffer(CALL_BODY, 0, ALL),
        get_status(),
    ]
}

fn calling(name: &'static str, call: Do, wait: u64) -> Case {
    Case::new(name)
        .on(On::NewConnection, [call])
        .on(On::HttpCallResponse, shows())
        .steps([open(), pass(wait), client("x")])
}

fn answers() -> Vec<Case> {
    let echo = [
        (":method", "POST"),
        (":path", "/echo"),
        (":authority", "a"),
        ("X-Upper", "1"),
    ];
    vec![
        calling("http_ok", http_call(HTTP, "/ok", LONG), 30),
        calling("http_no_body", http_call(HTTP, "/empty", LONG), 30),
        calling("http_trailers", http_call(HTTP, "/trailers", LONG), 30),
        calling("http_error", http_call(HTTP, "/error", LONG), 30),
        calling("http_big", http_call(HTTP, "/big", LONG), 30),
        calling("http_no_limit", http_call(HTTP, "/ok", 0), 30),
        calling("http_stream_reset", http_call(HTTP, "/reset", LONG), 30),
        calling("http_truncated", http_call(HTTP, "/truncated", LONG), 30),
        calling("http_out_of_time", http_call(HTTP, "/never", 100), 150),
        calling("http_slow_out_of_time", http_call(HTTP, "/slow", 100), 150),
        calling(
            "http_connection_refused",
            http_call(REFUSED, "/ok", LONG),
            30,
        ),
        calling(
            "http_connection_breaks",
            http_call(BREAKING, "/ok", LONG),
            30,
        ),
        calling(
            "http_with_body_and_trailers",
            http_call_with(HTTP, &echo, "said", &[("t", "1")], LONG),
            30,
        ),
    ]
}

fn refusals() -> Vec<Case> {
    let without = |missing: &str| {
        let headers = [(":method", "GET"), (":path", "/ok"), (":authority", "a")];
        let left: Vec<_> = headers
            .into_iter()
            .filter(|(name, _)| *name != missing)
            .collect();
        http_call_with(HTTP, &left, "", &[], LONG)
    };
    vec![
        calling("http_without_hosts", http_call(EMPTY, "/ok", LONG), 30),
        calling(
            "http_unknown_cluster",
            http_call("nowhere", "/ok", LONG),
            30,
        ),
        Case::new("http_incomplete")
            .on(
                On::NewConnection,
                [
                    without(":method"),
                    without(":path"),
                    without(":authority"),
                    http_call(HTTP, "/ok", -1),
                ],
            )
            .on(On::HttpCallResponse, shows())
            .steps([open(), pass(30), client("x")]),
        Case::new("http_failure_is_remembered")
            .on_nth(On::DownstreamData, 1, [http_call(HTTP, "/truncated", LONG)])
            .on_nth(
                On::DownstreamData,
                2,
                [get_status(), http_call(HTTP, "/ok", LONG)],
            )
            .on(On::HttpCallResponse, shows())
            .steps([
                open(),
                client("x"),
                pass(30),
                client("y"),
                pass(30),
                client("z"),
            ]),
    ]
}

fn contexts() -> Vec<Case> {
    let waiting: [Step; 4] = [open(), client("x"), pass(30), client("y")];
    vec![
        Case::new("http_by_the_root")
            .on(On::NewConnection, [set_tick(20)])
            .on(On::Tick, [set_tick(0), http_call(HTTP, "/ok", LONG)])
            .on(On::HttpCallResponse, shows())
            .steps([open(), pass(30), pass(30), client("x")]),
        Case::new("http_whose_stream_is_gone")
            .on(On::NewConnection, [http_call(HTTP, "/never", 5000)])
            .on(
                On::HttpCallResponse,
                [act_as(2), get_header(CALL_HEADERS, ":status")],
            )
            .steps([open(), client_resets(), pass(5100)]),
        Case::new("http_one_after_the_other")
            .on(On::NewConnection, [http_call(HTTP, "/ok", LONG)])
            .on_nth(
                On::HttpCallResponse,
                1,
                [
                    http_call(HTTP, "/error", LONG),
                    get_header(CALL_HEADERS, ":status"),
                ],
            )
            .on_nth(
                On::HttpCallResponse,
                2,
                [get_header(CALL_HEADERS, ":status")],
            )
            .steps([open(), pass(30), pass(30), client("x")]),
        Case::new("http_answer_lets_a_held_connection_on")
            .on(On::NewConnection, [http_call(HTTP, "/ok", LONG), pause()])
            .on(On::HttpCallResponse, [act_as(2), resume(DOWNSTREAM)])
            .steps(waiting.clone()),
        Case::new("http_answer_lets_held_data_on")
            .on_nth(
                On::DownstreamData,
                1,
                [http_call(HTTP, "/ok", LONG), pause()],
            )
            .on(
                On::HttpCallResponse,
                [
                    act_as(2),
                    set_buffer(DOWNSTREAM, 0, 0, "> "),
                    resume(DOWNSTREAM),
                ],
            )
            .steps(waiting.clone()),
        Case::new("http_answer_closes")
            .on_nth(
                On::DownstreamData,
                1,
                [http_call(HTTP, "/ok", LONG), pause()],
            )
            .on(On::HttpCallResponse, [act_as(2), close(DOWNSTREAM)])
            .steps(waiting),
        Case::new("http_from_the_last_callback")
            .on(On::Delete, [http_call(HTTP, "/ok", LONG)])
            .on(On::HttpCallResponse, shows())
            .steps([open(), client_resets(), pass(30)]),
    ]
}

fn maps() -> Vec<Case> {
    vec![
        Case::new("http_maps_during_the_answer")
            .on(On::NewConnection, [http_call(HTTP, "/trailers", LONG)])
            .on(
                On::HttpCallResponse,
                [
                    get_header(CALL_HEADERS, ":STATUS"),
                    get_header(CALL_HEADERS, "nothing"),
                    get_header(CALL_TRAILERS, "t"),
                    get_header(CALL_TRAILERS, "u"),
                    header_size(CALL_HEADERS),
                    add_header(CALL_HEADERS, "a", "b"),
                    remove_header(CALL_HEADERS, ":status"),
                    get_buffer(CALL_BODY, 1, 2),
                    get_buffer(CALL_BODY, 4, 1),
                    set_buffer(CALL_BODY, 0, 0, "x"),
                    get_buffer(CALL_BODY, 0, ALL),
                    act_as(2),
                    get_header(CALL_HEADERS, ":status"),
                ],
            )
            .on(
                On::DownstreamData,
                [
                    get_header(CALL_HEADERS, ":status"),
                    get_buffer(CALL_BODY, 0, ALL),
                ],
            )
            .steps([open(), pass(30), client("x")]),
        Case::new("http_repeated_header")
            .on(On::NewConnection, [http_call(HTTP, "/ok", LONG)])
            .on(
                On::HttpCallResponse,
                [
                    get_header(CALL_HEADERS, "x-a"),
                    count_headers(CALL_TRAILERS),
                    get_header(CALL_TRAILERS, "t"),
                ],
            )
            .steps([open(), pass(30), client("x")]),
    ]
}
