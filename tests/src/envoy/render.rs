//! From `envoy.yaml` to the files one Envoy is started with.
//!
//! Nothing is invented here: listeners, filters and clusters are those of the file, chosen and
//! filled in. Only their place changes: the listener moves to a file of its own, which Envoy
//! watches, so that a policy can be changed while mail flows.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::config::{EnvoyConfig, FromClients, Guard, HostPort, ServiceAt, ToServer};
use crate::{Error, paths};

const LISTENER_TYPE: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const WASM_FILTER: &str = "envoy.filters.network.wasm";
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const LISTENERS: &str = "/static_resources/listeners";
const CLUSTERS: &str = "/static_resources/clusters";
const ENDPOINT: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";

/// What Envoy reads at its start and, for the listener, whenever it is replaced.
#[derive(Debug)]
pub(super) struct Rendered {
    /// The bootstrap configuration.
    pub(super) bootstrap: Value,
    /// The only listener.
    pub(super) listener: Value,
}

/// The files of one Envoy in its runtime directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The directory Envoy watches for the listener's file.
    pub(super) watched: &'a Path,
    /// The listener's file, in `watched`.
    pub(super) listener: &'a Path,
    /// The access log.
    pub(super) access_log: &'a Path,
}

/// Renders the configuration.
///
/// # Errors
/// [`Error::Content`] if `envoy.yaml` is no YAML, [`Error::Template`] if it lacks a part that is
/// filled in here.
pub(super) fn render(config: &EnvoyConfig, places: Places<'_>) -> Result<Rendered, Error> {
    let mut bootstrap = template()?;
    set(
        &mut bootstrap,
        "/admin/address",
        socket_address(&config.admin.ip().to_string(), config.admin.port()),
    )?;

    let mut listener = take_named(&mut bootstrap, LISTENERS, listener_name(config))?;
    fill_listener(&mut listener, config, places.access_log)?;

    let clusters = clusters(&mut bootstrap, config)?;
    // It takes no connections from outside, so it may stay: only the other one is replaced.
    let echo = take_named(&mut bootstrap, LISTENERS, "portcullis_echo")?;
    set(
        &mut bootstrap,
        "/static_resources",
        json!({ "listeners": [echo], "clusters": clusters }),
    )?;

    let watched =
        json!({ "path": places.listener, "watched_directory": { "path": places.watched } });
    let source = json!({ "resource_api_version": "V3", "path_config_source": watched });
    *child(&mut bootstrap, "dynamic_resources")? = json!({ "lds_config": source });
    Ok(Rendered {
        bootstrap,
        listener,
    })
}

/// The listener's file as Envoy's discovery reads it.
pub(super) fn discovery(listener: &Value) -> Value {
    let mut resource = json!({ "@type": LISTENER_TYPE });
    if let (Some(resource), Some(fields)) = (resource.as_object_mut(), listener.as_object()) {
        resource.extend(fields.clone());
    }
    json!({ "resources": [resource] })
}

pub(crate) fn template() -> Result<Value, Error> {
    let path = paths::envoy_yaml();
    let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
    serde_saphyr::from_str(&text).map_err(|error| Error::Content {
        path,
        reason: error.to_string(),
    })
}

fn listener_name(config: &EnvoyConfig) -> &'static str {
    match config.from_clients {
        FromClients::Direct => "smtp",
        FromClients::BehindProxy(_) => "smtp_behind_proxy",
    }
}

fn cluster_name(config: &EnvoyConfig) -> &'static str {
    match config.to_server {
        ToServer::Plain => "mta",
        ToServer::ProxyV1 | ToServer::ProxyV2 => "mta_told_the_client",
    }
}

fn fill_listener(
    listener: &mut Value,
    config: &EnvoyConfig,
    access_log: &Path,
) -> Result<(), Error> {
    let address = socket_address(&config.listen.ip().to_string(), config.listen.port());
    set(listener, "/address", address)?;
    if let FromClients::BehindProxy(trusted) = &config.from_clients {
        let ranges: Vec<Value> = trusted
            .iter()
            .map(|net| json!({ "address_prefix": net.addr(), "prefix_len": net.prefix_len() }))
            .collect();
        let pointer = "/filter_chains/0/filter_chain_match/direct_source_prefix_ranges";
        set(listener, pointer, json!(ranges))?;
    }

    let filters = "/filter_chains/0/filters";
    let wasm = take_named(listener, filters, WASM_FILTER)?;
    let mut proxy = take_named(listener, filters, TCP_PROXY)?;
    set(
        &mut proxy,
        "/typed_config/cluster",
        json!(cluster_name(config)),
    )?;
    set(
        &mut proxy,
        "/typed_config/access_log/0/typed_config/path",
        json!(access_log),
    )?;
    let chain = match &config.guard {
        Guard::Absent => json!([proxy]),
        Guard::Present { wasm: code, policy } => json!([fill_wasm(wasm, code, policy)?, proxy]),
    };
    set(listener, filters, chain)
}

fn fill_wasm(mut filter: Value, code: &Path, policy: &Value) -> Result<Value, Error> {
    set(
        &mut filter,
        "/typed_config/config/vm_config/code/local/filename",
        json!(code),
    )?;
    set(
        &mut filter,
        "/typed_config/config/configuration/value",
        policy.clone(),
    )?;
    Ok(filter)
}

/// The clusters that are used, filled in.
fn clusters(bootstrap: &mut Value, config: &EnvoyConfig) -> Result<Vec<Value>, Error> {
    let mut mta = take_named(bootstrap, CLUSTERS, cluster_name(config))?;
    fill_cluster(&mut mta, config)?;
    let refusals = take_named(bootstrap, CLUSTERS, "portcullis_refusals")?;
    let mut clusters = vec![mta, refusals];
    for (name, at) in [
        ("dnsbl", &config.dnsbl),
        ("portcullis_store", &config.store),
    ] {
        if let ServiceAt::Address(HostPort { host, port }) = at {
            let mut cluster = take_named(bootstrap, CLUSTERS, name)?;
            set(&mut cluster, ENDPOINT, socket_address(host, *port))?;
            clusters.push(cluster);
        }
    }
    Ok(clusters)
}

fn fill_cluster(cluster: &mut Value, config: &EnvoyConfig) -> Result<(), Error> {
    let HostPort { host, port } = &config.upstream;
    set(cluster, ENDPOINT, socket_address(host, *port))?;
    let version = match config.to_server {
        ToServer::Plain => return Ok(()),
        ToServer::ProxyV1 => "V1",
        ToServer::ProxyV2 => "V2",
    };
    set(
        cluster,
        "/transport_socket/typed_config/config/version",
        json!(version),
    )
}

pub(crate) fn socket_address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// Replaces what the file has at `pointer`; a place it does not have is an error, so that the file
/// and this renderer cannot drift apart unseen.
pub(crate) fn set(tree: &mut Value, pointer: &str, value: Value) -> Result<(), Error> {
    let place = tree.pointer_mut(pointer).ok_or_else(|| lacks(pointer))?;
    *place = value;
    Ok(())
}

/// Takes the entry with this name out of the list at `pointer`.
pub(crate) fn take_named(tree: &mut Value, pointer: &str, name: &str) -> Result<Value, Error> {
    let list = tree.pointer_mut(pointer).and_then(Value::as_array_mut);
    let list = list.ok_or_else(|| lacks(pointer))?;
    let named = |entry: &Value| entry.get("name").and_then(Value::as_str) == Some(name);
    let position = list.iter().position(named);
    position
        .map(|at| list.remove(at))
        .ok_or_else(|| lacks(&format!("{pointer}/{name}")))
}

pub(crate) fn child<'a>(tree: &'a mut Value, key: &str) -> Result<&'a mut Value, Error> {
    let object = tree
        .as_object_mut()
        .ok_or_else(|| lacks("top-level mapping"))?;
    Ok(object.entry(key).or_insert(Value::Null))
}

fn lacks(pointer: &str) -> Error {
    Error::Template {
        pointer: pointer.into(),
    }
}
