//! Envoy's configuration: a listener, a filter and a server for each case.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::upstream::Upstream;
use crate::case::{Case, OnTrap, Server};
use crate::services::{BREAKING, EMPTY, HTTP, NODE, NODE_CLUSTER, REFUSED};

/// Nobody listens on port 1.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

const TYPES: &str = "type.googleapis.com/envoy.extensions";

pub(super) fn render(
    cases: &[Case],
    servers: &BTreeMap<&'static str, TcpListener>,
    upstream: &Upstream,
    directory: &Path,
) -> Result<Value> {
    let mut clusters = vec![
        http2(cluster(HTTP, Some(upstream.address()))),
        http2(cluster(REFUSED, Some(NOBODY))),
        http2(cluster(BREAKING, Some(upstream.breaking()))),
        http2(cluster(EMPTY, None)),
    ];
    for case in cases {
        let server = match case.server {
            Server::Listens => servers.get(case.name).context(case.name)?.local_addr()?,
            Server::Absent => NOBODY,
        };
        clusters.push(cluster(&case.server_cluster(), Some(server)));
    }
    let listeners: Vec<Value> = cases.iter().map(|case| listener(case, directory)).collect();
    Ok(json!({
        "node": { "id": NODE, "cluster": NODE_CLUSTER },
        "admin": { "address": socket_address(SocketAddr::from(([127, 0, 0, 1], 0))) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    }))
}

fn listener(case: &Case, directory: &Path) -> Value {
    let proxy = json!({
        "@type": format!("{TYPES}.filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": case.name,
        "cluster": case.server_cluster(),
    });
    json!({
        "name": case.name,
        "address": socket_address(SocketAddr::from(([127, 0, 0, 1], 0))),
        "per_connection_buffer_limit_bytes": case.read_limit,
        "filter_chains": [{ "filters": [
            { "name": "envoy.filters.network.wasm", "typed_config": wasm(case, directory) },
            { "name": "envoy.filters.network.tcp_proxy", "typed_config": proxy },
        ] }],
    })
}

fn wasm(case: &Case, directory: &Path) -> Value {
    let code = directory.join(format!("{}.wasm", case.name));
    let mut config = json!({
        "name": "probe",
        "root_id": case.name,
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": case.configuration,
        },
        "vm_config": {
            "vm_id": case.name,
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": code } },
        },
    });
    let (policy, reload) = match case.on_trap {
        OnTrap::Closed => ("FAIL_CLOSED", None),
        OnTrap::Open => ("FAIL_OPEN", None),
        OnTrap::Reload(interval) => ("FAIL_RELOAD", Some(format!("{}s", interval.as_secs_f64()))),
    };
    if let Some(fields) = config.as_object_mut() {
        fields.insert("failure_policy".into(), json!(policy));
        if let Some(interval) = reload {
            let reload = json!({ "backoff": { "base_interval": interval } });
            fields.insert("reload_config".into(), reload);
        }
    }
    json!({ "@type": format!("{TYPES}.filters.network.wasm.v3.Wasm"), "config": config })
}

fn cluster(name: &str, endpoint: Option<SocketAddr>) -> Value {
    let endpoints =
        endpoint.map(|address| json!({ "endpoint": { "address": socket_address(address) } }));
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "20s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": endpoints.into_iter().collect::<Vec<_>>() }],
        },
    })
}

fn http2(mut cluster: Value) -> Value {
    let options = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": { "http2_protocol_options": {} },
    } });
    if let Some(fields) = cluster.as_object_mut() {
        fields.insert("typed_extension_protocol_options".into(), options);
    }
    cluster
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
