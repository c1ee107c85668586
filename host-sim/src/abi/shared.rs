//! Shared data and shared queues.

use wasmtime::Linker;

use super::{Answer, Host, answer, guest};
use crate::host::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_data(linker)?;
    link_queue_names(linker)?;
    link_queue_items(linker)
}

fn link_data(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut host: Host<'_>, key: u32, key_len: u32, ptr_at: u32, size_at: u32, cas_at: u32| {
            answer(get_data(
                &mut host,
                (key, key_len),
                (ptr_at, size_at),
                cas_at,
            ))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |host: Host<'_>, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32| {
            answer(set_data(&host, (key, key_len), (value, value_len), cas))
        },
    )?;
    Ok(())
}

fn link_queue_names(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |mut host: Host<'_>, name: u32, name_len: u32, token_at: u32| {
            answer(register(&mut host, (name, name_len), token_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |mut host: Host<'_>, vm: u32, vm_len: u32, name: u32, name_len: u32, token_at: u32| {
            answer(resolve(&mut host, (vm, vm_len), (name, name_len), token_at))
        },
    )?;
    Ok(())
}

fn link_queue_items(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |host: Host<'_>, token: u32, value: u32, value_len: u32| {
            answer(guest::read(&host, value, value_len).and_then(|item| {
                let state = host.data();
                let enqueued = state.shared.enqueue(state.now, token, item);
                enqueued.map_err(Into::into)
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |mut host: Host<'_>, token: u32, ptr_at: u32, size_at: u32| {
            answer(dequeue(&mut host, token, ptr_at, size_at))
        },
    )?;
    Ok(())
}

fn get_data(host: &mut Host<'_>, key: (u32, u32), out: (u32, u32), cas_at: u32) -> Answer {
    let key = guest::read(host, key.0, key.1)?;
    let (value, cas) = host.data().shared.get(&key)?;
    guest::hand_over(host, &value, out.0, out.1)?;
    guest::write_u32(host, cas_at, cas)
}

fn set_data(host: &Host<'_>, key: (u32, u32), value: (u32, u32), cas: u32) -> Answer {
    let key = guest::read(host, key.0, key.1)?;
    let value = guest::read(host, value.0, value.1)?;
    host.data().shared.set(key, value, cas).map_err(Into::into)
}

fn register(host: &mut Host<'_>, name: (u32, u32), token_at: u32) -> Answer {
    let name = guest::read(host, name.0, name.1)?;
    let state = host.data();
    let token =
        state
            .shared
            .register_queue(&state.plugin.vm_id, &name, state.worker, state.root_context);
    guest::write_u32(host, token_at, token)
}

fn resolve(host: &mut Host<'_>, vm: (u32, u32), name: (u32, u32), token_at: u32) -> Answer {
    let vm = guest::read_text(host, vm.0, vm.1)?;
    let name = guest::read(host, name.0, name.1)?;
    let state = host.data();
    let vm = if vm.is_empty() {
        state.plugin.vm_id.clone()
    } else {
        vm
    };
    let token = state.shared.resolve_queue(&vm, &name)?;
    guest::write_u32(host, token_at, token)
}

fn dequeue(host: &mut Host<'_>, token: u32, ptr_at: u32, size_at: u32) -> Answer {
    let item = host.data().shared.dequeue(token)?;
    guest::hand_over(host, &item, ptr_at, size_at)
}
