//! Properties of the connection and of the plugin, and the filter state a
//! filter writes for the access log.

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
    Ok(path.trim_end_matches('\0').replace('\0', "."))
}

fn get(host: &mut Host<'_>, path: (u32, u32), ptr_at: u32, size_at: u32) -> Answer {
    let path = read_path(host, path)?;
    let value = find(host.data(), &path).ok_or(Status::NotFound)?;
    guest::hand_over(host, &value, ptr_at, size_at)
}

fn find(state: &HostState, path: &str) -> Option<Vec<u8>> {
    let plugin = &state.plugin;
    match path {
        "plugin_name" => return Some(plugin.name.clone().into_bytes()),
        "plugin_root_id" => return Some(plugin.root_id.clone().into_bytes()),
        "plugin_vm_id" => return Some(plugin.vm_id.clone().into_bytes()),
        _ => {}
    }
    let connection = state.effective_connection()?;
    of_connection(connection, path).or_else(|| connection.filter_state.get(path).cloned())
}

fn of_connection(connection: &Connection, path: &str) -> Option<Vec<u8>> {
    let number = |value: u64| Some(value.to_le_bytes().to_vec());
    let text = |value: &dyn ToString| Some(value.to_string().into_bytes());
    match path {
        "source.address" => text(&connection.peer),
        "source.port" => number(u64::from(connection.peer.port())),
        "destination.address" => text(&connection.local),
        "destination.port" => number(u64::from(connection.local.port())),
        "connection.id" | "connection_id" => number(u64::from(connection.context)),
        "upstream.address" => text(&connection.heard_server?),
        "upstream.port" => number(u64::from(connection.heard_server?.port())),
        _ => None,
    }
}

fn set(host: &mut Host<'_>, path: (u32, u32), value: (u32, u32)) -> Answer {
    let path = read_path(host, path)?;
    let value = guest::read(host, value.0, value.1)?;
    let connection = host
        .data_mut()
        .effective_connection_mut()
        .ok_or(Status::NotFound)?;
    connection.filter_state.insert(path, value);
    Ok(())
}
