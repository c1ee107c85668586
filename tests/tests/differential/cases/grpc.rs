//! gRPC calls and streams.

use crate::case::{Case, On, client, client_resets, open, pass};
use crate::hostcalls::{
    ALL, CALL_HEADERS, DOWNSTREAM, Do, GRPC_INITIAL_METADATA, GRPC_MESSAGE, GRPC_TRAILING_METADATA,
    act_as, buffer_status, count_headers, get_buffer, get_header, get_status, grpc_call,
    grpc_cancel, grpc_close, grpc_end_of, grpc_send, grpc_send_to, grpc_stream, pause, resume,
    set_buffer,
};
use crate::services::{BREAKING, EMPTY, HTTP, REFUSED};

const LONG: i32 = 20_000;

pub(crate) fn cases() -> Vec<Case> {
    [calls(), streams(), ends(), refusals()]
        .into_iter()
        .flatten()
        .collect()
}

/// A case that tells all it can of what it is told.
fn telling(name: &'static str) -> Case {
    Case::new(name)
        .on(
            On::GrpcInitialMetadata,
            [
                count_headers(GRPC_INITIAL_METADATA),
                get_header(GRPC_INITIAL_METADATA, ":status"),
                get_header(GRPC_INITIAL_METADATA, "i"),
            ],
        )
        .on(On::GrpcReceive, [get_buffer(GRPC_MESSAGE, 0, ALL)])
        .on(
            On::GrpcTrailingMetadata,
            [
                count_headers(GRPC_TRAILING_METADATA),
                get_header(GRPC_TRAILING_METADATA, "grpc-status"),
                get_header(GRPC_TRAILING_METADATA, "grpc-message"),
                get_header(GRPC_TRAILING_METADATA, "t"),
            ],
        )
        .on(On::GrpcClose, [get_status()])
}

fn calling(name: &'static str, call: Do, wait: u64) -> Case {
    telling(name)
        .on(On::NewConnection, [call])
        .on(On::DownstreamData, [get_status()])
        .steps([open(), pass(wait), client("x")])
}

/// A stream that sends this message when the client says its first word.
fn streaming(name: &'static str, method: &str) -> Case {
    telling(name)
        .on(On::NewConnection, [grpc_stream(HTTP.as_bytes(), method)])
        .on_nth(On::DownstreamData, 1, [grpc_send("said", false)])
}

fn calls() -> Vec<Case> {
    let to = |method| grpc_call(HTTP.as_bytes(), method, "asked", LONG);
    let slow = grpc_call(HTTP.as_bytes(), "Never", "asked", 100);
    vec![
        calling("grpc_call_ok", to("Echo"), 30),
        calling("grpc_call_with_metadata", to("Metadata"), 30),
        calling("grpc_call_fails", to("Fails"), 30),
        calling("grpc_call_fails_after_its_message", to("FailsLate"), 30),
        calling("grpc_call_without_a_message", to("Silent"), 30),
        calling("grpc_call_is_reset", to("Resets"), 30),
        calling("grpc_call_out_of_time", slow, 150),
        calling(
            "grpc_call_of_an_empty_message",
            grpc_call(HTTP.as_bytes(), "Echo", "", LONG),
            30,
        ),
        telling("grpc_call_answer_lets_data_on")
            .on_nth(On::DownstreamData, 1, [to("Echo"), pause()])
            .on(
                On::GrpcReceive,
                [
                    act_as(2),
                    set_buffer(DOWNSTREAM, 0, 0, "> "),
                    resume(DOWNSTREAM),
                ],
            )
            .steps([open(), client("x"), pass(30)]),
        telling("grpc_call_cancelled")
            .on(
                On::NewConnection,
                [to("Echo"), grpc_cancel(), grpc_cancel()],
            )
            .steps([open(), pass(30), client("x")]),
        telling("grpc_call_closed")
            .on(On::NewConnection, [to("Echo"), grpc_close(), grpc_close()])
            .steps([open(), pass(30), client("x")]),
        telling("grpc_call_numbers")
            .on(
                On::NewConnection,
                [
                    to("Never"),
                    to("Never"),
                    grpc_stream(HTTP.as_bytes(), "Never"),
                    grpc_stream(HTTP.as_bytes(), "Never"),
                ],
            )
            .steps([open(), client("x")]),
    ]
}

fn streams() -> Vec<Case> {
    vec![
        streaming("grpc_stream_echoes", "Echo")
            .on_nth(On::DownstreamData, 2, [grpc_send("again", false)])
            .on_nth(On::DownstreamData, 3, [grpc_close()])
            .steps([open(), client("a"), client("b"), client("c"), client("d")]),
        streaming("grpc_stream_last_message", "Echo")
            .on_nth(On::DownstreamData, 2, [grpc_send("last", true)])
            .steps([open(), client("a"), client("b"), client("c")]),
        streaming("grpc_stream_with_metadata", "Metadata").steps([
            open(),
            client("a"),
            pass(30),
            client("b"),
        ]),
        streaming("grpc_stream_several_messages", "Several").steps([
            open(),
            client("a"),
            pass(30),
            client("b"),
        ]),
        streaming("grpc_stream_fails", "Fails").steps([open(), pass(30)]),
        streaming("grpc_stream_fails_after_a_message", "FailsLate").steps([
            open(),
            client("a"),
            pass(30),
            client("b"),
        ]),
        streaming("grpc_stream_is_reset", "Resets").steps([
            open(),
            client("a"),
            pass(30),
            client("b"),
        ]),
        streaming("grpc_stream_is_reset_after_a_message", "ResetsLate").steps([
            open(),
            client("a"),
            pass(30),
            client("b"),
        ]),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        streaming("grpc_stream_cancelled", "Echo")
            .on_nth(
                On::DownstreamData,
                2,
                [grpc_cancel(), grpc_send("too late", false), grpc_close()],
            )
            .steps([open(), client("a"), client("b"), client("c")]),
        streaming("grpc_stream_outlives_its_connection", "Echo").steps([
            open(),
            client("a"),
            client_resets(),
            open().of(1),
        ]),
        telling("grpc_numbers_of_nothing")
            .on(
                On::NewConnection,
                [
                    grpc_end_of("grpc_close", 1001),
                    grpc_end_of("grpc_close", 1002),
                    grpc_end_of("grpc_close", 1003),
                    grpc_end_of("grpc_cancel", 1000),
                    grpc_end_of("grpc_cancel", 1001),
                    grpc_end_of("grpc_cancel", 1002),
                    grpc_send_to(1001, "x"),
                    grpc_send_to(1002, "x"),
                    grpc_send_to(1003, "x"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("grpc_message_is_read_only_then")
            .on(
                On::NewConnection,
                [grpc_call(HTTP.as_bytes(), "Echo", "asked", LONG)],
            )
            .on(
                On::GrpcReceive,
                [
                    get_buffer(GRPC_MESSAGE, 2, 2),
                    buffer_status(GRPC_MESSAGE),
                    set_buffer(GRPC_MESSAGE, 0, 0, "x"),
                    get_buffer(GRPC_MESSAGE, 0, ALL),
                    get_header(CALL_HEADERS, ":status"),
                    act_as(2),
                    get_buffer(GRPC_MESSAGE, 0, ALL),
                ],
            )
            .on(On::DownstreamData, [get_buffer(GRPC_MESSAGE, 0, ALL)])
            .steps([open(), pass(30), client("x")]),
    ]
}

fn refusals() -> Vec<Case> {
    // `GrpcService { envoy_grpc { cluster_name } }`
    let by_message = |cluster: &str| {
        let length = u8::try_from(cluster.len()).unwrap_or(0);
        [&[0x0a, length + 2, 0x0a, length], cluster.as_bytes()].concat()
    };
    let call = |cluster: &[u8]| grpc_call(cluster, "Echo", "asked", LONG);
    let stream = |name, cluster: &[u8]| {
        telling(name)
            .on(On::NewConnection, [grpc_stream(cluster, "Echo")])
            .steps([open(), pass(30), client("x")])
    };
    vec![
        calling("grpc_call_named_by_a_message", call(&by_message(HTTP)), 30),
        calling("grpc_call_refused", call(REFUSED.as_bytes()), 30),
        calling("grpc_call_breaks", call(BREAKING.as_bytes()), 30),
        calling("grpc_call_without_hosts", call(EMPTY.as_bytes()), 30),
        calling("grpc_call_unknown_cluster", call(b"nowhere"), 30),
        calling(
            "grpc_call_unknown_by_a_message",
            call(&by_message("nowhere")),
            30,
        ),
        stream("grpc_stream_refused", REFUSED.as_bytes()),
        stream("grpc_stream_without_hosts", EMPTY.as_bytes()),
        stream("grpc_stream_unknown_cluster", b"nowhere"),
        stream("grpc_stream_unknown_by_a_message", &by_message("nowhere")),
    ]
}
