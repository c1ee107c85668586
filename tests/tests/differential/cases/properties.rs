//! Which properties there are, and when.

use crate::case::{Case, On, client, client_resets, open, pass, server};
use crate::hostcalls::{Do, get_property, has_property, set_property, set_tick};

/// Those that a network filter may look for.
const CONNECTION: [&str; 12] = [
    "source/address",
    "source/port",
    "destination/address",
    "destination/port",
    "connection/mtls",
    "connection/requested_server_name",
    "connection/tls_version",
    "connection/subject_peer_certificate",
    "connection/termination_details",
    "source",
    "source/nothing",
    "connection/nothing",
];

const UPSTREAM: [&str; 8] = [
    "upstream/address",
    "upstream/port",
    "upstream/tls_version",
    "upstream/transport_failure_reason",
    "xds/cluster_name",
    "xds/upstream_host_metadata",
    "cluster_name",
    "route_name",
];

const PLUGIN: [&str; 14] = [
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "plugin_name/more",
    "xds/node/id",
    "xds/node/cluster",
    "xds/listener_direction",
    "xds/listener_name",
    "xds/filter_chain_name",
    "xds/nothing",
    "node/id",
    "listener_direction",
    "nothing",
    "",
];

const HTTP: [&str; 24] = [
    "request/path",
    "request/size",
    "request/total_size",
    "request/protocol",
    "request/headers",
    "request/id",
    "request/host",
    "request/nothing",
    "request",
    "response/code",
    "response/code_details",
    "response/flags",
    "response/size",
    "response/total_size",
    "response/headers",
    "response/grpc_status",
    "response/nothing",
    "response",
    "filter_state/nothing",
    "filter_state",
    "metadata/nothing",
    "upstream/nothing",
    "xds",
    "xds/listener_metadata",
];

/// Those that differ from run to run: only whether they are there is compared.
const CHANGING: [&str; 8] = [
    "connection/id",
    "connection_id",
    "connection_id/more",
    "upstream/local_address",
    "request/time",
    "request/duration",
    "response/backend_latency",
    "connection/transport_failure_reason",
];

fn reads(paths: &[&str]) -> Vec<Do> {
    paths.iter().map(|path| get_property(path)).collect()
}

fn whether(name: &'static str, paths: &[&str]) -> Case {
    let reads: Vec<Do> = paths.iter().map(|path| has_property(path)).collect();
    Case::new(name)
        .on(On::NewConnection, reads.clone())
        .on(On::DownstreamData, reads.clone())
        .on(On::Log, reads)
        .steps([open(), client("x"), server("y"), client_resets()])
}

pub(crate) fn cases() -> Vec<Case> {
    let everywhere = |name, paths: &[&str]| {
        Case::new(name)
            .on(On::NewConnection, reads(paths))
            .on(On::DownstreamData, reads(paths))
            .on(On::UpstreamData, reads(paths))
            .on(On::DownstreamClose, reads(paths))
            .on(On::Log, reads(paths))
            .steps([open(), client("x"), server("y"), client_resets()])
    };
    let root = |paths: &[&str]| [vec![set_tick(0)], reads(paths)].concat();
    vec![
        everywhere("property_connection", &CONNECTION),
        everywhere("property_upstream", &UPSTREAM),
        everywhere("property_plugin", &PLUGIN),
        everywhere("property_http", &HTTP),
        whether("property_changing", &CHANGING),
        Case::new("property_of_the_root")
            .on(On::Configure, reads(&PLUGIN))
            .on(On::NewConnection, [set_tick(20)])
            .on(
                On::Tick,
                root(&[&PLUGIN[..], &CONNECTION, &UPSTREAM].concat()),
            )
            .steps([open(), pass(30)]),
        Case::new("property_set_and_read")
            .on(
                On::NewConnection,
                [
                    get_property("verdict"),
                    set_property("verdict", "good"),
                    get_property("verdict"),
                    set_property("verdict", ""),
                    get_property("verdict"),
                    set_property("a/b", "path"),
                    get_property("a/b"),
                    get_property("a"),
                    set_property("plugin_name", "mine"),
                    get_property("plugin_name"),
                ],
            )
            .on(On::DownstreamData, [set_property("verdict", "bad")])
            .on(
                On::Log,
                [
                    get_property("verdict"),
                    set_property("verdict", "last"),
                    get_property("verdict"),
                ],
            )
            .on(On::Delete, [get_property("verdict")])
            .steps([open(), client("x"), client_resets()]),
    ]
}
