//! Properties of the connection and of the plugin, and the filter state a
//! filter writes for the access log.
//!
//! A path's first segment names an attribute of Envoy's or something the filter has set;
//! the others lead into it. What has no bytes of its own, as a whole map, is a
//! `SerializationFailure`; so is the empty path.

use std::net::SocketAddr;

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest};
use crate::connection::Connection;
use crate::host::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut host: Host<'_>, path: u32, path_len: u32, ptr_at: u32, size_at: u32| {
            answer(get(&mut host, (path, path_len), ptr_at, size_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut host: Host<'_>, path: u32, path_len: u32, value: u32, value_len: u32| {
            answer(set(&mut host, (path, path_len), (value, value_len)))
        },
    )?;
    Ok(())
}

/// A property path as the ABI writes it, segments parted (and maybe ended) by NUL.
fn read_path(host: &Host<'_>, (ptr, len): (u32, u32)) -> Answer<String> {
    let path = guest::read_text(host, ptr, len)?;
    Ok(path.strip_suffix('\0').unwrap_or(&path).to_owned())
}

fn get(host: &mut Host<'_>, path: (u32, u32), ptr_at: u32, size_at: u32) -> Answer {
    let path = read_path(host, path)?;
    let value = find(host.data(), &path)?;
    guest::hand_over(host, &value, ptr_at, size_at)
}

/// What a path leads to, as Envoy would give it.
type Found = Result<Vec<u8>, Status>;

const NOTHING: Found = Err(Status::NotFound);
/// There is something there, but no bytes that stand for it.
const SHAPELESS: Found = Err(Status::SerializationFailure);

fn text(value: &dyn ToString) -> Found {
    Ok(value.to_string().into_bytes())
}

fn number(value: u64) -> Found {
    Ok(value.to_le_bytes().to_vec())
}

fn find(state: &HostState, path: &str) -> Found {
    let segments: Vec<&str> = path.split('\0').collect();
    let plugin = &state.plugin;
    match segments.as_slice() {
        [""] => SHAPELESS,
        ["plugin_name"] => text(&plugin.name),
        ["plugin_root_id"] => text(&plugin.root_id),
        ["plugin_vm_id"] => text(&plugin.vm_id),
        ["xds", "node", "id"] => text(&plugin.node_id),
        ["xds", "node", "cluster"] => text(&plugin.node_cluster),
        [
            "plugin_name" | "plugin_root_id" | "plugin_vm_id" | "connection_id",
            _,
            ..,
        ] => NOTHING,
        ["xds"] => SHAPELESS,
        segments => match state.effective_connection() {
            Some(connection) => match connection.given.get(path) {
                Some(value) => Ok(value.clone()),
                None => of_connection(connection, state, segments),
            },
            None => NOTHING,
        },
    }
}

fn of_connection(connection: &Connection, state: &HostState, segments: &[&str]) -> Found {
    match segments {
        ["source" | "destination" | "connection" | "upstream" | "request" | "response"] => {
            SHAPELESS
        }
        ["source", field] => of_address(connection.peer, field),
        ["destination", field] => of_address(connection.local, field),
        ["connection_id"] | ["connection", "id"] => number(u64::from(connection.context)),
        ["connection", "mtls"] => Ok(vec![0]),
        ["connection", "requested_server_name"] => text(&""),
        ["upstream", "transport_failure_reason"] => text(&""),
        // Where Envoy connects from is its own affair; here from no port at all.
        ["upstream", "local_address"] if connection.server.is_some() => {
            text(&SocketAddr::new(connection.local.ip(), 0))
        }
        ["upstream", field] => connection
            .server
            .map_or(NOTHING, |server| of_address(server, field)),
        ["xds", rest @ ..] => of_xds(connection, state, rest),
        ["request", "size" | "total_size"] => number(connection.bytes_received),
        ["response", "size" | "total_size"] => number(connection.bytes_sent),
        ["request", "time"] => number(state.shared.wall_nanos(connection.opened)),
        ["response", "flags"] => number(0),
        // There are none: an empty map of pairs.
        ["request" | "response", "headers"] => Ok(vec![0; 4]),
        ["filter_state"] => SHAPELESS,
        ["filter_state", key] => filter_state(connection, key),
        // What the filter has set is one piece, whatever the bytes look like.
        [key] => connection
            .filter_state
            .get(*key)
            .cloned()
            .ok_or(Status::NotFound),
        _ => NOTHING,
    }
}

fn of_address(address: SocketAddr, field: &str) -> Found {
    match field {
        "address" => text(&address),
        "port" => number(u64::from(address.port())),
        _ => NOTHING,
    }
}

fn of_xds(connection: &Connection, state: &HostState, segments: &[&str]) -> Found {
    match segments {
        ["listener_direction"] => number(0),
        ["filter_chain_name" | "listener_metadata"] => text(&""),
        ["cluster_name"] if connection.server.is_some() => text(&state.plugin.cluster),
        ["upstream_host_metadata"] if connection.server.is_some() => SHAPELESS,
        _ => NOTHING,
    }
}

/// Any object of the filter state, the filter's own among them.
fn filter_state(connection: &Connection, key: &str) -> Found {
    let own = key
        .strip_prefix("wasm.")
        .and_then(|key| connection.filter_state.get(key));
    match (own, connection.envoy_filter_state.get(key)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(value)) => text(value),
        (None, None) => NOTHING,
    }
}

/// Sets a property of the connection. The whole path is its name.
fn set(host: &mut Host<'_>, path: (u32, u32), value: (u32, u32)) -> Answer {
    let path = read_path(host, path)?;
    let value = guest::read(host, value.0, value.1)?;
    let state = host.data_mut();
    let readonly = state.declared.get(&path).copied().unwrap_or(false);
    let connection = state.effective_connection_mut().ok_or(Status::NotFound)?;
    if readonly && connection.filter_state.contains_key(&path) {
        return Err(Status::BadArgument.into());
    }
    connection.filter_state.insert(path, value);
    Ok(())
}
