//! From `envoy.yaml` to the files one Envoy is started with.
//!
//! Nothing is invented here: listeners, filters and clusters are those of the file, chosen and
//! filled in. Only their place changes: the listener moves to a file of its own, which Envoy
//! watches, so that a policy can be changed while mail flows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::config::{ClientTls, EnvoyConfig, FromClients, Guard, HostPort, ServiceAt, ToServer};
use crate::{Error, paths, tls::Certificate};

const LISTENER_TYPE: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const WASM_FILTER: &str = "envoy.filters.network.wasm";
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const MODULE_FILTER: &str = "portcullis.starttls";
const FILTERS: &str = "/filter_chains/0/filters";
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
#[derive(Debug, Clone)]
pub(super) struct Places<'a> {
    /// The directory Envoy watches for the listener's file.
    pub(super) watched: &'a Path,
    /// The listener's file, in `watched`.
    pub(super) listener: &'a Path,
    /// The secret's file.
    pub(super) certificate: PathBuf,
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
    let tls = tls_parts(&mut bootstrap, config, &places.certificate)?;
    add_tls(&mut listener, tls)?;

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

/// The secret's file as Envoy's discovery reads it.
pub(super) fn secret(certificate: &Certificate) -> Result<Value, Error> {
    let mut secret = read(paths::certificate_yaml())?;
    for (pointer, path) in [
        ("certificate_chain/filename", certificate.chain()),
        ("private_key/filename", certificate.key()),
        ("watched_directory/path", certificate.directory().into()),
    ] {
        let pointer = format!("/resources/0/tls_certificate/{pointer}");
        set(&mut secret, &pointer, json!(path))?;
    }
    Ok(secret)
}

pub(crate) fn template() -> Result<Value, Error> {
    read(paths::envoy_yaml())
}

fn read(path: PathBuf) -> Result<Value, Error> {
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
    match &config.to_server {
        ToServer::Plain => "mta",
        ToServer::ProxyV1 | ToServer::ProxyV2 => "mta_told_the_client",
        ToServer::ProxyV2OfTls => "mta_told_of_tls",
        ToServer::Tls(_) => "mta_under_tls",
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

    let wasm = take_named(listener, FILTERS, WASM_FILTER)?;
    let mut proxy = take_named(listener, FILTERS, TCP_PROXY)?;
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
    set(listener, FILTERS, chain)
}

/// What TLS with clients adds to a listener.
#[derive(Debug, Default)]
struct TlsParts {
    /// The filter before all others.
    filter: Option<Value>,
    /// Fields of the filter chain.
    chain: Vec<(&'static str, Value)>,
}

/// Takes the parts from the listener of the file that has them.
fn tls_parts(
    bootstrap: &mut Value,
    config: &EnvoyConfig,
    secret: &Path,
) -> Result<TlsParts, Error> {
    const SOCKET: &str = "transport_socket";
    const TIMEOUT: &str = "transport_socket_connect_timeout";
    let mut parts = TlsParts::default();
    let (listener, fields, context) = match &config.client_tls {
        ClientTls::None => return Ok(parts),
        ClientTls::ModuleAlone { .. } => ("smtp_starttls", [].as_slice(), ""),
        ClientTls::StartTls { .. } => {
            let context = "/typed_config/tls_socket_config/common_tls_context";
            ("smtp_starttls", [SOCKET].as_slice(), context)
        }
        ClientTls::Implicit { .. } => {
            let context = "/typed_config/common_tls_context";
            ("smtps", [SOCKET, TIMEOUT].as_slice(), context)
        }
    };
    let mut listener = take_named(bootstrap, LISTENERS, listener)?;
    if let ClientTls::StartTls { module, .. } | ClientTls::ModuleAlone { module } =
        &config.client_tls
    {
        let mut filter = take_named(&mut listener, FILTERS, MODULE_FILTER)?;
        let file = "/typed_config/dynamic_module_config/module/local/filename";
        set(&mut filter, file, json!(module))?;
        parts.filter = Some(filter);
    }
    for field in fields {
        let pointer = format!("/filter_chains/0/{field}");
        let value = listener.pointer_mut(&pointer).map(Value::take);
        let mut value = value.ok_or_else(|| lacks(&pointer))?;
        if *field == SOCKET {
            fill_tls_context(&mut value, context, config, secret)?;
        }
        parts.chain.push((field, value));
    }
    Ok(parts)
}

fn fill_tls_context(
    socket: &mut Value,
    pointer: &str,
    config: &EnvoyConfig,
    secret: &Path,
) -> Result<(), Error> {
    let file = "/tls_certificate_sds_secret_configs/0/sds_config/path_config_source/path";
    set(socket, &format!("{pointer}{file}"), json!(secret))?;
    if let Some(ca) = &config.client_ca {
        let context = socket.pointer_mut(pointer).ok_or_else(|| lacks(pointer))?;
        let trusted = json!({ "trusted_ca": { "filename": ca } });
        *child(context, "validation_context")? = trusted;
    }
    Ok(())
}

fn add_tls(listener: &mut Value, parts: TlsParts) -> Result<(), Error> {
    let filters = listener.pointer_mut(FILTERS).and_then(Value::as_array_mut);
    let filters = filters.ok_or_else(|| lacks(FILTERS))?;
    if let Some(filter) = parts.filter {
        filters.insert(0, filter);
    }
    let chain = listener.pointer_mut("/filter_chains/0");
    let chain = chain.ok_or_else(|| lacks("/filter_chains/0"))?;
    for (field, value) in parts.chain {
        *child(chain, field)? = value;
    }
    Ok(())
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
    const VERSION: &str = "/transport_socket/typed_config/config/version";
    const TRUSTED: &str = "/transport_socket/typed_config/common_tls_context/validation_context\
                           /trusted_ca/filename";
    match &config.to_server {
        ToServer::Plain | ToServer::ProxyV2OfTls => Ok(()),
        ToServer::ProxyV1 => set(cluster, VERSION, json!("V1")),
        ToServer::ProxyV2 => set(cluster, VERSION, json!("V2")),
        ToServer::Tls(trusted) => set(cluster, TRUSTED, json!(trusted)),
    }
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
    let object = tree.as_object_mut().ok_or_else(|| lacks("mapping"))?;
    Ok(object.entry(key).or_insert(Value::Null))
}

fn lacks(pointer: &str) -> Error {
    Error::Template {
        pointer: pointer.into(),
    }
}
