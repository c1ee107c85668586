//! The order of callbacks, and how connections end by themselves.

use crate::case::{
    Abi, Case, On, client, client_ends, client_resets, open, server, server_ends, server_resets,
};
use crate::hostcalls::{DOWNSTREAM, Do, act_as, pause, resume};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = half_closes();
    cases.extend([
        Case::new("end_client_resets").steps([open(), client("x"), client_resets()]),
        Case::new("end_server_resets").steps([open(), server("x"), server_resets()]),
        Case::new("end_client_resets_after_its_end").steps([
            open(),
            client_ends(),
            client_resets(),
            server("x"),
            server("y"),
        ]),
        Case::new("end_server_resets_after_its_end").steps([
            open(),
            server_ends(),
            server_resets(),
            client("x"),
            client("y"),
        ]),
        Case::new("end_two_connections").steps([
            open(),
            open().of(1),
            client("first"),
            client("second").of(1),
            client_resets(),
            server("to the second").of(1),
            client_resets().of(1),
        ]),
        Case::new("end_done_returns_false")
            .on(On::Done, [Do::Return(0)])
            .steps([
                open(),
                client("x"),
                client_resets(),
                open().of(1),
                client("y").of(1),
            ]),
        Case::new("end_server_absent")
            .without_server()
            .steps([open(), client("x")]),
        Case::new("end_server_absent_while_held")
            .without_server()
            .on_nth(On::NewConnection, 1, [pause()])
            .on_nth(
                On::NewConnection,
                2,
                [act_as(2), resume(DOWNSTREAM), pause()],
            )
            .steps([open(), client("early"), open().of(1)]),
        Case::new("abi_0_2_0").abi(Abi::V0_2_0).steps([
            open(),
            client("EHLO a\r\n"),
            server("250 ok\r\n"),
            client_ends(),
            server_ends(),
        ]),
    ]);
    cases
}

fn half_closes() -> Vec<Case> {
    vec![
        Case::new("half_close_client_first").steps([
            open(),
            client("EHLO a\r\n"),
            server("250 ok\r\n"),
            client_ends(),
            server_ends(),
        ]),
        Case::new("half_close_server_first").steps([
            open(),
            server("220 hi\r\n"),
            client("QUIT\r\n"),
            server_ends(),
            client_ends(),
        ]),
        Case::new("half_close_client_then_the_server_talks").steps([
            open(),
            client_ends(),
            server("still here"),
            server("and here"),
            server_ends(),
        ]),
        Case::new("half_close_server_then_the_client_talks").steps([
            open(),
            server_ends(),
            client("still here"),
            client("and here"),
            client_ends(),
        ]),
    ]
}
