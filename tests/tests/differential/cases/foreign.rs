//! Foreign functions, and where filter state leads a connection.

use crate::case::{Case, On, client, open, pass, server};
use crate::hostcalls::{
    DOWNSTREAM, Do, act_as, foreign, foreign_status, get_property, pause, resume, set_property,
    set_tick,
};

/// Field 1 and, if there is one, field 2 of a message.
fn two(first: &str, second: Option<&str>) -> Vec<u8> {
    let field = |number: u8, text: &str| {
        [
            &[number << 3 | 2, u8::try_from(text.len()).unwrap_or(u8::MAX)],
            text.as_bytes(),
        ]
        .concat()
    };
    [
        field(1, first),
        second.map_or_else(Vec::new, |text| field(2, text)),
    ]
    .concat()
}

fn set_state(key: &str, value: &str) -> Do {
    foreign("set_envoy_filter_state", &two(key, Some(value)))
}

pub(crate) fn cases() -> Vec<Case> {
    [state(), functions()].into_iter().flatten().collect()
}

fn state() -> Vec<Case> {
    let cluster = "envoy.tcp_proxy.cluster";
    vec![
        Case::new("state_leads_to_no_cluster")
            .on(On::NewConnection, [set_state(cluster, "nowhere")])
            .steps([open(), client("x")]),
        Case::new("state_set_while_held")
            .on_nth(On::NewConnection, 1, [pause()])
            .on_nth(On::NewConnection, 2, [set_tick(5)])
            .on(
                On::Tick,
                [
                    set_tick(0),
                    set_state(cluster, "nowhere"),
                    act_as(2),
                    set_state(cluster, "nowhere"),
                    resume(DOWNSTREAM),
                ],
            )
            .steps([open(), client("x"), open().of(1), pass(20)]),
        Case::new("state_set_too_late")
            .on(On::DownstreamData, [set_state(cluster, "nowhere")])
            .steps([open(), client("x"), server("y")]),
        Case::new("state_keys")
            .on(
                On::NewConnection,
                [
                    set_state("envoy.string", "a"),
                    set_state("envoy.hashable_string", "a"),
                    set_state("envoy.tcp_proxy.per_connection_idle_timeout_ms", "60000"),
                    set_state("envoy.tcp_proxy.per_connection_idle_timeout_ms", "soon"),
                    set_state("envoy.network.upstream_server_name", "a.test"),
                    set_state("envoy.network.application_protocols", "a,b"),
                    set_state("envoy.network.upstream_subject_alt_names", "a"),
                    set_state(
                        "envoy.network.transport_socket.original_dst_address",
                        "127.0.0.1:1",
                    ),
                    set_state(
                        "envoy.network.transport_socket.original_dst_address",
                        "nowhere",
                    ),
                    set_state("envoy.tcp_proxy.disable_tunneling", "true"),
                    set_state("envoy.upstream.dynamic_host", "a.test"),
                    set_state("envoy.upstream.dynamic_port", "25"),
                    set_state("envoy.upstream.dynamic_port", "many"),
                    set_state("envoy.ratelimit.hits_addend", "1"),
                    set_state("my.own", "a"),
                    set_state("", "a"),
                    foreign("set_envoy_filter_state", &two("envoy.string", None)),
                    foreign("set_envoy_filter_state", b""),
                    foreign("set_envoy_filter_state", b"\x0a\x05k"),
                    get_property("filter_state/envoy.string"),
                ],
            )
            .steps([open(), client("x")]),
    ]
}

fn functions() -> Vec<Case> {
    let compressed = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\x01\x68\x03\x08\xb1";
    vec![
        Case::new("foreign_unknown")
            .on(
                On::NewConnection,
                [
                    foreign("nothing", b""),
                    foreign("", b""),
                    foreign("start_secure_transport", b""),
                    foreign("clear_route_cache", b""),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("foreign_compression")
            .on(
                On::NewConnection,
                [
                    foreign_status("compress", b"hello hello hello hello"),
                    foreign_status("compress", b""),
                    foreign("uncompress", compressed),
                    foreign("uncompress", b"no stream of zlib's"),
                    foreign("uncompress", b""),
                    foreign("uncompress", b"\x78\x9c\xcb\x48"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("foreign_declare_property")
            .on(
                On::Configure,
                [
                    foreign("declare_property", b"\x0a\x08readonly\x10\x01"),
                    foreign("declare_property", b"\x0a\x08readonly"),
                    foreign("declare_property", b"\x0a\x06string\x18\x01"),
                    foreign("declare_property", b"\x0a"),
                ],
            )
            .on(
                On::NewConnection,
                [
                    set_property("readonly", "once"),
                    set_property("readonly", "twice"),
                    get_property("readonly"),
                    set_property("string", "once"),
                    set_property("string", "twice"),
                    get_property("string"),
                    foreign("declare_property", b"\x0a\x06string"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("foreign_expressions")
            .on(
                On::NewConnection,
                [
                    foreign_status("expr_create", b"1 + 1"),
                    foreign_status("expr_create", b"1 +"),
                    foreign_status("expr_evaluate", b"\0\0\0\0"),
                    foreign_status("expr_evaluate", b""),
                    foreign_status("expr_delete", b""),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("foreign_signatures")
            .on(
                On::NewConnection,
                [
                    foreign_status("verify_signature", b""),
                    foreign_status("verify_signature", b"\x0a"),
                    foreign_status("verify_signature", b"\x12\x01k\x2a\x01k"),
                    foreign_status("sign", b""),
                    foreign_status("sign", b"\x12\x01k\x22\x01k"),
                ],
            )
            .steps([open(), client("x")]),
    ]
}
