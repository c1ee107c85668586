//! From `envoy/` to the files that kustomize builds from.
//!
//! kustomize reads nothing outside its own directory, and in a cluster addresses are others than on
//! one machine. So what the manifests embed is made here, from the same files that `make run` and
//! the tests use, and kept beside the manifests; a test fails when what is kept is stale.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    Error,
    envoy::render::{child, set, socket_address, take_named, template},
    paths,
};

/// Where the filter is in the guard's container: an image volume, or what an init container left.
const FILTER: &str = "/opt/portcullis/plugin.wasm";

/// Where the module for STARTTLS is, if the image has it.
const MODULE: &str = "/opt/portcullis/libportcullis_starttls.so";

/// Where the certificate's Secret is mounted, and the file that names what is in it.
const CERTIFICATE: [&str; 2] = ["/etc/portcullis-tls", "/etc/portcullis/certificate.yaml"];

/// The parts of `base/envoy.yaml` that overlays replace, by the files of `base/settings` that hold
/// them. Each stands between two comments with its name.
const SETTINGS: [&str; 4] = [
    "policy.json",
    "server.json",
    "address.json",
    "front-proxies.json",
];

const LISTENERS: &str = "/static_resources/listeners";
const CLUSTERS: &str = "/static_resources/clusters";
const ENDPOINT: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
/// Where probes and Prometheus ask.
const STATUS: u16 = 9902;
const CHAIN: &str = "/filter_chains/0/filters";
const SOCKET: &str = "/filter_chains/0/transport_socket";
/// Where a listener under TLS names the file that names its certificate's.
const TLS_SECRET: &str = "/filter_chains/0/transport_socket/typed_config/common_tls_context/tls_certificate_sds_secret_configs/0/sds_config/path_config_source/path";
/// The same with STARTTLS.
const STARTTLS_SECRET: &str = "/filter_chains/0/transport_socket/typed_config/tls_socket_config/common_tls_context/tls_certificate_sds_secret_configs/0/sds_config/path_config_source/path";

/// A file that is made and not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Where it is kept.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// All of them.
///
/// # Errors
/// [`Error::File`], [`Error::Content`] or [`Error::Template`] if a source lacks a part.
pub fn generate() -> Result<Vec<Generated>, Error> {
    let webdis = webdis()?;
    let mut elsewhere = webdis.clone();
    set(&mut elsewhere, "/redis_host", json!("redis.example.test"))?;
    let files = [
        ("base/envoy.yaml", envoy(ClientTls::None)?),
        ("components/starttls/envoy.yaml", envoy(ClientTls::Ended)?),
        ("components/starttls/certificate.yaml", certificate()?),
        ("base/resolver/unbound.conf", unbound()?),
        ("base/store/redis.conf", redis()?),
        ("base/store/authorization", authorization(&webdis)?),
        ("base/store/webdis.json", format!("{webdis:#}\n")),
        (
            "components/existing-redis/webdis.json",
            format!("{elsewhere:#}\n"),
        ),
        ("components/observe/policy.json", observing()?),
        ("components/monitoring/rules.yaml", rules()?),
        (
            "components/monitoring/portcullis.json",
            read(&paths::dashboards().join("portcullis.json"))?,
        ),
    ];
    let kept = files.map(|(name, text)| Generated {
        path: paths::kubernetes().join(name),
        text,
    });
    Ok(kept.to_vec())
}

/// Whether TLS with clients ends in Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientTls {
    None,
    Ended,
}

/// JSON, which is YAML too: a setting that kustomize puts in need not be indented.
fn envoy(tls: ClientTls) -> Result<String, Error> {
    let mut tree = template()?;
    let mut more = additions()?;
    let mut listeners = Vec::new();
    for (name, port) in [("smtp", 2525), ("smtp_behind_proxy", 2526)] {
        listeners.push(smtp_listener(&mut tree, name, port)?);
    }
    if tls == ClientTls::Ended {
        let (module, socket) = starttls(&mut tree)?;
        for listener in &mut listeners {
            add_starttls(listener, &module, &socket)?;
        }
    }
    let trusted = "/filter_chains/0/filter_chain_match/direct_source_prefix_ranges";
    if let Some(behind_proxy) = listeners.last_mut() {
        set(behind_proxy, trusted, setting("front-proxies.json"))?;
    }
    listeners.push(take_named(&mut tree, LISTENERS, "portcullis_echo")?);
    let mut status = take_named(&mut more, "/listeners", "portcullis_status")?;
    set(&mut status, "/address", listening_at(STATUS))?;
    listeners.push(status);
    // The last, so that the settings before it are those that the base has, too.
    if tls == ClientTls::Ended {
        let mut listener = smtp_listener(&mut tree, "smtps", 2465)?;
        set(&mut listener, TLS_SECRET, json!(CERTIFICATE[1]))?;
        listeners.push(listener);
    }

    let clusters = clusters(&mut tree, &mut more)?;
    let secrets = child(&mut more, "secrets")?.take();
    let fixed = json!({ "listeners": listeners, "clusters": clusters, "secrets": secrets });
    set(&mut tree, "/static_resources", fixed)?;
    let text = format!(
        "# Made by `make manifests` from envoy/envoy.yaml, where the reasons are, and\n\
         # envoy/kubernetes/additions.yaml. What stands between two comments comes from settings/.\n\
         {tree:#}\n"
    );
    settle(text)
}

fn smtp_listener(tree: &mut Value, name: &str, port: u16) -> Result<Value, Error> {
    let mut listener = take_named(tree, LISTENERS, name)?;
    set(&mut listener, "/address", listening_at(port))?;
    let mut wasm = take_named(&mut listener, CHAIN, "envoy.filters.network.wasm")?;
    let code = "/typed_config/config/vm_config/code/local/filename";
    set(&mut wasm, code, json!(FILTER))?;
    let policy = "/typed_config/config/configuration/value";
    set(&mut wasm, policy, setting("policy.json"))?;
    let mut proxy = take_named(&mut listener, CHAIN, "envoy.filters.network.tcp_proxy")?;
    set(&mut proxy, "/typed_config/cluster", setting("server.json"))?;
    set(&mut listener, CHAIN, json!([wasm, proxy]))?;
    Ok(listener)
}

/// The module and the transport socket of the listener that has them.
fn starttls(tree: &mut Value) -> Result<(Value, Value), Error> {
    let mut listener = take_named(tree, LISTENERS, "smtp_starttls")?;
    let mut module = take_named(&mut listener, CHAIN, "portcullis.starttls")?;
    let file = "/typed_config/dynamic_module_config/module/local/filename";
    set(&mut module, file, json!(MODULE))?;
    set(&mut listener, STARTTLS_SECRET, json!(CERTIFICATE[1]))?;
    let socket = listener.pointer_mut(SOCKET).map(Value::take);
    let socket = socket.ok_or_else(|| Error::Template {
        pointer: SOCKET.into(),
    })?;
    Ok((module, socket))
}

fn add_starttls(listener: &mut Value, module: &Value, socket: &Value) -> Result<(), Error> {
    let lacks = |pointer: &str| Error::Template {
        pointer: pointer.into(),
    };
    let filters = listener.pointer_mut(CHAIN).and_then(Value::as_array_mut);
    let filters = filters.ok_or_else(|| lacks(CHAIN))?;
    filters.insert(0, module.clone());
    let chain = listener.pointer_mut("/filter_chains/0");
    let chain = chain.ok_or_else(|| lacks("/filter_chains/0"))?;
    *child(chain, "transport_socket")? = socket.clone();
    Ok(())
}

/// The file that names the certificate's files, as they are in a mounted Secret.
fn certificate() -> Result<String, Error> {
    let path = paths::certificate_yaml();
    let text = made_from("envoy/tls/certificate.yaml", &read(&path)?);
    replace(&path, text, "target/tls", CERTIFICATE[0])
}

/// The address is a setting, behind which `"ipv4_compat": true` may stand: Envoy takes that with `::`
/// only.
fn listening_at(port: u16) -> Value {
    json!({ "socket_address": { "address": setting("address.json"), "port_value": port } })
}

fn clusters(tree: &mut Value, more: &mut Value) -> Result<Vec<Value>, Error> {
    let mut clusters = vec![take_named(tree, CLUSTERS, "portcullis_refusals")?];
    for (name, service, port) in [
        ("mta", "portcullis-mta", 25),
        ("mta_told_the_client", "portcullis-mta", 25),
        ("dnsbl", "portcullis-resolver", 8053),
        ("portcullis_store", "portcullis-store", 7379),
    ] {
        let mut cluster = take_named(tree, CLUSTERS, name)?;
        set(&mut cluster, ENDPOINT, socket_address(service, port))?;
        if name == "portcullis_store" {
            let options = child(more, "store_http_options")?.take();
            let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            *child(&mut cluster, "typed_extension_protocol_options")? = json!({ kind: options });
        }
        clusters.push(cluster);
    }
    clusters.push(take_named(more, "/clusters", "portcullis_admin")?);
    Ok(clusters)
}

fn additions() -> Result<Value, Error> {
    let path = paths::kubernetes().join("additions.yaml");
    let text = read(&path)?;
    serde_saphyr::from_str(&text).map_err(content(path))
}

/// Stands for a setting until the text is written.
fn setting(name: &str) -> Value {
    json!(format!("@{name}@"))
}

/// Puts the settings of `base/settings` in, each between comments by which kustomize finds it.
fn settle(mut text: String) -> Result<String, Error> {
    for name in SETTINGS {
        let path = paths::kubernetes().join("base/settings").join(name);
        let value = read(&path)?;
        if !value.ends_with('\n') {
            return Err(content(path)("it must end with the end of a line"));
        }
        let place = format!(" {}", setting(name));
        let filled = format!("\n# {name}\n{value}# {name}");
        // Envoy's reader of YAML takes no comma at the beginning of a line.
        text = text.replace(&format!("{place},"), &format!("{filled}\n ,"));
        text = text.replace(&place, &filled);
    }
    Ok(text)
}

/// The resolver takes questions from other pods, and asks the lists' own servers only.
fn unbound() -> Result<String, Error> {
    let path = paths::dnsbl().join("unbound.conf");
    let text = read(&path)?;
    let from = "    # Only for lists served on this very machine";
    let to = "remote-control:";
    let (Some(start), Some(end)) = (text.find(from), text.find(to)) else {
        return Err(content(path)("the zones of this machine are not found"));
    };
    let (head, tail) = (
        text.get(..start).unwrap_or_default(),
        text.get(end..).unwrap_or_default(),
    );
    let text = made_from("envoy/dnsbl/unbound.conf", &format!("{head}{tail}"));
    // Who may ask is said by the NetworkPolicy as well; here, that no stranger may.
    let allowed = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fd00::/8",
    ];
    let allowed = allowed.map(|network| format!("access-control: {network} allow"));
    let told = "so on loopback: beside Envoy only. The default fits envoy.yaml.";
    let here = "which only the guard's pods reach (base/resolver/network-policy.yaml).";
    let text = replace(&path, text, told, here)?;
    let text = replace(&path, text, "127.0.0.1@8053", "0.0.0.0@8053")?;
    let old = "access-control: 127.0.0.0/8 allow";
    replace(&path, text, old, &allowed.join("\n    "))
}

/// Redis stays beside Webdis, in one pod. Its files are on a volume that outlives it, so it keeps a
/// log of what it is told: pods that are new after it was killed know who is listed.
fn redis() -> Result<String, Error> {
    let path = paths::repository().join("envoy/fleet/redis.conf");
    let text = made_from("envoy/fleet/redis.conf", &read(&path)?);
    let text = replace(&path, text, "a few minutes of them", "a second of them")?;
    let text = replace(&path, text, "appendonly no", "appendonly yes")?;
    Ok(format!("{text}\ndir /data\n"))
}

fn webdis() -> Result<Value, Error> {
    let path = paths::repository().join("envoy/fleet/webdis.json");
    let mut webdis: Value = serde_json::from_str(&read(&path)?).map_err(content(path))?;
    set(&mut webdis, "/http_host", json!("0.0.0.0"))?;
    set(&mut webdis, "/logfile", json!("/dev/stderr"))?;
    Ok(webdis)
}

/// What the guard says to Webdis (RFC 7617 section 2); no end of line, since it is one header's
/// value.
fn authorization(webdis: &Value) -> Result<String, Error> {
    let path = paths::repository().join("envoy/fleet/webdis.json");
    let user = webdis.pointer("/acl/1/http_basic_auth");
    let user = user.and_then(Value::as_str);
    let user = user.ok_or_else(|| content(path)("acl[1] has no http_basic_auth"))?;
    Ok(format!("Basic {}", BASE64_STANDARD.encode(user)))
}

/// The base's own policy, looking on.
fn observing() -> Result<String, Error> {
    let path = paths::kubernetes().join("base/settings/policy.json");
    let mut policy: Value = serde_json::from_str(&read(&path)?).map_err(content(path))?;
    set(&mut policy, "/mode", json!("observe"))?;
    Ok(format!("{policy:#}\n"))
}

/// The rules as an object of the Prometheus operator's.
fn rules() -> Result<String, Error> {
    let path = paths::dashboards().join("rules.yaml");
    let text = read(&path)?;
    let Some((_, groups)) = text.split_once("\ngroups:\n") else {
        return Err(content(path)("it has no groups"));
    };
    let indented = groups.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("    {line}\n"),
    });
    Ok(format!(
        "# Made by `make manifests` from envoy/dashboards/rules.yaml.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: portcullis\n  namespace: portcullis\n\
         spec:\n  groups:\n{}",
        indented.collect::<String>()
    ))
}

fn made_from(source: &str, text: &str) -> String {
    format!("# Made by `make manifests` from {source}.\n#\n{text}")
}

fn replace(path: &std::path::Path, text: String, old: &str, new: &str) -> Result<String, Error> {
    if text.contains(old) {
        Ok(text.replace(old, new))
    } else {
        Err(content(path)(format!("it has no {old:?}")))
    }
}

fn read(path: &std::path::Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::file(path))
}

fn content<E: std::fmt::Display>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Error {
    let path = path.into();
    move |reason| Error::Content {
        path,
        reason: reason.to_string(),
    }
}
